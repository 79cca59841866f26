"""The table of ratios, the medians behind it, and the machine."""

import os
import pathlib
import platform
import re
import subprocess

from .groups import BUSY, median

BEGIN, END = "<!-- scripts/bench writes from here -->", "<!-- to here -->"
MIB = 1 << 20


class Figures:
    """What was measured; None where it was not."""

    def __init__(self, groups):
        self.groups = groups

    def of(self, key):
        """Of GROUP/CANDIDATE/FIGURE the median, of GROUP/CANDIDATE/moved/FIGURE what the relays counted,
        of GROUP/OPTION what it was measured with."""
        group, *rest = key.split("/")
        measured = self.groups.get(group)
        if not measured:
            return None
        match rest:
            case [option]:
                return measured["options"].get(option)
            case [candidate, "moved", figure]:
                return measured["results"].get(candidate, {}).get("moved", {}).get(figure)
            case [candidate, figure]:
                result = measured["results"].get(candidate)
                return median(result, figure) if result else None


def seconds(value):
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.1f} ms"


def size(value):
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value >= 100 or value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"


def rate(value):
    return f"{value:,.0f}/s"


def number(value):
    return f"{value:.0f}"


CURL, CHECKED = "direct/curl to the store/wall", "direct/curl, checksum/wall"
PROOF_FLOORS = ("proof/ours/store_read", "proof/ours/openssl")
PEAK = ("<=", 256 * MIB)

# What is measured, ours, the other, how to print both, and the goal: "<=" and ">=" are about the ratio, except
# where the bound is in bytes; "<" is about our own figure.
ROWS = [
    (
        "Direct, one PUT: bytes through the service / the blob",
        "direct/one PUT/moved/bytes", "direct/size", size, ("<=", 0.001),
    ),
    ("Direct, one PUT: wall / one `curl` PUT", "direct/one PUT/wall", CURL, seconds, ("<=", 1.10)),
    ("Direct, one PUT: wall / one `curl` PUT that is checked", "direct/one PUT/wall", CHECKED, seconds, None),
    ("Direct, one PUT: wall / the peer's push", "direct/one PUT/wall", "proxied/peer/wall", seconds, None),
    ("Direct, one PUT: service CPU / the peer's push", "direct/one PUT/cpu", "proxied/peer/cpu", seconds, None),
    ("Direct, parts: bytes through the service / the blob", "direct/parts/moved/bytes", "direct/size", size, None),
    ("Direct, parts: wall / one `curl` PUT", "direct/parts/wall", CURL, seconds, ("<=", 1.25)),
    (
        "Direct, parts proven by a copy: bytes through the service / the blob",
        "direct/parts, copied/moved/bytes", "direct/size", size, ("<=", 0.001),
    ),
    ("Direct, parts proven by a copy: wall / one `curl` PUT", "direct/parts, copied/wall", CURL, seconds, None),
    ("Direct, parts: wall / the peer's push", "direct/parts/wall", "proxied/peer/wall", seconds, None),
    ("Direct, parts: service CPU / the peer's push", "direct/parts/cpu", "proxied/peer/cpu", seconds, None),
    ("Peer: bytes through the service / the blob", "proxied/peer/moved/bytes", "proxied/size", size, None),
    ("Peer: push to S3, wall / one `curl` PUT", "proxied/peer/wall", CURL, seconds, None),
    (
        "Finalize of a hash-bound PUT: bytes moved / the blob",
        "direct/one PUT/moved/finalize_bytes", "direct/size", size, ("<=", 0.001),
    ),
    ("Finalize of a hash-bound PUT: store calls", "direct/one PUT/moved/finalize_calls", None, number, ("<", 5)),
    ("Finalize of a hash-bound PUT: wall / one `curl` PUT", "direct/one PUT/finalize", CURL, seconds, None),
    ("Finalize of parts: wall / one `curl` PUT", "direct/parts/finalize", CURL, seconds, None),
    ("Read-back proof / max(store read, `openssl dgst`)", "proof/ours/wall", PROOF_FLOORS, seconds, ("<=", 1.15)),
    ("Proxied to S3: wall", "proxied/ours/wall", "proxied/peer/wall", seconds, ("<=", 0.5)),
    ("Proxied to S3: service CPU", "proxied/ours/cpu", "proxied/peer/cpu", seconds, ("<=", 0.35)),
    ("Proxied to S3: peak memory", "proxied/ours/memory", "proxied/peer/memory", size, None),
    ("Proxied to S3: bytes through the service", "proxied/ours/moved/bytes", "proxied/peer/moved/bytes", size, None),
    ("Proxied to S3, chunked: wall", "proxied-chunked/ours/wall", "proxied-chunked/peer/wall", seconds, ("<=", 0.5)),
    (
        "Proxied to S3, chunked: service CPU",
        "proxied-chunked/ours/cpu", "proxied-chunked/peer/cpu", seconds, ("<=", 0.35),
    ),
    ("Proxied to files: wall", "files/ours/wall", "files/peer/wall", seconds, None),
    ("Proxied to files: service CPU", "files/ours/cpu", "files/peer/cpu", seconds, ("<=", 0.55)),
    ("Proxied to files: peak memory", "files/ours/memory", "files/peer/memory", size, None),
    (
        "An image pushed by containerd: bytes through the service / its largest layer",
        "image/containerd/moved/bytes", "image/size", size, ("<=", 0.01),
    ),
    (
        "An image pushed by containerd: wall / its layers by `curl`",
        "image/containerd/wall", "image/curl to the store/wall", seconds, ("<=", 1.15),
    ),
    (
        "An image pushed by containerd: wall / its push to the peer",
        "image/containerd/wall", "image/containerd, peer/wall", seconds, None,
    ),
    ("{small}, direct: wall / the peer's push", "small/direct/wall", "small/peer/wall", seconds, None),
    ("{small}, direct: wall / `curl` PUTs", "small/direct/wall", "small/curl to the store/wall", seconds, None),
    ("{small}, direct: service CPU / the peer's push", "small/direct/cpu", "small/peer/cpu", seconds, None),
    ("{small}, proxied: wall", "small/proxied/wall", "small/peer/wall", seconds, None),
    ("{small}, proxied: service CPU", "small/proxied/cpu", "small/peer/cpu", seconds, None),
    ("{small}, proxied: peak memory", "small/proxied/memory", "small/peer/memory", size, None),
    ("{many}, to S3: peak memory", "concurrent/ours/memory", "concurrent/peer/memory", size, PEAK),
    ("{many}, to S3: wall", "concurrent/ours/wall", "concurrent/peer/wall", seconds, None),
    ("{many}, to files: peak memory", "concurrent/ours, files/memory", None, size, PEAK),
    (
        "Begin + presign a second / `pgbench`, same insert",
        "sessions/begin + presign/rate", "sessions/pgbench/rate", rate, (">=", 0.7),
    ),
]


