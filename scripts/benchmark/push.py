"""The pushes that are measured. Each tells the clock its phases; what a client does before them is not counted."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import urllib.parse

from .client import CURL, Registry, presign_for_store, send, send_many, with_digest
from .stage import servers

OCTETS = "Content-Type: application/octet-stream"
# As `overside put` and most S3 clients have it.
PARTS_AT_ONCE = 4
# As docker, which pushes so many layers at once and more with several images.
SMALL_AT_ONCE = 8
# What containerd's daemon has where its configuration says nothing.
LAYERS_AT_ONCE = 3
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def headers_of(presigned):
    return [f"{name}: {value}" for name, value in presigned["headers"].items()]


def layout_of(folder, layers):
    """An OCI layout of an image of these layers, which are not copied."""
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def write(content, media_type):
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    described = []
    for layer in layers:
        os.link(layer.path, blobs / layer.sha256)
        described.append({"mediaType": LAYER, "digest": layer.digest, "size": layer.size})
    # Of these layers and no others, so that it is new with them.
    configuration = {
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }
    config = write(json.dumps(configuration).encode(), CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described}
    root = write(json.dumps(manifest).encode(), MANIFEST)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [root]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


# An image


def curl_put_layers(stage, layers, clock):
    """The floor: the same bytes into the same store, as many at once."""
    transfers = [
        ("PUT", presign_for_store(stage.endpoint, "PUT", f"floor/{layer.sha256}"), layer.path, (), None)
        for layer in layers
    ]
    with clock.phase("send"):
        send_many(transfers, LAYERS_AT_ONCE, stage.folder / "curl")


def containerd(stage, layers, clock):
    """As `docker push` of an engine whose images containerd keeps, and `nerdctl push`."""
    layout = layout_of(stage.folder / "layout", layers)
    reference = f"{urllib.parse.urlsplit(stage.address).netloc}/bench/blob:v1"
    with clock.phase("send"):
        subprocess.run([servers.INSTALLED / "containerd/bin/containerd", "push", layout, reference],
                       stdout=subprocess.DEVNULL, check=True)


# One blob


def curl_put(stage, blob, clock):
    """The floor: the same bytes into the same store, and nobody in between."""
    with clock.phase("send"):
        send("PUT", presign_for_store(stage.endpoint, "PUT", f"floor/{blob.sha256}"), blob.path)


def curl_put_checked(stage, blob, clock):
    """The floor of a hash-bound PUT: the store computes the SHA-256 too."""
    header = ("x-amz-checksum-sha256", base64.b64encode(bytes.fromhex(blob.sha256)).decode())
    url = presign_for_store(stage.endpoint, "PUT", f"floor/{blob.sha256}", [header])
    with clock.phase("send"):
        send("PUT", url, blob.path, [": ".join(header)])


def put(stage, blob, clock):
    registry = Registry(stage.address)
    with clock.phase("begin"):
        upload, presigned = registry.begin_presigned(size=blob.size, digest=blob.digest, mode="put")
    with clock.phase("send"):
        send("PUT", presigned["presigned_url"], blob.path, headers_of(presigned))
    with clock.phase("finalize"):
        registry.finalize(upload, blob.digest)


def parts(stage, blob, clock):
    """Without a declared digest: what the service then has to prove, no URL has bound."""
    registry = Registry(stage.address)
    with clock.phase("begin"):
        upload, presigned = registry.begin_presigned(size=blob.size, mode="multipart")
    pieces = blob.cut((part["offset"], part["size"]) for part in presigned["parts"])
    transfers = [
        ("PUT", part["presigned_url"], piece, headers_of(part), None)
        for part, piece in zip(presigned["parts"], pieces, strict=True)
    ]
    with clock.phase("send"):
        send_many(transfers, PARTS_AT_ONCE, stage.folder / "curl")
    with clock.phase("finalize"):
        registry.finalize(upload, blob.digest)
    for piece in pieces:
        piece.unlink()


def proxied(stage, blob, clock, chunked=False):
    """As stock clients push: POST, PATCH, PUT. Docker's PATCH is chunked, others know the length."""
    registry = Registry(stage.address)
    headers = [OCTETS, *(["Transfer-Encoding: chunked"] if chunked else [])]
    with clock.phase("begin"):
        upload = registry.begin()
    with clock.phase("send"):
        location = send("PATCH", upload, blob.path, headers)
    with clock.phase("finalize"):
        registry.finalize(urllib.parse.urljoin(upload, location), blob.digest)


