"""One verb of the oras package, as its documentation shows it: oras.py REGISTRY VERB ARGUMENTS. Prints JSON."""

import json
import os
import sys
import tempfile

import oras.client
import oras.decorator
import oras.defaults
import oras.oci


def push(client, target, chunk_size, *files):
    """Files as the layers of an artifact; in chunks where a size is given."""
    chunks = {"do_chunked": True, "chunk_size": int(chunk_size)} if chunk_size else {}
    annotations = {"org.example.colour": "bright orange"}
    response = client.push(target=target, files=list(files), manifest_annotations=annotations, **chunks)
    return response.headers["Docker-Content-Digest"]


def attach(client, target, artifact_type, file):
    """A file as an artifact of a type, about what the target is."""
    container = client.get_container(target)
    subject = oras.oci.Subject.from_manifest(client.get_manifest(target))
    layer = oras.oci.NewLayer(file, media_type="text/plain")
    layer["annotations"] = {oras.defaults.annotation_title: file}
    config, _ = oras.oci.ManifestConfig(media_type="application/vnd.oci.empty.v1+json")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as empty:
        empty.write("{}")
        empty.flush()
        client._check_200_response(client.upload_blob(empty.name, container, config))
    client._check_200_response(client.upload_blob(file, container, layer))
    manifest = oras.oci.NewManifest()
    manifest.update(artifactType=artifact_type, config=config, layers=[layer], subject=vars(subject))
    container.tag = "attached"
    response = client.upload_manifest(manifest, container)
    client._check_200_response(response)
    return dict(response.headers)


def pull(client, target, folder):
    return client.pull(target=target, outdir=folder)


def manifest(client, target):
    return client.get_manifest(target)


def tags(client, target, *count):
    return client.get_tags(target, *map(int, count))


def delete(client, target, *names):
    return client.delete_tags(target, list(names))


# It tries five times before it says that it was refused, with a minute and a half between them.
oras.decorator.time.sleep = lambda seconds: None
registry, verb, *arguments = sys.argv[1:]
client = oras.client.OrasClient(hostname=registry, insecure=True)
if "ORAS_USERNAME" in os.environ:
    client.auth.set_basic_auth(os.environ["ORAS_USERNAME"], os.environ["ORAS_PASSWORD"])
verbs = {verb.__name__: verb for verb in (push, attach, pull, manifest, tags, delete)}
print(json.dumps(verbs[verb](client, *arguments)))
