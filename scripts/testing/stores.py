"""S3 stores beside those of every run, which `scripts/test --stores` runs the storage suite and the attacks on.

Each runs as plain processes on loopback. What each can do is in docs/stores.md.
"""

import json
import os
import shutil
import subprocess

from testing import fail
from testing.bucket import BUCKET, REGION, create_bucket
from testing.golang import install_go_program
from testing.installed import INSTALLED, apt_install, install_environment, is_installed, mark_installed, run
from testing.process import READY_SECONDS, free_ports, launch, wait

# One pair of keys for all of them. MinIO takes no secret below 8 characters; Garage takes keys of exactly this form.
ACCESS_KEY, SECRET_KEY = "GK" + "0123456789ab" * 2, "0123456789abcdef" * 4

# MinIO's key for uploads: it may put below temp/ of any trial's prefix, and nothing else.
UPLOAD_ACCESS_KEY, UPLOAD_SECRET_KEY = "overside-uploads", "only-below-temp-0123456789"

# MinIO has no newer releases as Go modules than this commit.
GO_PROGRAMS = {
    "minio": "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
    "rclone": "github.com/rclone/rclone@v1.76.0",
}
GARAGE = "2.5.0"
S3PROXY = "org.gaul:s3proxy:4.1.0"
# Maven would take an older one, which another of its dependencies asks for, and it would not start.
JACKSON = "com.fasterxml.jackson.core:jackson-annotations:2.21"


# install


def install_go_store(name):
    install_go_program(name, GO_PROGRAMS[name])


def install_garage(name):
    folder = INSTALLED / name
    if is_installed(folder, GARAGE):
        return
    # What its releases have besides, Kubernetes and metrics, is half of what there would be to build.
    source = ["garage", "--version", GARAGE, "--locked", "--no-default-features", "--features=bundled-libs,sqlite"]
    # Nothing of it is built again: its objects would only take room beside ours. Its hashes are to be of some speed.
    quick = {"CARGO_PROFILE_DEV_OPT_LEVEL": "1", "CARGO_PROFILE_DEV_DEBUG": "0"}
    environment = {**os.environ, **quick, "CARGO_TARGET_DIR": str(folder / "build")}
    # The machine's cores for minutes: whoever works beside it goes first.
    run(["nice", "cargo", "install", "--quiet", "--debug", "--root", folder, *source], env=environment)
    shutil.rmtree(folder / "build", ignore_errors=True)
    mark_installed(folder, GARAGE)


def install_s3proxy(name):
    folder = INSTALLED / name
    if is_installed(folder, [S3PROXY, JACKSON]):
        return
    if not shutil.which("mvn") or not shutil.which("java"):
        apt_install("maven")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>".format(
            *coordinates.split(":")
        )
        for coordinates in (S3PROXY, JACKSON)
    )
    # The least that Maven takes for a project: it has the dependencies, and copies them with all that they need.
    (folder / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>overside.tests</groupId><artifactId>s3proxy</artifactId>"
        f"<version>1</version><packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>\n"
    )
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'lib'}"]
    run(["mvn", "--quiet", "--batch-mode", f"--file={folder / 'pom.xml'}", *copy])
    mark_installed(folder, [S3PROXY, JACKSON])


def install_minio(name):
    install_go_store(name)
    install_environment("minio-admin")


INSTALLERS = {
    "minio": install_minio,
    "versitygw": install_go_store,
    "rclone": install_go_store,
    "s3proxy": install_s3proxy,
    "juicefs": install_environment,
    "garage": install_garage,
}


# start


