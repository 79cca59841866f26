"""What is measured: groups of candidates that take turns, so that whatever drifts hits all of them alike."""

import dataclasses
import functools
import statistics
import sys
from collections.abc import Callable

from . import push
from .measure import measure_push, measure_rate
from .stage import OURS, READING

# 64 uploads take a store most of a minute, and a peak varies little.
CONCURRENT_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Candidate:
    name: str
    push: Callable | str
    service: str | None = OURS
    store: str | None = "s3"
    load: str = "large"


PEER = "docker-registry"
chunked = functools.partial(push.proxied, chunked=True)


def all_at_once(stage, blobs, clock):
    push.proxied_many(stage, blobs, clock, clients=len(blobs))


GROUPS = {
    "direct": [
        Candidate("curl to the store", push.curl_put, None),
        Candidate("curl, checksum", push.curl_put_checked, None),
        Candidate("one PUT", push.put),
        Candidate("parts", push.parts, READING),
        Candidate("parts, copied", push.parts),
    ],
    "proxied": [
        Candidate("ours", push.proxied),
        Candidate("peer", push.proxied, PEER),
    ],
    "proxied-chunked": [
        Candidate("ours", chunked),
        Candidate("peer", chunked, PEER),
    ],
    "files": [
        Candidate("ours", push.proxied, OURS, "files"),
        Candidate("peer", push.proxied, PEER, "files"),
    ],
    "image": [
        Candidate("curl to the store", push.curl_put_layers, None, load="image"),
        Candidate("containerd", push.containerd, load="image"),
        Candidate("containerd, peer", push.containerd, PEER, load="image"),
    ],
    "proof": [
        Candidate("ours", push.proof, READING),
    ],
    "small": [
        Candidate("curl to the store", push.curl_put_many, None, load="small"),
        Candidate("direct", push.put_many, load="small"),
        Candidate("proxied", push.proxied_many, load="small"),
        Candidate("peer", push.proxied_many, PEER, load="small"),
    ],
    "concurrent": [
        Candidate("ours", all_at_once, load="concurrent"),
        Candidate("peer", all_at_once, PEER, load="concurrent"),
        Candidate("ours, files", all_at_once, OURS, "files", "concurrent"),
    ],
    "sessions": [
        Candidate("begin + presign", "begin"),
        Candidate("pgbench", "pgbench"),
    ],
}
# More of the processors' time than this goes to others: a figure is then not one of a quiet machine.
BUSY = 0.15

# The options that a group's figures depend on; those not named here push one blob.
SETTINGS = {
    "small": ("small_count", "small_size"),
    "concurrent": ("concurrent", "concurrent_size"),
    "sessions": ("seconds",),
}


def run(name, place, loads, options, results):
    """Adds every candidate's figures of each round, and of one more through the relays, where no clock is read."""
    candidates = GROUPS[name]
    rounds = min(options.rounds, CONCURRENT_ROUNDS) if name == "concurrent" else options.rounds
    for candidate in candidates:
        results.setdefault(candidate.name, {"rounds": []})
    done = len(results[candidates[0].name]["rounds"])
    for number in range(done, done + rounds):
        # Whoever comes first in one round comes last in the next.
        turn = number % len(candidates)
        for candidate in candidates[turn:] + candidates[:turn]:
            if name == "sessions":
                figures = measure_rate(place, candidate, options.seconds)
            else:
                figures = measure_push(place, loads, candidate, relayed=False, whole=number == 0)
            results[candidate.name]["rounds"].append(figures)
            say(f"{name}: {candidate.name}, round {number + 1}: {brief(figures)}")
    if name in ("sessions", "concurrent"):
        return results
    for candidate in candidates:
        if candidate.service and "moved" not in results[candidate.name]:
            figures = measure_push(place, loads, candidate, relayed=True, whole=True)
            moved = {key: value for key, value in figures.items() if key.endswith(("bytes", "calls"))}
            results[candidate.name]["moved"] = moved
            say(f"{name}: {candidate.name}, relayed: {moved['bytes']} bytes, {moved['calls']} store calls")
    return results


def median(result, figure):
    values = [figures[figure] for figures in result["rounds"] if figure in figures]
    return statistics.median(values) if values else None


def brief(figures):
    parts = [f"{figures['rate']:.0f}/s" if "rate" in figures else f"{figures['wall']:.2f} s"]
    parts += [f"{figures['cpu']:.2f} s CPU, peak {figures['memory'] >> 20} MiB"] if "memory" in figures else []
    parts += [f"ON A BUSY MACHINE ({figures['others']:.0%})"] if figures["others"] > BUSY else []
    return ", ".join(parts)


def say(line):
    print(line, file=sys.stderr, flush=True)
