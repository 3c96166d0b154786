"""What may happen to a stream on its way in: asked, stopped, interrupted, killed, opened again.

A `Walk` is one stream that is watched (`Watching`) or pushed (`Pushing`) in pieces; a `Gate` lets
a reading thread through frame by frame, so that things happen at known frames and nothing is timed.
What has to come of it is not known here.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtake.engine import Engine
from longtake.memory.chunk import Chunk
from longtake.models.decode import Decoding
from longtake.settings import TakeConfig
from longtake.streaming.mailbox import Mailbox
from longtake.take import Take
from longtake.watch import Watch

QUESTIONS = ("what was there?", "where did it go?")
LONG_S = 60.0
PUSHED_FRAMES = 18

Turn = tuple[int, str, int]  # frames seen, what happens then, frames that wait meanwhile


class Gate:
    """Lets a reading thread through frame by frame; stands in every mailbox that waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._left = 0
        self.has_dropped = threading.Event()  # somebody emptied a mailbox

    def let(self, frames: int, watch: Watch) -> None:
        """Returns when so many more have passed, or the source had no more."""
        with self._changed:
            self._left = frames
            self._changed.notify_all()
            while self._left and not watch.is_read:
                self._changed.wait(0.001)
            self._left = 0

    def pass_one(self, stop: threading.Event | None) -> bool:
        with self._changed:
            while not self._left and not (stop is not None and stop.is_set()):
                self._changed.wait(0.001)
            return self._left > 0

    def has_passed(self) -> None:
        with self._changed:
            self._left = max(0, self._left - 1)
            self._changed.notify_all()


@contextmanager
def gated() -> Iterator[Gate]:
    """Every mailbox that waits lets frames through as its gate says."""
    gate, put, drop_all = Gate(), Mailbox.put, Mailbox.drop_all

    def put_one_by_one(box: Mailbox, frame: Any, stop: threading.Event | None = None) -> bool:
        if box.policy != "wait":
            return put(box, frame, stop)
        if not gate.pass_one(stop):
            return False
        is_put = put(box, frame, stop)
        gate.has_passed()
        return is_put

    def drop_and_tell(box: Mailbox, reason: str) -> int:
        dropped = drop_all(box, reason)
        gate.has_dropped.set()
        return dropped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Mailbox, "put", put_one_by_one)
        patch.setattr(Mailbox, "drop_all", drop_and_tell)
        yield gate


@dataclass
class Walk:
    """One stream on its way in, and everything that may happen to it."""

    engine: Engine
    config: TakeConfig
    folder: Path
    gate: Gate
    restarts: int = 0
    kept: dict[int, Chunk] = field(default_factory=dict)  # what was durable when it was opened

    def __post_init__(self) -> None:
        self.take = self.engine.open(self.folder, self.config)
        self.go_on()

    # each kind of stream says these three

    def go_on(self) -> None:
        """The take was opened: the stream comes in again."""
        raise NotImplementedError

    def show(self, frames: int) -> None:
        """The next frames come in; they need not have been seen."""
        raise NotImplementedError

    def finish(self) -> None:
        """All that is left comes in and is seen."""
        raise NotImplementedError

    # what happens

    def nothing(self) -> None: ...

    def ask(self) -> None:
        assert self.take.ask("and now?").coverage == 1.0

    def ask_of_a_time(self) -> None:
        self.take.ask("and then?", at_s=self.take.stats().newest_s / 2)

    def ask_between(self) -> None:
        self.take.ask("and between?", between_s=(2.0, 7.5), top_k=3)

    def ask_in_a_conversation(self) -> None:
        self.take.ask("and it?", conversation="a")

    def ask_and_cancel(self) -> None:
        asking = self.take.stream("and what else?", decoding=Decoding(max_tokens=200))
        next(iter(asking))
        asking.cancel()
        assert asking.result(LONG_S).partial

    def ask_too_late(self) -> None:
        assert self.take.ask("and?", deadline_s=0.0).partial

    def stop(self) -> None:
        self.go_on()

    def reopen(self) -> None:
        self.take.close()
        self.open(self.folder)

    def leave_by_interrupt(self) -> None:
        with suppress(KeyboardInterrupt), self.take:
            raise KeyboardInterrupt
        self.open(self.folder)

    def kill(self) -> None:
        """As kill -9: what lay on the disk at this moment is all there is."""
        left = self.folder.with_name(f"{self.restarts}")
        self.engine.run(lambda: shutil.copytree(self.folder, left))
        self.take.close()
        self.open(left)

    def open(self, folder: Path) -> None:
        self.restarts, self.folder = self.restarts + 1, folder
        self.take = self.engine.open(folder, self.config)
        self.keep()
        self.go_on()

    def keep(self) -> None:
        found = {c.info.number: c for c in self.engine.run(lambda: stored(self.take))}
        for number, chunk in self.kept.items():
            assert_same_bits(found[number], chunk)
        self.kept = found


