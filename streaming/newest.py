"""The newest frame of one camera, for whoever looks at what is there now.

Every decoded frame comes by here, and only the newest is held; its pixels are converted when
somebody first asks for them, once.  How frames are decoded and which of them a model sees is not
known here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from longtake.streaming.frame import Frame

MOST_STRETCHES = 8  # forgotten and not passed by yet; more are joined


class Still:
    """One decoded frame whose pixels nobody may ever need.

    Args:
        number: counts the frames of its camera, from 1 on; rises by one with each.
        pts_s: session time, seconds.
        arrived_s: when it came out of the decoder, on the monotonic clock.
        convert: makes the picture, ``[H, W, 3]`` uint8 RGB, masked where masks apply; called at
            most once unless it fails, by the thread that asks first, and then let go with all
            that it holds.
        camera: the camera's name.
        wall_s: Unix time in seconds, where it is known.
    """

    def __init__(
        self,
        number: int,
        pts_s: float,
        arrived_s: float,
        convert: Callable[[], NDArray[np.uint8]],
        *,
        camera: str = "",
        wall_s: float | None = None,
    ) -> None:
        self.number = number
        self.pts_s = pts_s
        self.arrived_s = arrived_s
        self.camera = camera
        self.wall_s = wall_s
        self._convert: Callable[[], NDArray[np.uint8]] | None = convert
        self._frame: Frame | None = None
        self._lock = threading.Lock()

    def frame(self) -> Frame:
        """The picture with its time; from any thread, the same object for all.

        Raises:
            Exception: whatever `convert` raises; the next call tries again.
        """
        with self._lock:
            if self._frame is None:
                assert self._convert is not None
                self._frame = Frame(self.pts_s, self._convert(), self.camera, self.wall_s)
                self._convert = None
            return self._frame

    def __repr__(self) -> str:
        camera = f", camera={self.camera!r}" if self.camera else ""
        state = "decoded" if self._frame is None else "converted"
        return f"Still({self.number}, pts_s={self.pts_s:.3f}{camera}, {state})"


class Forgotten:
    """Stretches that what is still on its way must not come from; used under its owner's lock.

    Those that time has passed by are let go.  Of more than `MOST_STRETCHES` the earliest are
    joined: rather is too much kept back than what was forgotten let through.
    """

    def __init__(self) -> None:
        self._stretches: list[tuple[float, float]] = []  # in order, none touches another

    def add(self, start_s: float, end_s: float) -> None:
        """Session seconds, both ends included; nothing where the end is before the start."""
        if end_s < start_s:
            return
        joined: list[tuple[float, float]] = []
        for begin_s, until_s in sorted([*self._stretches, (start_s, end_s)]):
            if joined and begin_s <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(joined[-1][1], until_s)
            else:
                joined.append((begin_s, until_s))
        while len(joined) > MOST_STRETCHES:
            joined[:2] = [(joined[0][0], joined[1][1])]
        self._stretches = joined

    def takes(self, pts_s: float) -> bool:
        """Whether what was shown then is forgotten; asked in time order."""
        self._stretches = [each for each in self._stretches if each[1] >= pts_s]
        return any(start_s <= pts_s for start_s, _ in self._stretches)


class Newest:
    """One place for one still: a new one takes the place of the old one, which is let go.

    Putting never waits for those who look.  All methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._latest: Still | None = None
        self._number = 0  # of the last one put, also once that was forgotten
        self._is_closed = False
        self._forgotten = Forgotten()
        self._lock = threading.Lock()  # entered as itself: Ctrl-C cannot leave it held
        self._changed = threading.Condition(self._lock)

    def put(self, still: Still) -> None:
        """Show this one from now on, unless its time is forgotten; once closed, nothing changes any
        more.

        Raises:
            ValueError: if its number is not above that of the one before.
        """
        with self._lock:
            if self._is_closed:
                return
            if still.number <= self._number:
                raise ValueError(f"still {still.number} after {self._number}: numbers must rise")
            self._number = still.number
            if self._forgotten.takes(still.pts_s):
                return
            self._latest = still
            self._changed.notify_all()

    @property
    def latest(self) -> Still | None:
        """The newest one, also after `close`; None before the first, or where it was forgotten."""
        return self._latest

    def wait(self, after: int, timeout_s: float | None) -> Still | None:
        """The newest still with a number above `after`, as soon as there is one.

        Args:
            after: the number of the one that is known already; 0 for any.
            timeout_s: how long to wait at most; None for as long as it is open.

        Returns:
            None where none came in time, or none will since it was closed.
        """
        with self._lock:
            self._changed.wait_for(lambda: self._is_closed or self._is_after(after), timeout_s)
            return self._latest if self._is_after(after) else None

    def forget(self, start_s: float, end_s: float) -> None:
        """Let the newest still go if its session time lies in this stretch, both ends included.

        One that is put later and lies in it is not shown either, so `end_s` should be no later than
        now.  Numbers go on rising.
        """
        with self._lock:
            self._forgotten.add(start_s, end_s)
            if self._latest is not None and start_s <= self._latest.pts_s <= end_s:
                self._latest = None

    def close(self) -> None:
        """No more will come: wakes all who wait."""
        with self._lock:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def __repr__(self) -> str:
        return f"Newest({self._latest}{', closed' if self._is_closed else ''})"

    def _is_after(self, number: int) -> bool:
        return self._latest is not None and self._latest.number > number
