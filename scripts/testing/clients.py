"""The registry clients that people have: the newest in Go, built here, and Debian's docker and podman, unpacked here.

They are below target/test-servers and nowhere else. Installed by its package, docker would start a daemon of its own.
"""

from testing import fail
from testing.golang import install_go_program
from testing.installed import INSTALLED, ROOT, is_installed, mark_installed, run

GO_PROGRAMS = {
    "crane": "github.com/google/go-containerregistry/cmd/crane@v0.22.1",
    "regctl": "github.com/regclient/regclient/cmd/regctl@v0.11.7",
    "oras": "oras.land/oras/cmd/oras@v1.3.6",
    "helm": "helm.sh/helm/v4/cmd/helm@v4.3.2",
}
# With the libraries that a machine without them would miss.
DEBIAN_PACKAGES = {
    "docker": ["docker.io", "containerd", "runc", "libdevmapper1.02.1", "libseccomp2"],
    "podman": [
        "podman",
        "conmon",
        "runc",
        "libassuan0",
        "libdevmapper1.02.1",
        "libgpg-error0",
        "libgpgme11",
        "libseccomp2",
        "libsubid4",
    ],
}
NAMES = (*GO_PROGRAMS, *DEBIAN_PACKAGES)


def install_debian_program(name):
    folder, packages = INSTALLED / name, DEBIAN_PACKAGES[name]
    if is_installed(folder, packages):
        return
    run([ROOT / "scripts/apt-install", "--into", folder, *packages])
    mark_installed(folder, packages)


INSTALLERS = {
    **{name: lambda name: install_go_program(name, GO_PROGRAMS[name]) for name in GO_PROGRAMS},
    **{name: install_debian_program for name in DEBIAN_PACKAGES},
}


def start_client(name):
    """Nothing runs: it is said where it is."""
    program = INSTALLED / name / ("bin" if name in GO_PROGRAMS else "usr/bin") / name
    if not program.exists():
        fail(f"{name} is missing; run scripts/test-servers install")
    return lambda: {f"OVERSIDE_TEST_{name.upper()}": program}


STARTERS = {name: lambda _folder, name=name: start_client(name) for name in NAMES}