HAPPENINGS = (
    "nothing",
    "ask",
    "ask_of_a_time",
    "ask_between",
    "ask_in_a_conversation",
    "ask_and_cancel",
    "ask_too_late",
    "stop",
    "reopen",
    "leave_by_interrupt",
    "kill",
)


@dataclass
class Watching(Walk):
    """Clips, one after the other."""

    clips: tuple[Path, ...] = ()

    def go_on(self) -> None:
        self.watch: Watch | None = None
        for clip in self.clips:
            watch = self.take.watch(clip)
            if not watch.is_known:
                self.watch = watch
                return

    def show(self, frames: int) -> None:
        if self.watch is not None:
            self.gate.let(frames, self.watch)
            if self.watch.is_read:
                self.watch.wait(LONG_S)
                self.go_on()

    def finish(self) -> None:
        while self.watch is not None:
            self.show(1000)

    def stop(self) -> None:
        if self.watch is not None:
            self.watch.stop()
            self.watch.wait(LONG_S)
        self.go_on()

    def leave_by_interrupt(self) -> None:
        """Frames that were read wait for the worker, which is busy until they are dropped."""
        with held(self.engine, self.gate.has_dropped):
            if self.watch is not None:
                self.gate.let(2, self.watch)
            with suppress(KeyboardInterrupt), self.take:
                raise KeyboardInterrupt
        self.open(self.folder)


@dataclass
class Pushing(Walk):
    """Frames of two cameras at uneven times; after a restart the whole stream is pushed again."""

    def go_on(self) -> None:
        self.left = pushed_frames()

    def show(self, frames: int) -> None:
        while frames and self.left:
            pts_s, camera, image = self.left.pop(0)
            pushed = self.take.push(image, pts_s, camera=camera)
            assert pushed.accepted or "not later" in pushed.reason
            frames -= pushed.accepted

    def finish(self) -> None:
        self.show(PUSHED_FRAMES)
        self.take.drain()


def pushed_frames() -> list[tuple[float, str, Any]]:
    rng = np.random.default_rng(3)
    times_s = np.cumsum(rng.uniform(0.3, 1.7, PUSHED_FRAMES)).round(3).tolist()
    shape = (20, 28, 3)
    return [
        (t, "door" if i % 5 == 3 else "", rng.integers(0, 256, shape, dtype=np.uint8))
        for i, t in enumerate(times_s)
    ]


@contextmanager
def held(engine: Engine, until: threading.Event) -> Iterator[None]:
    """The worker does nothing else until then."""
    running = threading.Event()

    def hold() -> None:
        running.set()
        until.wait(LONG_S)

    until.clear()
    holding = threading.Thread(target=lambda: engine.run(hold))
    holding.start()
    running.wait()
    try:
        yield
    finally:
        until.set()
        holding.join()


def assert_same_bits(chunk: Chunk, twin: Chunk) -> None:
    assert chunk.info == twin.info
    assert torch.equal(chunk.keys, twin.keys) and torch.equal(chunk.values, twin.values)


def stored(take: Take) -> list[Chunk]:
    return [take._store.read(info.number) for info in take._store.infos()]
