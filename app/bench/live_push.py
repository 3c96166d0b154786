"""What `push` costs the loop that calls it, while the model sees something else and while it rests.

Beside it, in the same moment, the copy of the picture alone, which no push can do without.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from longtake.bench.frame import Row, Say, compared
from longtake.bench.live_feed import Feed, drawn
from longtake.bench.live_rows import bounded, percentile
from longtake.engine import Engine
from longtake.models.embedded.world import Image
from longtake.settings import TakeConfig
from longtake.take import Take

WIDTH, HEIGHT = 640, 480
LOOP_HZ = 50.0  # how often a robot's loop comes round
PICTURES = 16  # different ones, so that they do not lie in the processor's caches
CPU_MS, WALL_MS = 1.0, 5.0
BUSY, IDLE = "ingesting", "idle"


@dataclass(slots=True)
class Costs:
    """Milliseconds of each push."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    copy: list[float] = field(default_factory=list)  # wall time of the copy alone


def rows(
    engine: Engine, seconds: float, repeats: int, seed: int, say: Say
) -> tuple[list[Row], str]:
    """Push for so long into a take of a busy model and of one that rests, in turn.

    Returns:
        Rows, and what was pushed in words.
    """
    config, found = TakeConfig(), {BUSY: Costs(), IDLE: Costs()}
    with ExitStack() as stack:
        take, other = (stack.enter_context(engine.open(config=config)) for _ in range(2))
        film, loop = drawn(seed, take.pace.fps), Loop(take, pictures(seed))
        for turn in range(-1, repeats):
            say(f"push: {'warm-up' if turn < 0 else f'run {turn + 1} of {repeats}'}")
            counted = found if turn >= 0 else {BUSY: Costs(), IDLE: Costs()}
            pushes = round(seconds * LOOP_HZ) if turn >= 0 else PICTURES
            with Feed(other, film, config.mailbox_frames):
                for _ in ticks(pushes):
                    loop.push(counted[BUSY])
            take.drain()
            for _ in ticks(pushes):
                loop.push(counted[IDLE])
                take.drain()
        dropped = sum(take.stats().dropped.values())
    return _rows(found), (
        f"{WIDTH} x {HEIGHT}, {LOOP_HZ:g} times a second, {len(found[BUSY].wall)} of them while "
        f"the model takes in another take at full speed, {dropped} of those let go as it fell "
        f"behind; {len(found[IDLE].wall)} while it rests"
    )


def _rows(found: dict[str, Costs]) -> list[Row]:
    made: list[Row] = []
    for when, costs in found.items():
        copy = {
            share: Row(f"copy alone, {when}, p{share}", percentile(costs.copy, share), "ms")
            for share in (50, 99)
        }
        cpu_99 = bounded(f"push, CPU, {when}, p99", "at most", CPU_MS, "ms")
        wall_99 = bounded(f"push, wall, {when}, p99", "at most", WALL_MS, "ms")
        made += [
            Row(f"push, CPU, {when}, p50", percentile(costs.cpu, 50), "ms"),
            Row(cpu_99, percentile(costs.cpu, 99), "ms"),
            compared(f"push, wall, {when}, p50", percentile(costs.wall, 50), "ms", copy[50]),
            compared(wall_99, percentile(costs.wall, 99), "ms", copy[99]),
            *copy.values(),
        ]
    return made


class Loop:
    """Pushes one picture after another into a take, as far apart as it sees them."""

    def __init__(self, take: Take, images: Sequence[Image]) -> None:
        self.take, self._images, self._pushed = take, images, 0

    def push(self, costs: Costs) -> None:
        """Once, timed; the copy is another picture's, so that neither finds its own in a cache."""
        image, other = (
            self._images[(self._pushed + ahead) % len(self._images)]
            for ahead in (0, len(self._images) // 2)
        )
        at_s = self._pushed / self.take.pace.fps
        self._pushed += 1
        begun = time.perf_counter()
        other.copy()
        costs.copy.append((time.perf_counter() - begun) * 1e3)
        begun, begun_cpu = time.perf_counter(), time.thread_time()
        pushed = self.take.push(image, at_s)
        costs.cpu.append((time.thread_time() - begun_cpu) * 1e3)
        costs.wall.append((time.perf_counter() - begun) * 1e3)
        if not pushed.accepted:
            raise RuntimeError(f"a frame was refused: {pushed.reason}")


def ticks(count: int) -> Iterator[None]:
    """So many turns of a loop at its rate; one that took too long delays the others."""
    for _ in range(count):
        begun = time.monotonic()
        yield
        time.sleep(max(0.0, begun + 1 / LOOP_HZ - time.monotonic()))


def pictures(seed: int) -> list[Image]:
    """Of noise."""
    rng = np.random.default_rng(seed)
    shape = (HEIGHT, WIDTH, 3)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(PICTURES)]
