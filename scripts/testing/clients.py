"""The clients that people have: the newest in Go, built here, and Debian's docker, podman and git-lfs, unpacked here.
Of containerd and Ollama it is the library, in a program of ours around it; containerd's pushes for Docker, BuildKit and
nerdctl too.

They are below target/test-servers and nowhere else. Installed by its package, docker would start a daemon of its own.
"""

import json
import shlex

from testing import fail
from testing.golang import install_go_program, install_own_go_program
from testing.installed import (
    INSTALLED,
    ROOT,
    install_environment,
    install_npm_packages,
    is_installed,
    mark_installed,
    run,
)

GO_PROGRAMS = {
    # With its daemon, which is what pushes, and without what runs containers: most of what there is to compile.
    "ctr": "-tags=no_cri,no_btrfs,no_devmapper,no_zfs,no_aufs,no_tracing "
    "github.com/containerd/containerd/v2/cmd/ctr@v2.4.2 github.com/containerd/containerd/v2/cmd/containerd@v2.4.2",
    "crane": "github.com/google/go-containerregistry/cmd/crane@v0.22.1",
    "regctl": "github.com/regclient/regclient/cmd/regctl@v0.11.7",
    "oras": "oras.land/oras/cmd/oras@v1.3.6",
    "helm": "helm.sh/helm/v4/cmd/helm@v4.3.2",
    "git_lfs": "github.com/git-lfs/git-lfs/v3@v3.8.1",
}
CONTAINERD = "containerd"
CONTAINERD_MODULE = "github.com/containerd/containerd/v2"
# The newest; the oldest line whose pushes follow a redirect to a bucket; and the last before it. With the `v`, that of the
# tag, the daemon of a release calls itself containerd/v2.4.2.
CONTAINERD_PROGRAMS = {"containerd": "v2.4.2", "containerd_2_2": "v2.2.9", "containerd_2_1": "v2.1.9"}
# Its library, which pushes and pulls models of tensors: all of it takes half an hour to build.
OLLAMA = "ollama"
OLLAMA_MODULE = "github.com/ollama/ollama"
OLLAMA_PROGRAMS = {"ollama": "v0.33.0"}
# With the libraries that a machine without them would miss.
DEBIAN_PACKAGES = {
    "docker": ["docker.io", "containerd", "runc", "libdevmapper1.02.1", "libseccomp2"],
    "git_lfs_debian": ["git-lfs"],
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
# What is not called like its folder: git finds its extension by this name alone.
PROGRAMS = {"git_lfs": "git-lfs", "git_lfs_debian": "git-lfs", "hf_1": "hf", "hf_0": "hf"}
# Hugging Face's command, in an environment of its own each.
HF = ("hf", "hf_1", "hf_0")
MLFLOW = "mlflow"
# tus-js-client, in Node.
TUS = "tus"
NAMES = (*GO_PROGRAMS, CONTAINERD, OLLAMA, *DEBIAN_PACKAGES, *HF, MLFLOW, TUS)


def install_containerd(name):
    install_own_go_program(name, CONTAINERD_MODULE, CONTAINERD_PROGRAMS, stamp="version.Version")


def install_ollama(name):
    install_own_go_program(name, OLLAMA_MODULE, OLLAMA_PROGRAMS, stamp="version.Version")


def install_debian_program(name):
    folder, packages = INSTALLED / name, DEBIAN_PACKAGES[name]
    if is_installed(folder, packages):
        return
    run([ROOT / "scripts/apt-install", "--into", folder, *packages])
    mark_installed(folder, packages)


def install_tus(name):
    """With a command that finds it: Node looks for packages beside a script, and the tests' come without a file."""
    folder = INSTALLED / name
    wanted = json.dumps({"private": True, "dependencies": {"tus-js-client": "4.3.1"}})
    if not install_npm_packages(folder, wanted, "tus-js-client"):
        return
    command = folder / "node"
    command.write_text(f'#!/bin/sh\nNODE_PATH={shlex.quote(str(folder / "node_modules"))} exec node "$@"\n')
    command.chmod(0o755)


INSTALLERS = {
    **{name: lambda name: install_go_program(name, GO_PROGRAMS[name]) for name in GO_PROGRAMS},
    CONTAINERD: install_containerd,
    OLLAMA: install_ollama,
    **dict.fromkeys(HF, install_environment),
    **{name: install_debian_program for name in DEBIAN_PACKAGES},
    MLFLOW: install_environment,
    TUS: install_tus,
}


def start_client(name):
    """Nothing runs: it is said where it is."""
    if name == TUS:
        node = INSTALLED / name / "node"
        return lambda: {"OVERSIDE_TEST_TUS": node} if node.exists() else {}
    if name == MLFLOW:
        python = INSTALLED / name / "bin/python"
        if not python.exists():
            fail(f"{name} is missing; run scripts/test-servers install")
        return lambda: {"OVERSIDE_TEST_MLFLOW": python}
    folder = INSTALLED / name / ("usr/bin" if name in DEBIAN_PACKAGES else "bin")
    names = CONTAINERD_PROGRAMS if name == CONTAINERD else [name]
    programs = {name: folder / PROGRAMS.get(name, name) for name in names}
    if not all(program.exists() for program in programs.values()):
        fail(f"{name} is missing; run scripts/test-servers install")
    return lambda: {f"OVERSIDE_TEST_{name.upper()}": program for name, program in programs.items()}


STARTERS = {name: lambda _folder, name=name: start_client(name) for name in NAMES}
