"""A take closes in every state of its cameras, soon and for good.

What a camera would do in FFmpeg, to wait and not to be woken, made-up ones do here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake.engine import Engine
from longtake.streaming.errors import SourceLost, SourceNotSupported
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

CLOSES_S = 10.0


class Stuck:
    """Made-up cameras that come into a state and stay there, as FFmpeg does where it waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._opened = clock, 0
        self.is_there, self.let_go = threading.Event(), threading.Event()
        self.closed = threading.Event()

    def connecting(self, address: Any, config: Any) -> Camera:
        self._stay()
        raise SourceLost("nobody is there")

    def live(self, address: Any, config: Any) -> Camera:
        return Camera(self._for_ever)

    def stalled(self, address: Any, config: Any) -> Camera:
        return Camera(self._three_then_nothing)

    def reconnecting(self, address: Any, config: Any) -> Camera:
        self._opened += 1
        if self._opened > 1:
            self._stay()
            raise SourceLost("nobody is there")
        return Camera(self._three)

    def ended(self, address: Any, config: Any) -> Camera:
        self.is_there.set()
        return Camera(self._three, is_live=False)

    def failed(self, address: Any, config: Any) -> Camera:
        self.is_there.set()
        raise SourceNotSupported("this is no camera")

    def _stay(self) -> None:
        self.is_there.set()
        self.let_go.wait(WAIT_S)

    def _three(self, number: int) -> bool:
        self._clock.pass_s(1 / FPS)
        return number < 3

    def _three_then_nothing(self, number: int) -> bool:
        if not self._three(number):
            self._clock.pass_s(3.0)
            self._stay()
            return False
        return True

    def _for_ever(self, number: int) -> bool:
        self.is_there.set()
        self._clock.pass_s(1 / FPS)
        return not self.let_go.wait(0.001)


def captures() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("longtake-capture")]


@pytest.mark.parametrize("is_asked", [False, True], ids=["quiet", "while a question is answered"])
@pytest.mark.parametrize(
    "state", ["connecting", "live", "stalled", "reconnecting", "ended", "failed"]
)
def test_a_take_closes_in_every_state_of_its_camera(
    state: str,
    is_asked: bool,
    untrained: Path,
    clock: Clock,
    cameras_are: Callable[[Open], None],
) -> None:
    stuck = Stuck(clock)
    cameras_are(getattr(stuck, state))
    with Engine(str(untrained), device="cpu") as engine:
        take = engine.open()
        watch: Any = take.watch("rtsp://127.0.0.1:1/door", camera="door")
        assert stuck.is_there.wait(WAIT_S)
        wait_until(lambda: watch.state == state)
        asking = take.submit("was there a red star?") if is_asked else None
        closing = threading.Thread(target=take.close, daemon=True)
        closing.start()
        closing.join(CLOSES_S)
        assert not closing.is_alive(), "closing waits for a camera that hangs"
        seen = take.stats()
        stuck.let_go.set()  # FFmpeg's own timeout: now its thread can end, and changes nothing
        wait_until(lambda: not captures())
        assert watch.is_seen(WAIT_S) and watch.state in ("ended", "failed")
        assert take.stats() == seen
        if asking is not None:
            assert asking.result(WAIT_S).question == "was there a red star?"


def test_a_take_closes_with_half_a_step_that_is_older_than_anothers_whole_one(
    untrained: Path,
) -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    with Engine(str(untrained), device="cpu") as engine:
        take = engine.open()
        for camera, pts_s in (("door", 0.0), ("yard", 0.5), ("yard", 1.0)):
            assert take.push(image, pts_s, camera=camera).accepted
        take.drain()
        take.close()
    assert (take.stats().frames, take.stats().chunks) == (3, 2)