def proof(stage, blob, clock):
    """Finalize of bytes whose blob is in place already: what is left of it is the proof. And its two floors."""
    # The push before, on a clock of its own.
    parts(stage, blob, clock.other())
    stage.settle()
    with clock.phase("openssl", counted=False):
        subprocess.run(["openssl", "dgst", "-sha256", blob.path], stdout=subprocess.DEVNULL, check=True)
    blob_url = f"{stage.address}/v2/bench/blob/blobs/{blob.digest}"
    with clock.phase("store_read", counted=False):
        subprocess.run([*CURL, "--location", "--fail", "--output", "/dev/null", blob_url], check=True)
    again = clock.other()
    parts(stage, blob, again)
    clock.take(again, "finalize")


# Many


def curl_put_many(stage, blobs, clock):
    transfers = [
        ("PUT", presign_for_store(stage.endpoint, "PUT", f"floor/{blob.sha256}"), blob.path, (), None) for blob in blobs
    ]
    with clock.phase("send"):
        send_many(transfers, SMALL_AT_ONCE, stage.folder / "curl")


def put_many(stage, blobs, clock):
    registry = Registry(stage.address)
    terms = [f"?presigned=true&size={blob.size}&digest={blob.digest}&mode=put" for blob in blobs]
    answers = [stage.folder / f"answer.{blob.sha256}" for blob in blobs]
    begin = [
        ("POST", f"{stage.address}{registry.uploads()}{term}", None, (), answer) for term, answer in zip(terms, answers)
    ]
    with clock.phase("begin"):
        locations = send_many(begin, SMALL_AT_ONCE, stage.folder / "curl")
    uploads = [urllib.parse.urljoin(stage.address, location) for location in locations]
    if not all(answer.exists() and answer.stat().st_size for answer in answers):
        # Two requests where the service does not have it in one.
        sign = [("GET", upload + term, None, (), answer) for upload, term, answer in zip(uploads, terms, answers)]
        with clock.phase("sign"):
            send_many(sign, SMALL_AT_ONCE, stage.folder / "curl")
    presigned = [json.loads(answer.read_text()) for answer in answers]
    transfers = [
        ("PUT", answer["presigned_url"], blob.path, headers_of(answer), None) for answer, blob in zip(presigned, blobs)
    ]
    with clock.phase("send"):
        send_many(transfers, SMALL_AT_ONCE, stage.folder / "curl")
    finalize_many(stage, uploads, blobs, clock)


def proxied_many(stage, blobs, clock, clients=SMALL_AT_ONCE):
    registry = Registry(stage.address)
    begin = [("POST", stage.address + registry.uploads(), None, (), None)] * len(blobs)
    with clock.phase("begin"):
        locations = send_many(begin, clients, stage.folder / "curl")
    uploads = [urllib.parse.urljoin(stage.address, location) for location in locations]
    transfers = [("PATCH", upload, blob.path, (OCTETS,), None) for upload, blob in zip(uploads, blobs)]
    with clock.phase("send"):
        locations = send_many(transfers, clients, stage.folder / "curl")
    # The peer keeps the upload's offset in its Location.
    uploads = [urllib.parse.urljoin(stage.address, location) for location in locations]
    finalize_many(stage, uploads, blobs, clock, clients)


def finalize_many(stage, uploads, blobs, clock, clients=SMALL_AT_ONCE):
    transfers = [
        ("PUT", with_digest(upload, blob.digest), None, ("Content-Length: 0",), None)
        for upload, blob in zip(uploads, blobs)
    ]
    with clock.phase("finalize"):
        send_many(transfers, clients, stage.folder / "curl")
