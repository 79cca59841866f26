"""Processes that outlive the script that starts them, and the ports they listen on."""

import contextlib
import pathlib
import random
import socket
import subprocess
import time

from testing import fail

# LocalStack is the slow one: 15 s alone on one core, and here three servers and a compiler share two.
READY_SECONDS = 120
# SeaweedFS takes port + 10000 beside every port; both stay below Linux's ephemeral range, which begins at 32768,
# so that no outgoing connection takes one between our look and the server's bind.
LOW_PORT, HIGH_PORT, GRPC_OFFSET = 10240, 22767, 10000


def launch(folder, name, command, **options):
    with open(folder / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A group of its own: Ctrl-C in the terminal ends the tests, and `stop` then ends the servers.
            start_new_session=True,
            **options,
        )
    (folder / f"{name}.pid").write_text(f"{process.pid} {started(process.pid)}")
    return process


def wait(folder, name, process, ready, environment):
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            fail(f"{name} ended with {process.returncode}\n{tail(folder / f'{name}.log')}")
        if ready():
            return environment
        time.sleep(0.1)
    fail(f"{name} was not ready within {READY_SECONDS} s\n{tail(folder / f'{name}.log')}")


def free_ports(count, offset=0):
    """Ports on loopback that are free, as are the ports `offset` above them."""
    with contextlib.ExitStack() as held:
        ports = []
        for port in random.sample(range(LOW_PORT, HIGH_PORT), 1000):
            try:
                for number in {port, port + offset}:
                    probe = held.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    fail("no free ports on loopback")


def started(pid):
    """When a live process started, in clock ticks since boot: with its number, what tells it from any other."""
    try:
        # The fields after the command's name, which may hold anything, parentheses too.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def tail(log):
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])
