"""Cameras that are lost again and again, and questions all the while: nothing grows, all adds up.

The cameras are made up (no FFmpeg): they come and go on a clock that runs as fast as the threads
do.  Everything else is real: capture threads, the worker, a memory on disk, two who ask.  A gate
lets cameras and questions go on together, so that what happens is counted and never timed.
Reading `/proc`, the soak runs on Linux.
"""

from __future__ import annotations

import gc
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from longtake.asking import Asking
from longtake.engine import Engine
from longtake.memory.config import MemoryConfig
from longtake.models.decode import Decoding
from longtake.settings import TakeConfig
from longtake.streaming.errors import SourceLost
from longtake.take import Take
from tests import test_soak
from tests.made_up_cameras import (
    FPS,
    WAIT_S,
    Camera,
    Clock,
    Open,
    cameras_are,
    clock,
    wait_until,
)
from tests.test_bench import untrained

__all__ = ["cameras_are", "clock", "untrained"]

CAMERAS = ("door", "yard")
ASKERS = 2
READINGS = 10
FRAMES_AHEAD = 8  # questions' worth of frames that cameras may be ahead of the answers
MOST_GROWN_MB = 8.0
QUESTIONS = ("was there a red star?", "what color was the circle?", "what shape was blue?")
MEMORY = MemoryConfig(ram_bytes=4 << 20, segment_bytes=8 << 20)


@dataclass(frozen=True, slots=True)
class Sizes:
    frames: int  # of all cameras together
    questions: int
    reconnects: int

    @property
    def a_question(self) -> int:
        """Frames to each question."""
        return self.frames // self.questions

    @property
    def a_connection(self) -> int:
        """Frames of one connection: each camera's first one is no reconnection."""
        return self.frames // (self.reconnects + len(CAMERAS))


class Gate:
    """Counts frames and questions, and holds back whoever is too far ahead of the others."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes, self._changed = sizes, threading.Condition()
        self.frames = self.answers = self._asking = 0
        self.is_over = self._is_held = False

    def let_frame(self) -> bool:
        """False: it is over, or all frames have passed."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_over or self._may_frame(), WAIT_S)
            if self.is_over or not self._may_frame() or self.frames >= self._sizes.frames:
                return False
            self.frames += 1
            self._changed.notify_all()
            return True

    def _may_frame(self) -> bool:
        allowed = self._sizes.a_question * (self.answers + FRAMES_AHEAD)
        return not self._is_held and self.frames < allowed

    @contextmanager
    def question(self, number: int) -> Iterator[None]:
        """Begins when its frames have come."""
        needed = number * self._sizes.a_question
        with self._changed:
            self._wait(lambda: not self._is_held and self.frames >= needed)
            self._asking += 1
        try:
            yield
        finally:
            with self._changed:
                self._asking -= 1
                self.answers += 1
                self._changed.notify_all()

    @contextmanager
    def held(self, frames: int) -> Iterator[None]:
        """When so many frames have come: no more of them, and no question, within the block."""
        with self._changed:
            self._wait(lambda: self.frames >= frames)
            self._is_held = True
            self._wait(lambda: self._asking == 0)
        try:
            yield
        finally:
            with self._changed:
                self._is_held = False
                self._changed.notify_all()

    def _wait(self, is_true: Callable[[], bool]) -> None:
        came = self._changed.wait_for(lambda: self.is_over or is_true(), WAIT_S)
        assert came, f"{self.frames} frames and {self.answers} answers, then nothing"

    def wait_for_answers(self) -> None:
        with self._changed:
            self._wait(lambda: self.answers == self._sizes.questions)

    def wait_for_the_end(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.is_over)

    def end(self) -> None:
        with self._changed:
            self.is_over = True
            self._changed.notify_all()


