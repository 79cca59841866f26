"""The table of ratios, the medians behind it, and the machine."""

import os
import pathlib
import platform
import re
import subprocess

from .groups import median

BEGIN, END = "<!-- scripts/bench writes from here -->", "<!-- to here -->"
MIB = 1 << 20


class Figures:
    """Medians of what was measured; None where it was not."""

    def __init__(self, groups):
        self.groups = groups

    def median(self, group, candidate, figure):
        result = self.groups.get(group, {}).get("results", {}).get(candidate)
        return median(result, figure) if result else None

    def moved(self, group, candidate, figure):
        result = self.groups.get(group, {}).get("results", {}).get(candidate, {})
        return result.get("moved", {}).get(figure)

    def option(self, group, name):
        return self.groups.get(group, {}).get("options", {}).get(name)


def seconds(value):
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.1f} ms"


def size(value):
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"


def rate(value):
    return f"{value:,.0f}/s"


def number(value):
    return f"{value:.0f}"


# (measure, ours, the other, how to print both, goal, what the goal is about)
# A goal is ("<=" or ">=", bound); it is about the ratio, or about our own figure.
def rows(figures):
    of, moved, option = figures.median, figures.moved, figures.option
    large, small = option("direct", "size"), option("small", "small_size")
    curl = "curl to the store"
    yield "Direct, bytes through the service / the blob", moved("direct", "one PUT", "bytes"), large, size, ("<=", 0.001)
    yield "Direct, one PUT: wall / one `curl` PUT", of("direct", "one PUT", "wall"), of("direct", curl, "wall"), seconds, ("<=", 1.10)
    yield "Direct, one PUT: wall / one `curl` PUT with the checksum", of("direct", "one PUT", "wall"), of("direct", "curl, checksum", "wall"), seconds, None
    yield "Direct, parts: wall / one `curl` PUT", of("direct", "parts", "wall"), of("direct", curl, "wall"), seconds, ("<=", 1.25)
    yield "Direct, one PUT: wall / peer's push", of("direct", "one PUT", "wall"), of("proxied", "peer", "wall"), seconds, None
    yield "Direct, one PUT: service CPU / peer's push", of("direct", "one PUT", "cpu"), of("proxied", "peer", "cpu"), seconds, None
    yield "Direct, parts: service CPU / peer's push", of("direct", "parts", "cpu"), of("proxied", "peer", "cpu"), seconds, None
    yield "Direct, parts: bytes through the service / the blob", moved("direct", "parts", "bytes"), large, size, None
    yield "Finalize of a hash-bound PUT: bytes moved / the blob", moved("direct", "one PUT", "finalize_bytes"), large, size, ("<=", 0.001)
    yield "Finalize of a hash-bound PUT: store calls", moved("direct", "one PUT", "finalize_calls"), None, number, ("<", 5)
    yield "Finalize of a hash-bound PUT: wall / one `curl` PUT", of("direct", "one PUT", "finalize"), of("direct", curl, "wall"), seconds, None
    yield "Finalize of parts: wall / one `curl` PUT", of("direct", "parts", "finalize"), of("direct", curl, "wall"), seconds, None
    proof_floor = [of("proof", "ours", "store_read"), of("proof", "ours", "openssl")]
    proof_floor = max(proof_floor) if None not in proof_floor else None
    yield "Read-back proof / max(store read, `openssl dgst`)", of("proof", "ours", "wall"), proof_floor, seconds, ("<=", 1.15)
    yield "Proxied to S3: wall", of("proxied", "ours", "wall"), of("proxied", "peer", "wall"), seconds, ("<=", 0.5)
    yield "Proxied to S3: service CPU", of("proxied", "ours", "cpu"), of("proxied", "peer", "cpu"), seconds, ("<=", 0.35)
    yield "Proxied to S3: peak memory", of("proxied", "ours", "memory"), of("proxied", "peer", "memory"), size, None
    yield "Proxied to S3: bytes through the service", moved("proxied", "ours", "bytes"), moved("proxied", "peer", "bytes"), size, None
    yield "Proxied to S3, chunked: wall", of("proxied-chunked", "ours", "wall"), of("proxied-chunked", "peer", "wall"), seconds, ("<=", 0.5)
    yield "Proxied to S3, chunked: service CPU", of("proxied-chunked", "ours", "cpu"), of("proxied-chunked", "peer", "cpu"), seconds, ("<=", 0.35)
    yield "Proxied to files: wall", of("files", "ours", "wall"), of("files", "peer", "wall"), seconds, None
    yield "Proxied to files: service CPU", of("files", "ours", "cpu"), of("files", "peer", "cpu"), seconds, ("<=", 0.55)
    yield "Proxied to files: peak memory", of("files", "ours", "memory"), of("files", "peer", "memory"), size, None
    many = f"{option('small', 'small_count') or 0:,} × {size(small or 0)}"
    yield f"{many}, direct: wall / peer's push", of("small", "direct", "wall"), of("small", "peer", "wall"), seconds, None
    yield f"{many}, direct: wall / `curl` PUTs", of("small", "direct", "wall"), of("small", curl, "wall"), seconds, None
    yield f"{many}, direct: service CPU", of("small", "direct", "cpu"), of("small", "peer", "cpu"), seconds, None
    yield f"{many}, proxied: wall", of("small", "proxied", "wall"), of("small", "peer", "wall"), seconds, None
    yield f"{many}, proxied: service CPU", of("small", "proxied", "cpu"), of("small", "peer", "cpu"), seconds, None
    yield f"{many}, proxied: peak memory", of("small", "proxied", "memory"), of("small", "peer", "memory"), size, None
    together = f"{option('concurrent', 'concurrent') or 0} at once, {size(option('concurrent', 'concurrent_size') or 0)} each"
    goal = ("<=", 256 * MIB)
    yield f"{together}, to S3: peak memory", of("concurrent", "ours", "memory"), of("concurrent", "peer", "memory"), size, goal
    yield f"{together}, to S3: wall", of("concurrent", "ours", "wall"), of("concurrent", "peer", "wall"), seconds, None
    yield f"{together}, to files: peak memory", of("concurrent", "ours, files", "memory"), None, size, goal
    yield "Begin + presign a second / `pgbench`, same insert", of("sessions", "begin + presign", "rate"), of("sessions", "pgbench", "rate"), rate, (">=", 0.7)