def other_of(figures, key):
    """The slower of several floors, where there are several."""
    values = [figures.of(one) for one in ([key] if isinstance(key, str) else key or ())]
    return max(values) if values and None not in values else None


def table(figures):
    yield "| measure | ours | peer or floor | ratio | goal | |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    keys = ("small/small_count", "small/small_size", "concurrent/concurrent", "concurrent/concurrent_size")
    small, small_size, many, many_size = (figures.of(key) or 0 for key in keys)
    names = {"small": f"{small:,} × {size(small_size)}", "many": f"{many} at once, {size(many_size)} each"}
    for measure, ours, other, show, goal in ROWS:
        ours, other = figures.of(ours), other_of(figures, other)
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
        cells = (measure.format(**names), show(ours), show(other) if other else "", shown, bound, verdict)
        yield f"| {' | '.join(cells)} |"


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
    heads = ("rounds", "wall (range)", "begin", "send", "finalize", "service CPU", "of it finalize", "database CPU")
    heads += ("store CPU", "peak memory", "bytes through", "store calls")
    yield f"| group: candidate | {' | '.join(heads)} |"
    yield "| --- |" + " ---: |" * len(heads)
    for group, measured in figures.groups.items():
        for candidate, result in measured["results"].items():
            if group == "sessions":
                continue
            cells = []
            for column, show in COLUMNS:
                value = figures.of(f"{group}/{candidate}/{column}")
                cells.append("" if value is None else show(value))
            walls = [round_["wall"] for round_ in result["rounds"]]
            cells[0] += f" ({min(walls):.2f}–{max(walls):.2f})"
            bytes_, calls = (figures.of(f"{group}/{candidate}/moved/{key}") for key in ("bytes", "calls"))
            cells += ["" if bytes_ is None else size(bytes_), "" if calls is None else number(calls)]
            yield f"| {group}: {candidate} | {len(walls)} | {' | '.join(cells)} |"
    for candidate, result in figures.groups.get("sessions", {}).get("results", {}).items():
        rates = [round_["rate"] for round_ in result["rounds"]]
        middle, *cores = (figures.of(f"sessions/{candidate}/{figure}") for figure in ("rate", "cpu", "database_cpu"))
        yield ""
        yield (
            f"sessions: {candidate}: {rate(middle)} ({min(rates):,.0f}–{max(rates):,.0f}, {len(rates)} rounds), "
            f"of a core the service took {cores[0]:.2f} and the database {cores[1]:.2f}."
        )
    floors = [figures.of(key) for key in PROOF_FLOORS]
    if None not in floors:
        yield ""
        yield f"proof: the store read took {seconds(floors[0])}, `openssl dgst -sha256` {seconds(floors[1])}."


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
    busy = [
        round_.get("others", 0) > BUSY
        for measured in kept["groups"].values()
        for result in measured["results"].values()
        for round_ in result["rounds"]
    ]
    if any(busy):
        yield f"**The machine was not quiet**: others kept it busy before {sum(busy)} of {len(busy)} measurements."
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