def start_minio(folder):
    api, console = free_ports(2)
    environment = {
        **bare(folder),
        "MINIO_ROOT_USER": ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    addresses = [f"--address=127.0.0.1:{api}", f"--console-address=127.0.0.1:{console}"]
    command = [program("minio", "bin/minio"), "server", "--quiet", *addresses, data(folder, "minio")]
    is_ready = ready(folder, "minio", launch(folder, "minio", command, env=environment), api)

    def set_up():
        told = is_ready()
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": [f"arn:aws:s3:::{BUCKET}/*/temp/*"]}
            ],
        }
        keys = {"access_key": UPLOAD_ACCESS_KEY, "secret_key": UPLOAD_SECRET_KEY, "policy": policy}
        administrator = (
            "import json, sys; from minio import MinioAdmin; from minio.credentials import StaticProvider\n"
            "endpoint, access_key, secret_key, keys = sys.argv[1:]\n"
            "own = StaticProvider(access_key, secret_key)\n"
            "MinioAdmin(endpoint=endpoint, credentials=own, secure=False).add_service_account(**json.loads(keys))"
        )
        command = [program("minio-admin", "bin/python"), "-c", administrator, f"127.0.0.1:{api}"]
        command += [ACCESS_KEY, SECRET_KEY, json.dumps(keys)]
        done = subprocess.run(command, capture_output=True, text=True, env=bare(folder))
        if done.returncode:
            fail(f"MinIO makes no key for uploads\n{done.stderr}")
        return told

    return set_up


def start_versitygw(folder):
    (port,) = free_ports(1)
    keys = ["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", REGION]
    command = [program("versitygw", "bin/versitygw"), "--quiet", *keys, "--port", f"127.0.0.1:{port}"]
    command += ["posix", data(folder, "versitygw")]
    return ready(folder, "versitygw", launch(folder, "versitygw", command, env=bare(folder)), port)


def start_rclone(folder):
    (port,) = free_ports(1)
    # No file of the person who runs the tests.
    config = folder / "rclone.conf"
    config.touch()
    command = [program("rclone", "bin/rclone"), "serve", "s3", f"--config={config}", f"--addr=127.0.0.1:{port}"]
    command += [f"--auth-key={ACCESS_KEY},{SECRET_KEY}", data(folder, "rclone")]
    return ready(folder, "rclone", launch(folder, "rclone", command, env=bare(folder)), port)


def start_s3proxy(folder):
    (port,) = free_ports(1)
    settings = {
        "s3proxy.endpoint": f"http://127.0.0.1:{port}",
        "s3proxy.authorization": "aws-v2-or-v4",
        "s3proxy.identity": ACCESS_KEY,
        "s3proxy.credential": SECRET_KEY,
        "jclouds.provider": "filesystem-nio2",
        "jclouds.filesystem.basedir": data(folder, "s3proxy"),
    }
    config = folder / "s3proxy.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    # Its logger's default is to tell everything.
    quiet = folder / "logback.xml"
    quiet.write_text(
        '<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder>'
        "<pattern>%level %msg%n%ex</pattern></encoder></appender>"
        '<root level="WARN"><appender-ref ref="out"/></root></configuration>\n'
    )
    command = ["java", f"-Dlogback.configurationFile={quiet}", "-cp", f"{program('s3proxy', 'lib')}/*"]
    command += ["org.gaul.s3proxy.Main", "--properties", config]
    return ready(folder, "s3proxy", launch(folder, "s3proxy", command, env=bare(folder)), port)


def start_juicefs(folder):
    (port,) = free_ports(1)
    juicefs, meta = program("juicefs", "bin/juicefs"), f"sqlite3://{folder}/juicefs.db"
    environment = {**bare(folder), "MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}
    # The one bucket of a gateway is called like its file system.
    storage = ["--storage=file", f"--bucket={data(folder, 'juicefs')}/", "--trash-days=0"]
    with open(folder / "juicefs.log", "wb") as log:
        formatted = subprocess.run(
            [juicefs, "format", *storage, meta, "overside"], stdout=log, stderr=log, env=environment
        )
    if formatted.returncode:
        fail(f"juicefs format failed; see {folder / 'juicefs.log'}")
    command = [juicefs, "gateway", f"--cache-dir={data(folder, 'juicefs-cache')}", "--no-usage-report"]
    command += [meta, f"127.0.0.1:{port}"]
    return ready(folder, "juicefs", launch(folder, "juicefs", command, env=environment), port)


def start_garage(folder):
    rpc, api = free_ports(2)
    garage, config = program("garage", "bin/garage"), folder / "garage.toml"
    # TOML reads JSON's strings.
    config.write_text(
        f"metadata_dir = {json.dumps(str(data(folder, 'garage-meta')))}\n"
        f"data_dir = {json.dumps(str(data(folder, 'garage')))}\n"
        'db_engine = "sqlite"\n'
        "replication_factor = 1\n"
        f'rpc_bind_addr = "127.0.0.1:{rpc}"\nrpc_public_addr = "127.0.0.1:{rpc}"\nrpc_secret = "{"0" * 64}"\n'
        f'[s3_api]\ns3_region = "{REGION}"\napi_bind_addr = "127.0.0.1:{api}"\n'
    )
    garage = [garage, f"--config={config}"]
    process = launch(folder, "garage", [*garage, "server"], env=bare(folder))

    def ask(*arguments):
        asked = [*garage, *arguments]
        return subprocess.run(asked, capture_output=True, text=True, env=bare(folder))

    def set_up():
        wait(folder, "garage", process, lambda: ask("status").returncode == 0, {})
        node = ask("node", "id", "--quiet").stdout.partition("@")[0]
        for step in (
            ["layout", "assign", "--zone=tests", "--capacity=1G", node],
            ["layout", "apply", "--version=1"],
            ["key", "import", "--yes", ACCESS_KEY, SECRET_KEY],
            ["key", "allow", "--create-bucket", ACCESS_KEY],
        ):
            done = ask(*step)
            if done.returncode:
                fail(f"garage {' '.join(step[:2])} failed\n{done.stderr}")
        return ready(folder, "garage", process, api)()

    return set_up


STARTERS = {
    "minio": start_minio,
    "versitygw": start_versitygw,
    "rclone": start_rclone,
    "s3proxy": start_s3proxy,
    "juicefs": start_juicefs,
    "garage": start_garage,
}


def program(name, path):
    found = INSTALLED / name / path
    return found if found.exists() else fail(f"{name} is missing; run scripts/test-servers install {name}")


def data(folder, name):
    made = folder / name
    made.mkdir()
    return made


def bare(folder):
    """An environment without a proxy, a key or a setting of the person who runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}


def ready(folder, name, process, port):
    host = f"127.0.0.1:{port}"
    environment = {f"OVERSIDE_TEST_{name.upper()}": f"http://{host}"}
    keys = (ACCESS_KEY, SECRET_KEY)
    return lambda: wait(folder, name, process, lambda: create_bucket(host, READY_SECONDS, keys), environment)
