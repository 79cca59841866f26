"""Artifacts as MLflow's client logs, lists, downloads and deletes them: client.py VERB TRACKING_URI ARTIFACT_URI ARGUMENTS.

Prints JSON. The tracking server is asked for nothing here: only artifacts go to a server of their own.
"""

import filecmp
import json
import os
import random
import sys

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

SMALL = {"MLmodel": 300, "data/empty": 0, "data/table one.csv": 70_000}
LARGE = "data/weights.bin"
# In memory at once of the large file.
BLOCK = 1 << 20


def write_folder(folder, large):
    """Files of any kind, and one of so many bytes; each byte is drawn."""
    drawn = random.Random(large)
    for name, size in {**SMALL, LARGE: large}.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            for begin in range(0, size, BLOCK):
                file.write(drawn.randbytes(min(BLOCK, size - begin)))


def entries(repository, path=None):
    """All files below a directory, with their sizes."""
    for entry in repository.list_artifacts(path):
        if entry.is_dir:
            yield from entries(repository, entry.path)
        else:
            yield entry.path, entry.file_size


def log(repository, folder, large, path):
    write_folder(folder, int(large))
    repository.log_artifacts(folder, path or None)
    return dict(entries(repository))


def show(repository, path):
    return dict(entries(repository, path or None))


def download(repository, folder, original, path):
    os.makedirs(folder)
    found = repository.download_artifacts(path, folder)
    return [name for name in [*SMALL, LARGE] if not filecmp.cmp(os.path.join(found, name), os.path.join(original, name), False)]


def delete(repository, path):
    repository.delete_artifacts(path or None)
    return dict(entries(repository))


def main(verb, tracking, uri, *arguments):
    mlflow.set_tracking_uri(tracking)
    verbs = {"log": log, "list": show, "download": download, "delete": delete}
    try:
        print(json.dumps(verbs[verb](get_artifact_repository(uri), *arguments)))
    except (MlflowException, OSError) as error:
        sys.exit(str(error))


main(*sys.argv[1:])
