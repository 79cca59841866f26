"""Programs in Go, built here from the modules that the Go proxy serves."""

import os
import shutil
import subprocess
import sys

from testing.installed import BUILD_CACHE, INSTALLED, ROOT, install_environment, is_installed, mark_installed, run

# What oras' go.mod asks for, the newest of them.
GO_LEAST = (1, 26, 7)


def install_go_program(name, source):
    """`source` is a program's path with its version; or several, and flags before them, with blanks between."""
    folder = INSTALLED / name
    if is_installed(folder, source):
        return
    print(f"building {source}", file=sys.stderr)
    run_go(["install", "-ldflags=-s -w", *source.split()], {"GOBIN": str(folder / "bin")})
    mark_installed(folder, source)


def install_own_go_program(name, module, programs, stamp):
    """Builds scripts/testing/NAME/main.go as each program with its version of `module`, and sets the variable `stamp` of
    that module to the version, as the module's own releases do."""
    folder, source = INSTALLED / name, ROOT / "scripts/testing" / name / "main.go"
    wanted = {"programs": programs, "source": source.read_text()}
    if is_installed(folder, wanted):
        return
    for program, version in programs.items():
        print(f"building {name} with {module}@{version}", file=sys.stderr)
        build = BUILD_CACHE / "own" / program
        build.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, build)
        # This one line pins all the others: Go takes what the module itself asks for, and Go's checksum database
        # vouches for every byte, as it does for `go install`.
        (build / "go.mod").write_text(f"module {name}\n\ngo 1.{GO_LEAST[1]}\n\nrequire {module} {version}\n")
        flags = f"-s -w -X {module}/{stamp}={version}"
        run_go(["build", f"-ldflags={flags}", "-o", folder / "bin" / program, "."], {}, cwd=build)
    mark_installed(folder, wanted)


def run_go(arguments, environment, **options):
    environment = {
        **os.environ,
        "GOCACHE": str(BUILD_CACHE / "build"),
        "GOMODCACHE": str(BUILD_CACHE / "modules"),
        # The default makes folders that only `go clean` can remove. Nothing that is built asks for a version control.
        "GOFLAGS": "-mod=mod -modcacherw -buildvcs=false",
        "CGO_ENABLED": "0",
        **environment,
    }
    # The machine's cores for minutes: whoever works beside it goes first.
    run(["nice", go(), *arguments], env=environment, **options)


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
