"""A repository of the Hub as huggingface_hub uploads, reads and changes it: client.py VERB ARGUMENTS. Prints JSON."""

import json
import os
import random
import sys

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, snapshot_download
from huggingface_hub.utils import HfHubHTTPError

SMALL = {"config.json": 300, "empty": 0, "data/table one.csv": 70_000, "data/deep/er/x.txt": 9_000}
LARGE = "weights.bin"
BLOCK = 1 << 20


def write(folder, large, seed):
    drawn = random.Random(int(seed))
    for name, size in {**SMALL, LARGE: int(large)}.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            for begin in range(0, size, BLOCK):
                file.write(drawn.randbytes(min(BLOCK, size - begin)))


def snapshot(repository, kind, cache):
    path = snapshot_download(repository, repo_type=kind, cache_dir=cache)
    return sorted(os.path.relpath(os.path.join(folder, name), path) for folder, _, names in os.walk(path) for name in names)


def branches(repository):
    """A branch with a change of its own, a commit on a parent that is none, and what each comes to."""
    api = HfApi()
    api.create_branch(repository, branch="dev")

    def changes():
        return [CommitOperationDelete("data/", is_folder=True), CommitOperationAdd("new.txt", b"new")]

    api.create_commit(repository, changes(), commit_message="on a branch", revision="dev")
    try:
        api.create_commit(repository, changes(), commit_message="x", parent_commit="0" * 40)
        refused = None
    except HfHubHTTPError as error:
        refused = [error.response.status_code, str(error)]
    files = {revision: sorted(api.list_repo_files(repository, revision=revision)) for revision in ("main", "dev")}
    sizes = {entry.path: entry.size for entry in api.list_repo_tree(repository, recursive=True) if hasattr(entry, "size")}
    return {"refused": refused, "sizes": sizes, **files}


verb, *arguments = sys.argv[1:]
print(json.dumps({"write": write, "snapshot": snapshot, "branches": branches}[verb](*arguments)))