class Soak:
    """Frames and questions of one run."""

    def __init__(self, take: Take, clock: Clock, sizes: Sizes) -> None:
        self.take, self._clock, self._sizes = take, clock, sizes
        self.gate = Gate(sizes)
        self._numbers = itertools.count(1)
        self.failures: list[BaseException] = []
        self.connections: list[int] = []  # one for each that gave a frame

    def open_camera(self, address: Any, config: Any) -> Camera:
        if self.gate.frames >= self._sizes.frames:
            self.gate.wait_for_the_end()  # as one that is off, until its thread is to end
            raise SourceLost(f"{address.shown}: switched off")
        return Camera(self._let)

    def _let(self, number: int) -> bool:
        if number >= self._sizes.a_connection or not self.gate.let_frame():
            return False
        if number == 0:
            self.connections.append(1)
        self._clock.pass_s(1 / FPS / len(CAMERAS))
        return True

    def ask(self) -> None:
        """Of one who asks: the next question when its frames have come, until there are none."""
        try:
            while (
                number := next(self._numbers)
            ) <= self._sizes.questions and not self.gate.is_over:
                with self.gate.question(number):
                    self._ask(number)
        except BaseException as error:
            self.failures.append(error)
            self.gate.end()
        self.gate.wait_for_the_end()

    def _ask(self, number: int) -> None:
        """In turn to its end, in pieces, and cancelled behind the first one."""
        question = QUESTIONS[number % len(QUESTIONS)]
        asking = self.take.stream(question, decoding=Decoding(max_tokens=4))
        pieces = []
        for piece in asking if number % 3 else ():
            pieces.append(piece)
            if number % 3 == 2:
                asking.cancel()
        answer = asking.result(WAIT_S)
        assert answer.question == question and answer.timings.tokens <= 4
        assert not pieces or "".join(pieces) == answer.text, "no piece is given twice"
        assert answer.staleness_s >= 0

    def run(self) -> list[Reading]:
        """A reading each tenth of the frames, the askers and cameras still there."""
        threads = [threading.Thread(target=self.ask, daemon=True) for _ in range(ASKERS)]
        for name in CAMERAS:
            self.take.watch(f"rtsp://127.0.0.1:1/{name}", camera=name)
        for thread in threads:
            thread.start()
        readings = []
        try:
            for part in range(1, READINGS + 1):
                with self.gate.held(part * self._sizes.frames // READINGS):
                    readings.append(read(self.take))
            self.gate.wait_for_answers()
        finally:
            self.gate.end()
            for thread in threads:
                thread.join(WAIT_S)
        assert not self.failures, self.failures
        return readings


@dataclass(frozen=True, slots=True)
class Reading:
    """What the process holds at one moment."""

    ram_mb: float  # its own pages, without the index
    threads: int
    descriptors: int  # without those of segments
    segments: int
    device_bytes: int
    waiting: int  # frames
    queue_bytes: int  # of chunks on their way to the disk


def read(take: Take) -> Reading:
    """While nothing comes and nobody asks, so that nothing begins or ends meanwhile."""
    waiting = take.stats().waiting
    take.drain()
    gc.collect()
    test_soak.give_back_free_pages()
    stats, opened = take.stats(), test_soak.descriptors()
    for camera in stats.cameras.values():
        assert camera.seen == camera.kept + sum(camera.dropped.values())
    assert stats.received == stats.frames + stats.waiting + sum(stats.dropped.values())
    segments = sum(path.endswith(".kvseg") for path in opened)
    return Reading(
        ram_mb=(test_soak.own_ram_bytes() - stats.index_bytes) / 1e6,
        threads=test_soak.threads(),
        descriptors=len(opened) - segments,
        segments=segments,
        device_bytes=stats.device_bytes,
        waiting=waiting,
        queue_bytes=stats.queue_bytes,
    )


def assert_is_bounded(readings: list[Reading], config: TakeConfig) -> list[Reading]:
    """From the first chunks on the disk on: then everything has begun that ever begins."""
    warm = [reading for reading in readings[1:] if reading.segments]
    assert len(warm) >= READINGS // 2, "most of it is behind the window"
    assert {r.device_bytes for r in warm} == {warm[0].device_bytes}
    assert all(r.segments <= test_soak.OPEN_SEGMENTS for r in warm)
    most = len(CAMERAS) + 1  # each camera's newest one, and half a step
    assert all(r.waiting <= most + config.batch_frames for r in warm)
    assert all(r.queue_bytes <= config.memory.queue_bytes for r in warm)
    return warm


def assert_nothing_grows(warm: list[Reading]) -> None:
    """Of the process; where it has run other tests, what they left behind may still end."""
    assert max(r.threads for r in warm) == warm[0].threads
    assert max(r.descriptors for r in warm) == warm[0].descriptors
    assert warm[-1].ram_mb - warm[0].ram_mb <= MOST_GROWN_MB


def soak(
    model: str,
    folder: Path,
    sizes: Sizes,
    clock: Clock,
    cameras_are: Callable[[Open], None],
    monkeypatch: pytest.MonkeyPatch,
) -> list[Reading]:
    """Run one, close it, and look whether all adds up."""
    settled = count_settled(monkeypatch)
    config = TakeConfig(memory=MEMORY)
    before = threading.active_count()
    with Engine(model, device="cpu") as engine:
        with engine.open(folder, config) as take:
            run = Soak(take, clock, sizes)
            cameras_are(run.open_camera)
            readings = run.run()
        assert_adds_up(take, run, sizes)
    assert settled() == sizes.questions, "each is answered once"
    wait_until(lambda: threading.active_count() == before)
    return assert_is_bounded(readings, config)


def count_settled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many answers were finished; one that is finished twice counts twice."""
    finish, counted, lock = Asking.finish, itertools.count(), threading.Lock()
    last = [0]

    def count_and_finish(asking: Asking, answer: Any) -> None:
        with lock:
            last[0] = next(counted) + 1
        finish(asking, answer)

    monkeypatch.setattr(Asking, "finish", count_and_finish)
    return lambda: last[0]


def assert_adds_up(take: Take, run: Soak, sizes: Sizes) -> None:
    stats = take.stats()
    assert set(stats.cameras) == set(CAMERAS)
    for camera in stats.cameras.values():
        assert camera.seen == camera.kept + sum(camera.dropped.values())
    assert sum(c.seen for c in stats.cameras.values()) == run.gate.frames == sizes.frames
    made_again = sum(c.reconnects for c in stats.cameras.values())
    assert made_again == len(run.connections) - len(CAMERAS) >= sizes.reconnects
    assert stats.received == stats.frames + stats.waiting + sum(stats.dropped.values())
    handed_on = sum(c.kept for c in stats.cameras.values())
    replaced = sum(c.dropped.get("full", 0) for c in stats.cameras.values())
    assert stats.received == handed_on + replaced
    assert stats.waiting == 0 and stats.frames >= sizes.questions // 2


def test_cameras_lost_and_questions_asked_add_up(
    untrained: Path,
    tmp_path: Path,
    clock: Clock,
    cameras_are: Callable[[Open], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    sizes = Sizes(frames=4_000, questions=40, reconnects=18)
    soak(str(untrained), tmp_path / "memory", sizes, clock, cameras_are, monkeypatch)


@pytest.mark.long
def test_a_hundred_thousand_frames_leave_everything_as_it_is(
    untrained: Path,
    tmp_path: Path,
    clock: Clock,
    cameras_are: Callable[[Open], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    sizes = Sizes(frames=101_000, questions=1_010, reconnects=200)
    readings = soak(str(untrained), tmp_path / "memory", sizes, clock, cameras_are, monkeypatch)
    assert_nothing_grows(readings)
    with capsys.disabled():
        print()
        for reading in readings:
            print(reading)
