"""Frames on their way to the worker: read ones wait for room, pushed ones give way.

Both lie in bounded mailboxes; what was let go is counted by reason.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from longtake.streaming.frame import Frame
from longtake.streaming.mailbox import Mailbox

FORGOTTEN = "forgotten"  # why frames were dropped


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a pushed frame."""

    accepted: bool
    reason: str  # '' where it was accepted
    lag_s: float  # how far the model is behind this frame


class Inbox:
    """Of one take.  Any thread puts; the worker takes.

    Args:
        capacity: frames that may wait, of read and of pushed ones each.
        on_frame: called after each frame that came in; for pushed ones while the inbox's lock is
            held, so it must not come back here.
    """

    def __init__(self, capacity: int, on_frame: Callable[[], None]) -> None:
        self.read = Mailbox(capacity, "wait", on_frame)
        self._pushed = Mailbox(capacity, "newest", on_frame)
        self._lock = threading.Lock()
        self._refused: Counter[str] = Counter()
        self._failure: BaseException | None = None
        self.newest_push_s = float("-inf")

    def push(self, frame: Frame, newest_s: float, lag_s: float) -> Pushed:
        """Take a frame in, or say why not; never waits.

        Args:
            newest_s: session time of the newest frame that has come; a frame has to be later.
        """
        with self._lock:
            failure, self._failure = self._failure, None
            if failure is not None:
                return self._refuse("after a failure", str(failure), lag_s)
            newest_s = max(newest_s, self.newest_push_s)
            if frame.pts_s <= newest_s:
                reason = f"pts_s={frame.pts_s}: not later than {newest_s}, the frame before"
                return self._refuse("not later", reason, lag_s)
            if not self._pushed.put(frame):
                return Pushed(False, "this take is closed", lag_s)
            self.newest_push_s = frame.pts_s
        return Pushed(True, "", lag_s)

    def take(self, count: int) -> list[Frame]:
        """The oldest frames, read ones first; never both kinds at once."""
        return self.read.take(count) or self._pushed.take(count)

    def fail_pushes(self, failure: BaseException) -> None:
        """Keep what went wrong for the next push, or whoever drains."""
        with self._lock:
            self._failure = failure

    def pop_failure(self) -> BaseException | None:
        with self._lock:
            failure, self._failure = self._failure, None
        return failure

    def lose(self, reason: str, count: int) -> None:
        """Frames that were taken from here could not be seen."""
        with self._lock:
            self._refused[reason] += count

    def forget(self, is_meant: Callable[[Frame], bool]) -> None:
        """Frames that wait are dropped, counted as forgotten."""
        for box in (self.read, self._pushed):
            box.drop_where(is_meant, FORGOTTEN)

    def received(self) -> tuple[int, int]:
        """How many frames have come, of each kind."""
        return self.read.received, self._pushed.received

    def has_handed_on(self, received: tuple[int, int]) -> bool:
        """Whether as many frames as `received` once said have left, seen or dropped."""
        boxes = zip((self.read, self._pushed), received, strict=True)
        return all(box.taken + sum(box.dropped.values()) >= count for box, count in boxes)

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that were never seen, by reason."""
        with self._lock:
            found = Counter(self._refused)
        for box in (self.read, self._pushed):
            found.update(box.dropped)
        return dict(found)

    def __len__(self) -> int:
        return len(self.read) + len(self._pushed)

    def close(self) -> None:
        """Take nothing more; what lies here can still be taken."""
        self.read.close()
        self._pushed.close()

    def _refuse(self, kind: str, reason: str, lag_s: float) -> Pushed:
        self._refused[kind] += 1
        return Pushed(False, reason, lag_s)
