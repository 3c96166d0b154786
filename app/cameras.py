"""The cameras of one take, to be looked at: those that are watched, and those that are pushed.

Three ways to look, as lerobot names them: the next frame, one not read before, the newest one if
it is fresh.  All see what the camera shows, whatever the model has seen of it.
"""

from __future__ import annotations

import threading
import time

from longtake.inbox import MOST_CAMERAS, Inbox
from longtake.live_watch import LiveWatch
from longtake.streaming.capture import CaptureStats
from longtake.streaming.errors import StaleFrame
from longtake.streaming.frame import Frame
from longtake.streaming.newest import Newest
from longtake.stretch import Stretch


class Cameras:
    """Of one take; any thread may call."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._watched: dict[str, LiveWatch] = {}
        self._read: dict[str, int] = {}  # number of the frame that `async_read` gave last
        self._lock = threading.Lock()

    def add(self, watch: LiveWatch) -> None:
        """A camera takes the place of one of its name that has ended; of many, those that ended
        first are remembered no more."""
        with self._lock:
            self._watched.pop(watch.camera, None)
            ended = [name for name, other in self._watched.items() if other.is_read]
            for name in ended[: max(0, len(self._watched) + 1 - MOST_CAMERAS)]:
                del self._watched[name]
            self._watched[watch.camera] = watch
            self._read.pop(watch.camera, None)

    @property
    def names(self) -> list[str]:
        """Of all cameras that can be looked at."""
        with self._lock:
            watched = list(self._watched)
        return watched + [name for name in self._inbox.pushed_cameras if name not in watched]

    def stats(self) -> dict[str, CaptureStats]:
        """Of those that are, or were, watched."""
        with self._lock:
            watched = list(self._watched.values())
        return {watch.camera: watch.stats() for watch in watched}

    def forget(self, stretch: Stretch) -> None:
        """What lies here of it is not shown any more."""
        with self._lock:
            watched = list(self._watched.values())
        for watch in watched:
            watch.forget(stretch)

    # ---------------------------------------------------------------- three ways to look

    def read(self, camera: str, timeout_s: float | None) -> Frame:
        """The next frame to come."""
        name, newest = self._find(camera)
        latest = newest.latest
        after = 0 if latest is None else latest.number
        return self._wait(name, newest, after, timeout_s)[0]

    def async_read(self, camera: str, timeout_ms: float) -> Frame:
        """The newest frame that this did not give before; waits for one where there is none."""
        name, newest = self._find(camera)
        frame, number = self._wait(name, newest, self._read.get(name, 0), timeout_ms / 1e3)
        self._read[name] = number
        return frame

    def read_latest(self, camera: str, max_age_ms: float) -> Frame:
        """The newest frame, at once."""
        name, newest = self._find(camera)
        latest = newest.latest
        if latest is None:
            raise StaleFrame(f"camera {name!r}: no frame has come yet{self._why(name)}")
        age_ms = (time.monotonic() - latest.arrived_s) * 1e3
        if age_ms > max_age_ms:
            raise StaleFrame(
                f"camera {name!r}: its newest frame is {age_ms:.0f} ms old, and max_age_ms is "
                f"{max_age_ms:g}{self._why(name)}"
            )
        return latest.frame()

    def _wait(
        self, name: str, newest: Newest, after: int, timeout_s: float | None
    ) -> tuple[Frame, int]:
        """A frame and its number."""
        still = newest.wait(after, timeout_s)
        if still is None:
            waited = "" if newest.is_closed else f" within {timeout_s:g} s"
            raise StaleFrame(f"camera {name!r}: no new frame{waited}{self._why(name)}")
        return still.frame(), still.number

    def _find(self, camera: str) -> tuple[str, Newest]:
        """By name; where there is one alone, it needs none."""
        names = self.names
        name = names[0] if camera == "" and len(names) == 1 else camera
        with self._lock:
            watch = self._watched.get(name)
        newest = self._inbox.newest_pushed(name)
        if watch is not None and (newest is None or not watch.is_read):
            newest = watch.newest
        if newest is None:
            known = ", ".join(map(repr, names)) or "none: watch one, or push its frames, first"
            raise ValueError(f"camera={camera!r}: no such camera; there is {known}")
        return name, newest

    def _why(self, name: str) -> str:
        with self._lock:
            watch = self._watched.get(name)
        if watch is None or watch.state == "live":
            return ""
        reason = f" ({watch.error})" if watch.error else ""
        return f"; it is {watch.state}{reason}"
