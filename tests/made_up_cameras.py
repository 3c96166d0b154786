"""Cameras that are made up, on a clock that is: no FFmpeg, everything else is real.

`cameras_are` lets takes open what a test makes up in place of what lies at an address; time passes
when a camera says so.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest

from longtake import live_watch
from longtake.streaming.capture import Capture

FPS = 25.0
WAIT_S = 60.0  # for what must come


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self._now_s = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self._now_s

    def pass_s(self, seconds: float) -> None:
        with self._lock:
            self._now_s += seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """In place of a real wait: the time has passed."""
        self.pass_s(seconds)
        return event.is_set()


@dataclass(frozen=True, slots=True)
class Raw:
    """What comes out of a decoder that is none."""

    number: int
    width: int = 96
    height: int = 96
    is_corrupt: bool = False


@dataclass
class Camera:
    """One connection of a made-up camera, as `Capture` knows cameras."""

    let: Callable[[int], bool]  # called with the frame's number; False: the stream ends
    is_live: bool = True
    is_recorded: bool = False
    has_stamps: bool = True
    step_s: float = 1 / FPS
    bad_packets: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    def frames(self, keep_on: Callable[[], bool]) -> Iterator[Raw]:
        for number in itertools.count():
            if not keep_on() or not self.let(number):
                return
            yield Raw(number)

    def stamp_s(self, frame: Raw) -> float:
        return frame.number * self.step_s

    def rgb(self, frame: Raw, max_side: int) -> Any:
        return np.full((frame.height, frame.width, 3), frame.number % 256, np.uint8)

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


Open = Callable[[Any, Any], Camera]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cameras_are(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Callable[[Open], None]:
    """Opens cameras by a function of the test's, on a clock of its own."""

    def opened_by(open_camera: Open) -> None:
        made_up: Any = partial(Capture, open_camera=open_camera, clock=clock, wait=clock.wait)
        monkeypatch.setattr(live_watch, "Capture", made_up)

    return opened_by


def wait_until(is_true: Callable[[], bool]) -> None:
    """Looks again and again; fails when nothing has come of it for a minute."""
    ends_s, never = time.monotonic() + WAIT_S, threading.Event()
    while not is_true():
        assert time.monotonic() < ends_s, "it did not come to that"
        never.wait(0.005)
