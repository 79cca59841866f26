"""The client's side: single requests by Python, everything with a body by curl."""

import datetime
import hashlib
import hmac
import http.client
import json
import subprocess
import urllib.parse

from .stage import servers

# Nothing of the caller's configuration or proxies; no wait for "100 Continue", whose length is a matter of luck.
CURL = ["curl", "--disable", "--silent", "--show-error", "--no-progress-meter", "--noproxy", "*"]
NO_EXPECT = "Expect:"
TIMEOUT = 600


class Refused(Exception):
    """A server did not answer as it must for a measurement to mean anything."""


class Registry:
    """Either service, as a client sees it."""

    def __init__(self, address):
        self.address = address

    def request(self, method, url, wanted, headers=None):
        url = urllib.parse.urlsplit(urllib.parse.urljoin(self.address, url))
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT)
        try:
            connection.request(method, url._replace(scheme="", netloc="").geturl(), headers=headers or {})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status not in wanted:
            raise Refused(f"{method} {url.geturl()}: {response.status} {body[:300]!r}")
        return response, body

    def uploads(self):
        return "/v2/bench/blob/blobs/uploads/"

    def begin(self):
        response, _ = self.request("POST", self.uploads(), (202,))
        return urllib.parse.urljoin(self.address, response.headers["Location"])

    def begin_presigned(self, **terms):
        """One request where the service has it, else two."""
        query = urllib.parse.urlencode({"presigned": "true", **terms}, safe=":")
        response, body = self.request("POST", f"{self.uploads()}?{query}", (200, 201, 202))
        upload = urllib.parse.urljoin(self.address, response.headers["Location"])
        presigned = json.loads(body) if body else self.presign(upload, **terms)
        for page in range(1, 101):
            known = len(presigned.get("parts", ()))
            if known == presigned.get("part_count", 0):
                return upload, presigned
            # Fewer parts in an answer than there are.
            more = self.presign(upload, **terms, parts=f"{known + 1}-{min(known + 100, presigned['part_count'])}")
            presigned["parts"] += more["parts"]
        raise Refused(f"{upload}: the plan does not end")

    def presign(self, upload, **terms):
        query = urllib.parse.urlencode({"presigned": "true", **terms}, safe=":")
        return json.loads(self.request("GET", f"{upload}?{query}", (200,))[1])

    def finalize(self, upload, digest):
        self.request("PUT", with_digest(upload, digest), (201,), {"Content-Length": "0"})

    def check(self, blob, whole):
        """The blob is there, and where it is read back whole, it is the one that was pushed."""
        url = f"{self.address}/v2/bench/blob/blobs/{blob.digest}"
        # The peer answers HEAD with a redirect to its store, as ours does GET.
        self.request("HEAD", url, (200, 307))
        if whole:
            reader = subprocess.Popen([*CURL, "--location", "--fail", url], stdout=subprocess.PIPE)
            digest = hashlib.file_digest(reader.stdout, "sha256").hexdigest()
            if reader.wait() or digest != blob.sha256:
                raise Refused(f"{url} gave other bytes: {digest}")


def with_digest(upload, digest):
    """A Location may have a query of its own; the peer's has."""
    return f"{upload}{'&' if '?' in upload else '?'}digest={digest}"


def send(method, url, path, headers=()):
    arguments = [argument for header in (NO_EXPECT, *headers) for argument in ("--header", header)]
    arguments += ["--request", method, "--upload-file", path, "--output", "/dev/null", "--fail"]
    answer = ["--write-out", "%header{location}"]
    return curl([*arguments, *answer, url])


def curl(arguments):
    done = subprocess.run([*CURL, *arguments], stdout=subprocess.PIPE, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise Refused(f"curl ended with {done.returncode}: {arguments[-1]}")
    return done.stdout


def send_many(transfers, clients, config):
    """Many requests by one curl that keeps `clients` connections busy: [(method, url, file, headers, output)].

    Gives the answers' Locations, in the order of the requests.
    """
    blocks = []
    for number, (method, url, path, headers, output) in enumerate(transfers):
        lines = [f'url = "{url}"', f'request = "{method}"', f'output = "{output or "/dev/null"}"', "fail", "silent"]
        lines += [f'header = "{header}"' for header in (NO_EXPECT, *headers)]
        lines += [f'upload-file = "{path}"'] if path else []
        lines += [f'write-out = "{number} %{{http_code}} %header{{location}}\\n"']
        blocks.append("\n".join(lines))
    config.write_text("\nnext\n".join(blocks))
    options = ["--parallel", "--parallel-immediate", "--parallel-max", str(clients), "--config", str(config)]
    done = subprocess.run([*CURL, *options], stdout=subprocess.PIPE, text=True, timeout=TIMEOUT)
    answers = [line.split(" ") for line in done.stdout.splitlines()]
    refused = [code for _, code, _ in answers if not code.startswith("2")]
    if done.returncode or len(answers) != len(blocks) or refused:
        raise Refused(f"curl ended with {done.returncode}, {len(answers)} answers, refused: {refused[:10]}")
    answers.sort(key=lambda answer: int(answer[0]))
    return [location for _, _, location in answers]


def presign_for_store(endpoint, method, key, headers=()):
    """A URL that the store takes without a service: AWS Signature Version 4 in the query, and signed headers."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    scope = f"{day}/{servers.REGION}/s3/aws4_request"
    signed = dict(sorted({"host": urllib.parse.urlsplit(endpoint).netloc, **dict(headers)}.items()))
    names = ";".join(signed)
    parameters = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{servers.ACCESS_KEY}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": "3600",
        "X-Amz-SignedHeaders": names,
    }
    encoded = urllib.parse.urlencode(sorted(parameters.items()), quote_via=urllib.parse.quote, safe="")
    path = f"/{servers.BUCKET}/{key}"
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    canonical = f"{method}\n{path}\n{encoded}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = f"AWS4{servers.SECRET_KEY}".encode()
    for step in (day, servers.REGION, "s3", "aws4_request", to_sign):
        signature = hmac.digest(signature, step.encode(), "sha256")
    return f"{endpoint}{path}?{encoded}&X-Amz-Signature={signature.hex()}"
