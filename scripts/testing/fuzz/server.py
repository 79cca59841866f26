"""A server to be fuzzed: `overside serve` on a free port, with a folder of its own."""

import base64
import hashlib
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

from testing.fuzz.words import DEFAULTS

PASSWORD = "Fuzzing-takes-9-lives"
# Migrations, the store's probe and a password's hash, unoptimised, on a busy machine.
READY_SECONDS = 60
# After many wrong passwords in a row a name is refused for a minute or two.
SIGN_IN_SECONDS = 240
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Server:
    def __init__(self, name, binary, folder, store):
        folder.mkdir()
        self.name, self.log = name, folder / "log"
        self.login = ("admin", PASSWORD) if name == "guarded" else None
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "OVERSIDE_DATABASE": f"sqlite://{folder}/overside.db",
            "OVERSIDE_STORAGE": f"file://{folder}/store",
            "OVERSIDE_LISTEN": "127.0.0.1:0",
            # Blobs of a run are small, and nobody looks after them.
            "OVERSIDE_MAX_BLOB_SIZE": "16MiB",
            "OVERSIDE_LOG": "warn",
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            **store,
        }
        command = [binary, "serve", "--auth", "token" if self.login else "none"]
        if self.login:
            self.run([binary, "migrate"])
            create = [binary, "user", "create", self.login[0], "--admin", "--password-stdin", "--database"]
            self.run(create, f"{PASSWORD}\n")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment,
                cwd=folder,
            )
        announced = re.search(rb"127\.0\.0\.1:(\d+)", self.process.stdout.readline())
        if not announced:
            raise SystemExit(f"the server did not start\n{self.log_tail()}")
        self.address = ("127.0.0.1", int(announced.group(1)))
        self.wait()

    def run(self, command, given=""):
        done = subprocess.run(
            [str(part) for part in command], input=given, env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, command[1:]))} failed\n{done.stderr}")

    def wait(self):
        deadline = time.monotonic() + READY_SECONDS
        while self.ask("GET", "/readyz")[0] != 200:
            if time.monotonic() > deadline or not self.is_alive():
                raise SystemExit(f"the server is not ready\n{self.log_tail()}")
            time.sleep(0.1)

    def ask(self, method, path, body=None, headers=()):
        request = urllib.request.Request(self.url(path), method=method, data=body, headers=dict(headers))
        if self.login:
            basic = base64.b64encode(":".join(self.login).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {basic}")
        try:
            with OPENER.open(request, timeout=READY_SECONDS) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()
        except OSError as error:
            return 0, {}, str(error).encode()

    def url(self, path):
        return f"http://{self.address[0]}:{self.address[1]}{path}"

    def is_alive(self):
        return self.process.poll() is None

    def log_is_clean(self):
        log = self.log.read_text(errors="replace")
        # In colours where it pleases it.
        return not re.search(r"panicked|\bERROR\b", log)

    def log_tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])

    def resident_mib(self):
        status = open(f"/proc/{self.process.pid}/status", encoding="utf-8").read()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) >> 10

    def stop(self):
        self.process.kill()
        self.process.wait()


def push_and_pull(server):
    """A blob and a manifest, there and back, by the requests that every client sends."""
    content = os.urandom(100_000)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    name = "afterwards/app"
    # This asks whether the service works, not whether somebody has limited it.
    json = {"Content-Type": "application/json"}
    # The run has guessed passwords; whoever does so waits.
    deadline = time.monotonic() + SIGN_IN_SECONDS
    while server.ask("PUT", "/api/v2.0/configurations", DEFAULTS, json)[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.5)
    server.ask("POST", "/api/v2.0/projects", b'{"project_name":"afterwards"}', json)
    pushed = server.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", content)
    pulled = server.ask("GET", f"/v2/{name}/blobs/{digest}")
    if pushed[0] != 201 or pulled[0] != 200 or pulled[2] != content:
        raise RuntimeError(f"{pushed[0]} {pushed[2]!r}, then {pulled[0]}")
    descriptor = f'{{"mediaType":"application/octet-stream","size":100000,"digest":"{digest}"}}'
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = f'{{"schemaVersion":2,"mediaType":"{kind}","config":{descriptor},"layers":[]}}'.encode()
    put = server.ask("PUT", f"/v2/{name}/manifests/last", manifest, {"Content-Type": kind})
    got = server.ask("GET", f"/v2/{name}/manifests/last", headers={"Accept": kind})
    if put[0] != 201 or got[0] != 200 or got[2] != manifest:
        raise RuntimeError(f"manifest: {put[0]} {put[2]!r}, then {got[0]}")
    return True
