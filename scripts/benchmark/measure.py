"""One measurement: fresh servers, a warm-up, the push with a clock, and what everybody used for it."""

import contextlib
import time

from . import process, push, sessions
from .blob import Blob
from .client import Registry
from .stage import Stage, at_rest


class Clock:
    """Phases of a push. Between them, and where they are not counted, it stands still."""

    def __init__(self, stage):
        self.stage = stage
        self.phases = []

    def other(self):
        return Clock(self.stage)

    @contextlib.contextmanager
    def phase(self, name, counted=True):
        used, moved = self.stage.cpu(), self.stage.moved()
        began = time.perf_counter()
        yield
        self.phases.append((name, counted, time.perf_counter() - began, used, moved))

    def take(self, other, name):
        """A phase of another clock becomes the last of ours."""
        self.phases.append(next(phase for phase in other.phases if phase[0] == name))

    def figures(self):
        """Call it when everybody has settled: what is done behind an answer counts for the phase it answers."""
        ends = [(used, moved) for _, _, _, used, moved in self.phases[1:]] + [(self.stage.cpu(), self.stage.moved())]
        figures = {"wall": 0.0, "bytes": 0, "calls": 0}
        for (name, counted, seconds, used, moved), (used_after, moved_after) in zip(self.phases, ends, strict=True):
            figures[name] = seconds
            if not counted:
                continue
            figures["wall"] += seconds
            for key, before in used.items():
                figures[key] = figures.get(key, 0.0) + used_after[key] - before
                figures[f"{name}_{key}"] = used_after[key] - before
            for key, before in moved.items():
                figures[key] += moved_after[key] - before
                figures[f"{name}_{key}"] = moved_after[key] - before
        return figures


class Loads:
    """The files that are pushed, and how many bytes each measurement is about."""

    def __init__(self, folder, options):
        self.folder, self.options, self.made = folder, options, {}

    def files(self, kind):
        if kind not in self.made:
            sizes = {
                "large": [self.options.size],
                "image": [self.options.size, self.options.size // 16, 2 << 10],
                "small": [self.options.small_size] * self.options.small_count,
                "concurrent": [self.options.concurrent_size],
                "warm": [min(self.options.size, 16 << 20)],
                "warm-small": [self.options.small_size] * push.SMALL_AT_ONCE,
            }[kind]
            self.made[kind] = [Blob(self.folder / f"{kind}-{n}", size) for n, size in enumerate(sizes)]
        for blob in self.made[kind]:
            blob.renew()
        return self.made[kind]

    def of(self, candidate):
        """What is measured and what warms up, as the candidate's push takes them."""
        if candidate.load == "large":
            return self.files("large")[0], self.files("warm")[0]
        if candidate.load == "small":
            return self.files("small"), self.files("warm-small")
        if candidate.load == "image":
            return self.files("image"), self.files("warm")
        return self.files("concurrent") * self.options.concurrent, self.files("warm")


def measure_push(place, loads, candidate, relayed, whole):
    load, warm = loads.of(candidate)
    with Stage(place, candidate.store, candidate.service, relayed) as stage:
        candidate.push(stage, warm, Clock(stage))
        stage.settle()
        others = at_rest()
        clock = Clock(stage)
        candidate.push(stage, load, clock)
        stage.settle()
        figures = {**clock.figures(), "others": others}
        if stage.pid:
            figures["memory"] = process.peak_memory(stage.pid)
            pushed = load if isinstance(load, list) else [load]
            for blob in {blob.digest: blob for blob in pushed}.values():
                Registry(stage.address).check(blob, whole)
        return figures


def measure_rate(place, candidate, seconds):
    with Stage(place, "s3", "overside") as stage:
        rate = getattr(sessions, candidate.push)
        # Connections, prepared statements, the first pages of the indexes.
        rate(stage, 1)
        others = at_rest()
        before = stage.cpu()
        figures = {"rate": rate(stage, seconds), "others": others}
        used = {key: (value - before[key]) / seconds for key, value in stage.cpu().items()}
        return {**figures, **used, "memory": process.peak_memory(stage.pid)}
