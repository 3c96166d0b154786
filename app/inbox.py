"""Frames on their way to the worker: those of files wait for room, all others give way.

Every camera has a place of its own, so that none flushes another; they come out in the order of
their times.  All places are bounded; what was let go is counted by reason.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from longtake.memory.intake import check_camera
from longtake.streaming.frame import Frame
from longtake.streaming.mailbox import Mailbox
from longtake.streaming.newest import Newest, Still
from longtake.streaming.sampler import FixedRate
from longtake.stretch import Stretch

FORGOTTEN, FULL = "forgotten", "full"  # why frames were dropped
MOST_CAMERAS = 64  # that frames are pushed of
LATE_S = 1.0  # this far behind other cameras a frame is still taken in


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a pushed frame."""

    accepted: bool
    reason: str  # '' where it was accepted
    lag_s: float  # how far the model is behind this frame


class _Camera:
    """That frames are pushed of."""

    def __init__(self, box: Mailbox, rate: FixedRate) -> None:
        self.box, self.rate, self.newest = box, rate, Newest()
        self.newest_s = float("-inf")
        self.count = 0  # of frames that were taken in


class Inbox:
    """Of one take.  Any thread puts; the worker takes.

    Args:
        capacity: frames that may wait, of a file and of each camera that is pushed.
        on_frame: called after each frame that came in; for pushed ones while the inbox's lock is
            held, so it must not come back here.
        push_fps: of each camera only so many are taken a second of the pushed frames that are
            to be sampled.
        after_s: session time of the newest frame that was seen in an earlier run.
    """

    def __init__(
        self,
        capacity: int,
        on_frame: Callable[[], None],
        *,
        push_fps: float,
        after_s: float = float("-inf"),
    ) -> None:
        self.read = Mailbox(capacity, "wait", on_frame)
        self._capacity, self._on_frame, self._push_fps = capacity, on_frame, push_fps
        self._cameras: dict[str, _Camera] = {}
        self._live: tuple[Mailbox, ...] = ()
        self._lock = threading.Lock()
        self._offered = 0  # frames that somebody tried to push
        self._past_received = 0  # of sources that have ended
        self._dropped: Counter[str] = Counter()  # beside what the mailboxes count
        self._failure: BaseException | None = None
        self._after_s = after_s
        self._is_closed = False
        self.newest_push_s = float("-inf")

    # ---------------------------------------------------------------- pushed frames

    def push(
        self,
        camera: str,
        pts_s: float,
        newest_s: float,
        make: Callable[[], Frame],
        ahead_s: float = float("inf"),
        *,
        sampled: bool = False,
    ) -> str:
        """Take a frame in, or say why not; never waits.

        Args:
            newest_s: session time of the newest frame that was read or seen.
            make: copies the picture; not called for a frame that is not wanted.
            ahead_s: no frame may be later than this.
            sampled: it is taken in where its camera's rate wants it, and what waits of that camera
                gives way to it; else it waits behind the others.

        Returns:
            '' where it was taken in, else the reason.

        Raises:
            ValueError: by ``make``, or for one camera too many.
        """
        with self._lock:
            self._offered += 1
            try:
                place = self._place(camera)
                reason = self._refusal(place, pts_s, newest_s, ahead_s, sampled)
            except ValueError:
                self._offered -= 1
                raise
        if reason:
            return reason
        try:
            frame = make()
        except BaseException:
            with self._lock:
                self._offered -= 1
            raise
        with self._lock:
            if pts_s <= place.newest_s:  # another thread was faster
                return self._refuse("not later", _not_later(pts_s, place.newest_s))
            if not place.box.put(frame):
                return self._refuse("closed", "this take is closed")
            if sampled:
                place.box.drop_where(lambda other: other is not frame, FULL)
            place.newest_s, place.count = pts_s, place.count + 1
            self.newest_push_s = max(self.newest_push_s, pts_s)
            place.newest.put(_still(place.count, frame))
        return ""

    def refuse(self, kind: str, reason: str) -> str:
        """Count a frame that is not to be taken in, whatever it is; returns the reason."""
        with self._lock:
            self._offered += 1
            return self._refuse(kind, reason)

    def newest_pushed(self, camera: str) -> Newest | None:
        """Where the newest frame of a camera lies that was pushed."""
        with self._lock:
            place = self._cameras.get(camera)
        return None if place is None else place.newest

    @property
    def pushed_cameras(self) -> list[str]:
        with self._lock:
            return list(self._cameras)

    def fail_pushes(self, failure: BaseException) -> None:
        """Keep what went wrong for the next push, or whoever drains."""
        with self._lock:
            self._failure = failure

    def pop_failure(self) -> BaseException | None:
        with self._lock:
            failure, self._failure = self._failure, None
        return failure

    def _place(self, camera: str) -> _Camera:
        place = self._cameras.get(camera)
        if place is not None:
            return place
        if len(self._cameras) >= MOST_CAMERAS:
            raise ValueError(
                f"camera={camera!r}: frames of {MOST_CAMERAS} cameras were pushed already; give "
                "each camera one name"
            )
        check_camera(camera)
        box = Mailbox(self._capacity, "newest", self._on_frame)
        place = _Camera(box, FixedRate(self._push_fps))
        if self._is_closed:
            place.box.close()
        self._cameras[camera] = place
        return place

    def _refusal(
        self, place: _Camera, pts_s: float, newest_s: float, ahead_s: float, sampled: bool
    ) -> str:
        """Why a frame is not taken in; '' where it is."""
        failure, self._failure = self._failure, None
        if failure is not None:
            return self._refuse("after a failure", str(failure))
        if pts_s > ahead_s:
            why = f"pts_s={pts_s}: must be at most {ahead_s:.3f} now, a second ahead of `now_s`"
            return self._refuse("ahead", why)
        newest_s = max(newest_s, self.newest_push_s)
        is_alone = len(self._cameras) == 1 and not self._live
        is_newest = place.newest_s == newest_s or is_alone
        if pts_s <= (newest_s if is_newest else max(place.newest_s, self._after_s)):
            return self._refuse("not later", _not_later(pts_s, newest_s))
        if pts_s < newest_s - LATE_S:
            why = f"pts_s={pts_s}: not later than {newest_s} of another camera, less {LATE_S:g} s"
            return self._refuse("not later", why)
        if sampled and not place.rate.wants(pts_s):
            return self._refuse("not sampled", f"{place.rate.fps:g} frames a second are taken")
        return ""

    def _refuse(self, kind: str, reason: str) -> str:
        self._dropped[kind] += 1
        return reason

    # ---------------------------------------------------------------- what is watched

    def add(self, capacity: int) -> Mailbox:
        """A place for a source whose oldest frame gives way where it is full."""
        box = Mailbox(capacity, "newest", self._on_frame)
        with self._lock:
            self._live = (*self._live, box)
        return box

    def remove(self, box: Mailbox) -> None:
        """Its source has ended and nothing lies there; what it counted stays."""
        with self._lock:
            if box is not self.read:
                self._live = tuple(other for other in self._live if other is not box)
                self._past_received += box.received
                self._dropped.update(box.dropped)

    # ---------------------------------------------------------------- the worker's side

    def take(self, count: int) -> list[Frame]:
        """The oldest frames, those of files first; never both kinds at once.  Of several cameras
        one may be a little behind what was handed out of another."""
        return self.read.take(count) or self._oldest(count)

    def _oldest(self, count: int) -> list[Frame]:
        frames: list[Frame] = []
        while len(frames) < count:
            waiting = [(box.first_s, i, box) for i, box in enumerate(self._giving_way())]
            found = min((entry for entry in waiting if entry[0] is not None), default=None)
            if found is None:
                break
            frames += found[2].take(1)
        return frames

    def lose(self, reason: str, count: int) -> None:
        """Frames that were taken from here could not be seen."""
        with self._lock:
            self._dropped[reason] += count

    def forget(self, stretch: Stretch) -> None:
        """Frames that wait are dropped, counted as forgotten, and not shown any more."""
        for box in self._boxes():
            box.drop_where(stretch.has, FORGOTTEN)
        with self._lock:
            for camera, place in self._cameras.items():
                if stretch.camera in (None, camera):  # those to come are other frames
                    place.newest.forget(stretch.start_s, min(stretch.end_s, place.newest_s))

    def received(self) -> list[tuple[Mailbox, int]]:
        """How many frames have come to each place."""
        return [(box, box.received) for box in self._boxes()]

    def has_handed_on(self, received: Sequence[tuple[Mailbox, int]]) -> bool:
        """Whether as many frames as `received` once said have left, seen or dropped."""
        return all(box.taken + sum(box.dropped.values()) >= count for box, count in received)

    @property
    def count(self) -> int:
        """Frames that have come, whatever became of them."""
        with self._lock:
            come = self._offered + self._past_received
            return come + self.read.received + sum(box.received for box in self._live)

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that were never seen, by reason."""
        with self._lock:
            found = Counter(self._dropped)
            for box in self._boxes():
                found.update(box.dropped)
        return dict(found)

    def __len__(self) -> int:
        """Takes no lock."""
        return len(self.read) + sum(len(box) for box in self._giving_way())

    def drop_all(self, reason: str) -> None:
        """Nothing that waits is to be seen."""
        for box in self._boxes():
            box.drop_all(reason)

    def close(self) -> None:
        """Take nothing more; what lies here can still be taken."""
        with self._lock:
            self._is_closed = True
        for box in self._boxes():
            box.close()
        for place in tuple(self._cameras.values()):
            place.newest.close()

    def _giving_way(self) -> list[Mailbox]:
        return [*(place.box for place in tuple(self._cameras.values())), *self._live]

    def _boxes(self) -> Sequence[Mailbox]:
        return [self.read, *self._giving_way()]


def _not_later(pts_s: float, newest_s: float) -> str:
    return f"pts_s={pts_s}: not later than {newest_s}, the frame before"


def _still(number: int, frame: Frame) -> Still:
    return Still(
        number,
        frame.pts_s,
        time.monotonic(),
        lambda: frame.image,
        camera=frame.camera,
        wall_s=frame.wall_s,
    )
