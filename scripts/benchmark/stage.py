"""The servers of one measurement: fresh, on empty folders, so that nothing is left over from the one before."""

import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.parse

from . import process

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# 50 ticks of each core: enough to tell a compiler from a clock.
LOOK_SECONDS = 0.5

# The configuration of Debian's package, with our folders. Relative Locations lead back through the relay.
REGISTRY_CONFIGURATION = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  cache: {{blobdescriptor: inmemory}}
  delete: {{enabled: true}}
  {driver}
http: {{addr: "127.0.0.1:{port}", relativeurls: true, secret: benchmark}}
"""
REGISTRY_S3 = (
    "s3: {{accesskey: {key}, secretkey: {secret}, region: {region}, regionendpoint: {endpoint}, "
    "secure: false, v4auth: true, bucket: {bucket}, rootdirectory: /registry}}"
)


# The service under test, and the same told not to rely on what the store computes.
OURS, READING = "overside", "overside-reading"


def load_test_servers():
    loader = importlib.machinery.SourceFileLoader("test_servers", str(ROOT / "scripts/test-servers"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("test_servers", loader))
    loader.exec_module(module)
    return module


servers = load_test_servers()


class Place:
    """A folder for everything, and the one PostgreSQL of the run; each measurement has a database in it."""

    def __init__(self, parent):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="overside-bench.", dir=parent))
        # PostgreSQL runs as another user when we are root.
        self.folder.chmod(0o755)
        self.databases = 0
        self.postgres = None

    def __enter__(self):
        folder = self.folder / "database"
        self.url = servers.start(folder, ["durable-postgres"])["OVERSIDE_TEST_POSTGRES"]
        self.postgres = int((folder / "postgres.pid").read_text().split()[0])
        return self

    def __exit__(self, *_):
        for folder in sorted(self.folder.iterdir()):
            if folder.is_dir():
                servers.stop(folder)
            else:
                folder.unlink()
        self.folder.rmdir()

    def create_database(self):
        self.databases += 1
        name = f"bench_{self.databases}"
        self.administer("createdb", name)
        return name

    def drop_database(self, name):
        self.administer("dropdb", "--force", name)

    def administer(self, program, *arguments):
        subprocess.run([servers.postgres_programs() / program, *self.connection(), *arguments], check=True)

    def connection(self):
        url = urllib.parse.urlsplit(self.url)
        return ["-h", url.hostname, "-p", str(url.port), "-U", url.username]

    def database_url(self, name):
        return self.url.rpartition("/")[0] + "/" + name


class Stage:
    """A store, a service on it, and a database if it needs one. Relayed, all that the service moves is counted."""

    def __init__(self, place, store, service, relayed=False):
        self.place, self.store, self.service, self.relayed = place, store, service, relayed
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="stage.", dir=place.folder))
        self.endpoint = self.database = self.pid = self.store_pid = None
        self.front = self.back = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        environment = servers.start(self.folder, ["seaweedfs"] if self.store == "s3" else [])
        if self.store == "s3":
            self.endpoint = environment["OVERSIDE_TEST_SEAWEEDFS"]
            self.store_pid = int((self.folder / "seaweedfs.pid").read_text().split()[0])
        if self.service:
            self.start_service()

    @property
    def is_ours(self):
        return self.service in (OURS, READING)

    def start_service(self):
        port = servers.free_ports(1)[0]
        self.front = process.Relay(port) if self.relayed else None
        store_port = urllib.parse.urlsplit(self.endpoint).port if self.endpoint else None
        self.back = process.Relay(store_port) if self.relayed and store_port else None
        self.address = f"http://127.0.0.1:{self.front.port if self.front else port}"
        inner = f"http://127.0.0.1:{self.back.port}" if self.back else self.endpoint
        command = self.overside(port, inner) if self.is_ours else self.registry(port, inner)
        # Nothing of the caller's leaks in: AWS_CA_BUNDLE, for one, would change what the S3 drivers do.
        environment = {"PATH": os.environ["PATH"], "AWS_REGION": servers.REGION}
        environment.update(AWS_ACCESS_KEY_ID=servers.ACCESS_KEY, AWS_SECRET_ACCESS_KEY=servers.SECRET_KEY)
        launched = servers.launch(self.folder, self.service, command, env=environment, cwd=self.folder)
        self.pid = launched.pid
        ready = f"http://127.0.0.1:{port}" + ("/readyz" if self.is_ours else "/v2/")
        ask = ["curl", "--silent", "--fail", "--noproxy", "*", "--output", "/dev/null", ready]
        servers.wait(self.folder, self.service, launched, lambda: subprocess.run(ask).returncode == 0, {})

    def overside(self, port, endpoint):
        self.database = self.place.create_database()
        command = [overside_program(), "serve", "--listen", f"127.0.0.1:{port}", "--log", "warn"]
        command += ["--public-url", self.address, "--database", self.place.database_url(self.database)]
        if not endpoint:
            return [*command, "--storage", f"file://{self.folder}/files"]
        command += ["--storage", f"s3://{servers.BUCKET}/ours", "--s3-path-style"]
        command += ["--store-independent-proofs"] if self.service == READING else []
        return [*command, "--s3-endpoint", endpoint, "--s3-public-endpoint", self.endpoint]

    def registry(self, port, endpoint):
        driver = f"filesystem: {{rootdirectory: {self.folder}/files}}"
        if endpoint:
            names = {"key": servers.ACCESS_KEY, "secret": servers.SECRET_KEY, "region": servers.REGION}
            driver = REGISTRY_S3.format(**names, endpoint=endpoint, bucket=servers.BUCKET)
        configuration = self.folder / "docker-registry.yml"
        configuration.write_text(REGISTRY_CONFIGURATION.format(driver=driver, port=port))
        return ["docker-registry", "serve", configuration]

    def __exit__(self, *_):
        for relay in (self.front, self.back):
            if relay:
                relay.close()
        # Unlinked before most of it was written: what a measurement leaves dirty costs the next one nothing.
        servers.stop(self.folder)
        if self.database:
            self.place.drop_database(self.database)

    def moved(self):
        """Bytes that the service took in and gave out, and its calls to the store."""
        relays = [relay for relay in (self.front, self.back) if relay]
        return {"bytes": sum(relay.bytes for relay in relays), "calls": self.back.requests if self.back else 0}

    def cpu(self):
        used = {"cpu": process.cpu_seconds(self.pid)} if self.pid else {}
        if self.store_pid:
            used["store_cpu"] = process.cpu_seconds(self.store_pid)
        if self.database:
            used["database_cpu"] = process.session_cpu_seconds(self.place.postgres)
        return used

    def settle(self):
        """Waits until everybody has finished and the disk has what it should, so that nobody pays for another."""
        for pid in filter(None, (self.pid, self.store_pid)):
            process.wait_until_idle(pid)


def overside_program():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
    return target / "release/overside"


def at_rest():
    """Has the disk write what it should, and tells how busy others keep the processors: 0 is a quiet machine."""
    os.sync()
    before = process.processor_times()
    time.sleep(LOOK_SECONDS)
    busy, idle = (after - was for after, was in zip(process.processor_times(), before))
    return busy / (busy + idle)
