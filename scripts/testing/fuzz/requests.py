"""Requests that nearly make sense: those of the registry, the upload protocol and the management API, mutated."""

import base64
import hashlib
import json
import re
import urllib.parse

from testing.fuzz.words import (
    CONTENT_TYPES,
    DEFAULTS,
    HEADERS,
    METHODS,
    NASTY,
    PATHS,
    QUERIES,
    RANGES,
    SETTINGS,
    USUAL_METHODS,
    bodies,
)
from testing.fuzz.wire import Sent

# Of what was learnt from answers: the last ones are those that are still open.
REMEMBERED = 40
# What would end the run and not the server: the administrator that signs the requests.
OWN_ACCOUNT = re.compile(r"/users/(1|current|admin)(/|\?|$)")
# Requests between two resets of the settings: one that lets nobody in would leave nothing to test.
SETTINGS_EVERY = 40


class Requests:
    def __init__(self, chance, address, login):
        self.chance, self.login, self.made = chance, login, 0
        self.host = f"{address[0]}:{address[1]}"
        self.uploads, self.digests, self.signed, self.offsets = [], [], [], {}
        self.contents = [b"", b"{}", bytes(range(256)) * 40, b"the same in every run"]
        self.digests += [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in self.contents]

    def next(self):
        self.made += 1
        if self.made % SETTINGS_EVERY == 0:
            return self.right("PUT", "/api/v2.0/configurations", DEFAULTS)
        one_of = self.chance.random()
        # What comes close to sense gets furthest in; what makes none is refused at the door.
        if one_of < 0.35:
            return self.sensible()
        if one_of < 0.9:
            return self.mutated()
        return self.malformed()

    def learn(self, sent, answer):
        location = answer.header("location")
        if answer.status == 202 and location and "/uploads/" in location:
            self.remember(self.uploads, re.sub("^http://[^/]+", "", location))
        if found := re.search(rb'"presigned_url":"http://[^/]+(/signed/[^"]+)"', answer.body):
            self.remember(self.signed, found.group(1).decode().replace("\\u0026", "&"))

    @staticmethod
    def remember(known, new):
        known.append(new)
        del known[:-REMEMBERED]

    # The kinds

    def sensible(self):
        """A step of an upload or of a push, mostly as a client would take it."""
        pick, content = self.chance.choice, self.chance.choice(self.contents)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        name = pick(["fuzz/app", "fuzz/deep/er", "other/app"])
        upload = pick(self.uploads) if self.uploads else f"/v2/{name}/blobs/uploads/"
        manifest = self.manifest()
        steps = [
            ("POST", f"/v2/{name}/blobs/uploads/", {}, b""),
            ("POST", f"/v2/{name}/blobs/uploads/?presigned=true&size={len(content)}", {}, b""),
            ("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", {}, content),
            ("POST", f"/v2/{name}/blobs/uploads/?mount={digest}&from=other/app", {}, b""),
            ("GET", f"{upload}?presigned=true&size={len(content)}&digest={digest}", {}, b""),
            ("GET", f"{upload}?presigned=true&size=12000000&mode=multipart&parts={pick(RANGES)}", {}, b""),
            ("GET", upload, {"accept": "application/json"}, b""),
            ("PATCH", upload, {"content-range": pick(RANGES)}, content),
            ("PATCH", upload, {}, content),
            ("PUT", f"{upload}?digest={digest}", {}, content),
            ("PUT", f"{upload}?digest={pick(self.digests)}", {}, pick(bodies(self.chance, digest))),
            ("PUT", pick(self.signed) if self.signed else "/signed/x", {}, content),
            ("DELETE", upload, {}, b""),
            ("GET", f"/v2/{name}/blobs/{digest}", {"range": pick(RANGES)}, b""),
            ("PUT", f"/v2/{name}/manifests/{pick(NASTY)}", {"content-type": pick(CONTENT_TYPES)}, manifest),
            ("PUT", f"/v2/{name}/manifests/v1?tag=a&tag={pick(NASTY)}", {"content-type": pick(CONTENT_TYPES)}, manifest),
            ("GET", f"/v2/{name}/tags/list?n={pick(RANGES)}&last={pick(NASTY)}", {}, b""),
            ("GET", f"/v2/{name}/referrers/{digest}?artifactType={pick(NASTY)}", {}, b""),
            ("POST", "/api/v2.0/projects", {"content-type": "application/json"}, b'{"project_name":"fuzz"}'),
            ("PUT", "/api/v2.0/configurations", {"content-type": "application/json"}, self.settings()),
        ]
        method, path, headers, body = pick(steps)
        return self.assembled(method, path, headers, body, self.chance.random() < 0.9)

    def mutated(self):
        """Any endpoint, with any of its pieces replaced."""
        pick = self.chance.choice
        path = re.sub(r"\{[^}]*\}", lambda _: self.word(), pick(PATHS))
        if self.uploads and self.chance.random() < 0.3:
            path = pick(self.uploads)
        query = [(pick(QUERIES), self.word()) for _ in range(self.chance.choice([0, 0, 1, 1, 2, 5]))]
        if query:
            encode = urllib.parse.urlencode if self.chance.random() < 0.8 else self.raw_query
            path += "?" + encode(query)
        headers = {pick(HEADERS): self.header_value() for _ in range(self.chance.choice([0, 1, 1, 2, 4]))}
        digest = pick(self.digests)
        body = pick(bodies(self.chance, digest)) if self.chance.random() < 0.6 else b""
        method = pick(METHODS if self.chance.random() < 0.2 else USUAL_METHODS)
        return self.assembled(method, path, headers, body, self.chance.random() < 0.7)

    def malformed(self):
        """What is not quite HTTP, or not all of it."""
        made = self.sensible()
        data = bytearray(made.bytes)
        for _ in range(self.chance.choice([1, 1, 2, 8])):
            at = self.chance.randrange(len(data))
            match self.chance.randrange(4):
                case 0:
                    data[at] = self.chance.randrange(256)
                case 1:
                    del data[at : at + self.chance.randrange(1, 9)]
                case 2:
                    data[at:at] = bytes(self.chance.randrange(256) for _ in range(self.chance.randrange(1, 9)))
                case _:
                    del data[at:]
            if not data:
                data = bytearray(b"G")
        return Sent(bytes(data), made.method, False)

    def right(self, method, path, body):
        """A request with nothing wrong, whatever chance says."""
        return self.assembled(method, path, {"content-type": "application/json"}, body, True, self.basic())

    # The pieces

    def word(self):
        kind = self.chance.random()
        if kind < 0.25:
            return self.chance.choice(self.digests)
        if kind < 0.4 and self.uploads:
            return self.chance.choice(self.uploads).rpartition("/")[2]
        if kind < 0.55:
            return self.chance.choice(["fuzz/app", "fuzz", "other/app", "v1", "2", "3"])
        return self.chance.choice(NASTY)

    def header_value(self):
        return self.chance.choice([self.chance.choice(RANGES), self.word(), self.chance.choice(CONTENT_TYPES)])

    @staticmethod
    def raw_query(pairs):
        return "&".join(f"{name}={value}" for name, value in pairs)

    def manifest(self):
        descriptor = {
            "mediaType": self.chance.choice(CONTENT_TYPES),
            "digest": self.chance.choice([*self.digests, *NASTY[:6]]),
            "size": self.chance.choice([0, 2, -1, 1.5, 1 << 63, "2", None]),
        }
        manifest = {
            "schemaVersion": self.chance.choice([2, 2, 2, 1, "2", None]),
            "mediaType": self.chance.choice(CONTENT_TYPES),
            "config": self.chance.choice([descriptor, descriptor, {}, [], None]),
            "layers": [descriptor] * self.chance.choice([0, 1, 2, 300]),
            "manifests": [descriptor] * self.chance.choice([0, 0, 1]),
            "subject": self.chance.choice([None, descriptor]),
            "annotations": self.chance.choice([{}, None, {"a": self.chance.choice(NASTY)}, {"a": 1}]),
        }
        for key in list(manifest):
            if self.chance.random() < 0.2:
                del manifest[key]
        return json.dumps(manifest).encode("utf-8", "surrogatepass")

    def settings(self):
        name = self.chance.choice([*SETTINGS, self.chance.choice(NASTY)])
        return json.dumps({name: self.chance.choice([-1, 0, 500, 1 << 64, -2, "1h", "x" * 5000, None, [], {}])}).encode()

    def assembled(self, method, path, headers, body, is_plain, authorization=None):
        """The bytes of a request; one that is not plain lies about its body, or cuts it into odd chunks."""
        if OWN_ACCOUNT.search(path) and method not in ("GET", "HEAD"):
            method = "GET"
        lines = [f"{method} {self.target(path)} HTTP/1.1", f"host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += self.authorization() if authorization is None else authorization
        is_whole, framing = True, self.chance.random()
        if is_plain or framing < 0.1:
            lines.append(f"content-length: {len(body)}")
        elif framing < 0.5:
            lines.append("transfer-encoding: chunked")
            body, is_whole = self.chunked(body)
        elif framing < 0.7:
            lines.append(f"content-length: {self.chance.choice([0, 1, len(body) + 7, 1 << 40, '-1', '', '0x10', '+5'])}")
            is_whole = False
        elif framing < 0.8:
            lines += [f"content-length: {len(body)}", "transfer-encoding: chunked"]
            is_whole = False
        else:
            lines.append(f"expect: {self.chance.choice(['100-continue', 'nonsense'])}")
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join(lines).encode("utf-8", "surrogatepass")
        return Sent(head + b"\r\n\r\n" + body, method, is_whole)

    @staticmethod
    def target(path):
        # What would end the line is escaped; the rest goes as it is, also where it should not.
        return "".join(c if c > " " and c != "\x7f" else urllib.parse.quote(c) for c in path) or "/"

    def authorization(self):
        if not self.login:
            return []
        kind = self.chance.random()
        if kind < 0.7:
            return self.basic()
        if kind < 0.8:
            return [f"authorization: Bearer {self.chance.choice(NASTY)}"]
        if kind < 0.85:
            wrong = self.chance.choice(NASTY).encode("utf-8", "surrogatepass")
            return ["authorization: Basic " + base64.b64encode(wrong).decode()]
        return []

    def basic(self):
        if not self.login:
            return []
        return ["authorization: Basic " + base64.b64encode(":".join(self.login).encode()).decode()]

    def chunked(self, body):
        pieces, is_whole = [], True
        while body:
            length = self.chance.randrange(1, len(body) + 1)
            piece, body = body[:length], body[length:]
            told = f"{length:x}"
            if self.chance.random() < 0.15:
                told, is_whole = self.chance.choice(["0", "-1", "FFFFFFFFFFFFFFFFF", "g", "", f"{length + 1:x}"]), False
            extension = self.chance.choice(["", "", ";a=b", ";" + "x" * 300])
            pieces.append(f"{told}{extension}\r\n".encode() + piece + b"\r\n")
        trailers = self.chance.choice([b"", b"", b"x-amz-checksum-crc32: AAAAAA==\r\n", b"content-length: 5\r\n"])
        end = self.chance.choice([b"0\r\n" + trailers + b"\r\n", b"0\r\n" + trailers + b"\r\n", b"", b"0\r\n"])
        return b"".join(pieces) + end, is_whole and end.endswith(b"\r\n\r\n")