def table(figures):
    yield "| measure | ours | peer or floor | ratio | goal | |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for measure, ours, other, show, goal in rows(figures):
        if ours is None:
            continue
        ratio = ours / other if other else None
        # A bound in bytes or calls is about our figure; all others are about the ratio.
        of_ours = goal is not None and (goal[1] >= MIB or goal[0] == "<")
        judged = ours if of_ours else ratio
        verdict, bound = "", ""
        if goal:
            sign, limit = goal
            bound = f"{ {'<=': '≤', '>=': '≥', '<': '<'}[sign] } {size(limit) if limit >= MIB else limit}"
        if goal and judged is not None:
            met = judged >= limit if sign == ">=" else judged < limit if sign == "<" else judged <= limit
            verdict = "met" if met else "**not met**"
        shown = "" if ratio is None else f"{ratio:.2f}" if ratio >= 0.01 else f"{ratio:.6f}"
        yield f"| {measure} | {show(ours)} | {show(other) if other else ''} | {shown} | {bound} | {verdict} |"


COLUMNS = [
    ("wall", seconds),
    ("begin", seconds),
    ("send", seconds),
    ("finalize", seconds),
    ("cpu", seconds),
    ("finalize_cpu", seconds),
    ("database_cpu", seconds),
    ("store_cpu", seconds),
    ("memory", size),
]


def medians(figures):
    """Every candidate's medians, as they were measured; wall with its range."""
    yield "| group: candidate | rounds | wall (range) | begin | send | finalize | service CPU | of it finalize | database CPU | store CPU | peak memory | bytes through | store calls |"
    yield "| --- |" + " ---: |" * 12
    for group, measured in figures.groups.items():
        for candidate, result in measured["results"].items():
            if group == "sessions":
                continue
            cells = []
            for column, show in COLUMNS:
                value = figures.median(group, candidate, column)
                cells.append("" if value is None else show(value))
            walls = [figures_["wall"] for figures_ in result["rounds"]]
            cells[0] += f" ({min(walls):.2f}–{max(walls):.2f})"
            bytes_, calls = (figures.moved(group, candidate, key) for key in ("bytes", "calls"))
            cells += ["" if bytes_ is None else size(bytes_), "" if calls is None else number(calls)]
            yield f"| {group}: {candidate} | {len(walls)} | {' | '.join(cells)} |"
    sessions = figures.groups.get("sessions", {}).get("results", {})
    for candidate, result in sessions.items():
        rates = [figures_["rate"] for figures_ in result["rounds"]]
        yield f"\nsessions: {candidate}: median {rate(figures.median('sessions', candidate, 'rate'))} ({min(rates):,.0f}–{max(rates):,.0f}), service CPU {figures.median('sessions', candidate, 'cpu'):.2f} and database CPU {figures.median('sessions', candidate, 'database_cpu'):.2f} of a core."
    proof = [figures.median("proof", "ours", name) for name in ("store_read", "openssl")]
    if None not in proof:
        yield f"\nproof: store read {seconds(proof[0])}, `openssl dgst -sha256` {seconds(proof[1])}."


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "model": model[1] if model else platform.machine(),
        "memory": memory,
        "kernel": platform.release(),
        "overside": first_line(["git", "-C", pathlib.Path(__file__).parent, "describe", "--always", "--dirty"]),
        "peer": first_line(["docker-registry", "--version"]),
        "curl": " ".join(first_line(["curl", "--version"]).split()[:2]),
        "openssl": " ".join(first_line(["openssl", "version"]).split()[:2]),
    }


def first_line(command):
    try:
        printed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    except OSError:
        return ""
    return printed.partition("\n")[0]


def render(kept):
    figures = Figures(kept["groups"])
    host, versions = kept["machine"], kept["versions"]
    yield (
        f"{host['cores']} cores of {host['model']}, {host['memory'] / (1 << 30):.0f} GiB, Linux {host['kernel']}. "
        f"Overside {host['overside']}, {host['peer']}, {', '.join(versions)}, {host['curl']}, {host['openssl']}. "
        f"{kept['day']}."
    )
    yield ""
    yield from table(figures)
    yield ""
    yield "The medians it is made of, and the range of the wall time:"
    yield ""
    yield from medians(figures)


def write(path, lines):
    """Replaces what stands between the two markers."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n\n{lines}\n\n{END}{after}")
