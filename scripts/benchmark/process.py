"""What a process has used, and what passes it on the wire."""

import os
import pathlib
import re
import socket
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")

# Work that goes on behind the answer (copies, discards) belongs to the upload that caused it: we wait until the
# process has used less than 2 ticks in this long, at most so long.
IDLE_SECONDS, IDLE_LIMIT = 0.3, 30

RELAY_BUFFER = 1 << 20
REQUEST_LINE = re.compile(rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE) /\S* HTTP/1\.1\r\n")


def stat(pid):
    """The fields of /proc/PID/stat after the command's name, which may hold anything, parentheses too."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(pid):
    """User and system time of all threads, also those that ended."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def session_cpu_seconds(leader):
    """The same of a server that works in several processes: the live ones, and those it has waited for."""
    total = 0
    for entry in os.listdir("/proc"):
        fields = stat(entry) if entry.isdigit() else None
        if fields and int(entry) == leader:
            total += sum(map(int, fields[11:15]))
        elif fields and int(fields[1]) == leader:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def processor_times():
    """Busy and idle ticks of all cores since boot. What the host took is busy: we did not have it."""
    times = list(map(int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    idle = times[3] + times[4]
    return sum(times) - idle, idle


def peak_memory(pid):
    """The largest resident set since the process started, in bytes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def wait_until_idle(pid):
    deadline = time.monotonic() + IDLE_LIMIT
    used = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(IDLE_SECONDS)
        used, before = cpu_seconds(pid), used
        if used - before < 2 / TICKS:
            return


class Relay:
    """Passes connections on to a port and counts bytes and requests. It costs time: never while a clock runs."""

    def __init__(self, port):
        self.target = port
        self.bytes = self.requests = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for source, sink, inward in ((client, server, True), (server, client, False)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.pass_on, args=(source, sink, inward), daemon=True).start()

    def pass_on(self, source, sink, inward):
        buffer = bytearray(RELAY_BUFFER)
        try:
            while length := source.recv_into(buffer):
                # A request begins where a read does: no client here sends one before the last was answered.
                request = inward and REQUEST_LINE.match(buffer, 0, length)
                with self.lock:
                    self.bytes += length
                    self.requests += bool(request)
                sink.sendall(memoryview(buffer)[:length])
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # Either side may go first; both ends hear of it, as they would without us.
            for end in (source, sink):
                end.close()

    def close(self):
        self.listener.close()
