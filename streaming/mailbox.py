"""Hand frames from the thread that reads to the thread that thinks, a bounded number at a time.

Two policies: `wait` holds the reader back until there is room and loses nothing (files);
`newest` never holds anybody back and lets the oldest frame go (cameras), counted.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Literal

from longtake.streaming.frame import Frame

Policy = Literal["wait", "newest"]
STOP_CHECK_S = 0.05  # how often a waiting `put` looks at its stop event


class Mailbox:
    """A bounded queue of frames between two threads.

    ``received == taken + sum(dropped.values()) + len(mailbox)`` holds whenever nobody is inside.

    Args:
        capacity: how many frames may lie here.
        policy: what a full mailbox does: "wait" or "newest".
        on_item: called after each frame that was put, by the putting thread, no lock held.
    """

    def __init__(
        self, capacity: int, policy: Policy = "wait", on_item: Callable[[], None] | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity={capacity}: a mailbox holds at least one frame")
        if policy not in ("wait", "newest"):
            raise ValueError(f"policy={policy!r}: must be 'wait' or 'newest'")
        self.capacity = capacity
        self.policy = policy
        self.received = 0
        self.taken = 0
        self._dropped: Counter[str] = Counter()
        self._frames: deque[Frame] = deque()
        self._lock = threading.Lock()  # entered as itself: Ctrl-C cannot leave it held
        self._changed = threading.Condition(self._lock)
        self._is_closed = False
        self._on_item = on_item

    def put(self, frame: Frame, stop: threading.Event | None = None) -> bool:
        """Leave a frame here.

        With "wait" this blocks while the mailbox is full, until there is room, the mailbox is
        closed or `stop` is set.

        Returns:
            Whether the frame lies here now; False if the mailbox is closed or `stop` was set.
        """
        with self._lock:
            while self.policy == "wait" and self._is_full() and not self._is_closed:
                if stop is not None and stop.is_set():
                    return False
                self._changed.wait(None if stop is None else STOP_CHECK_S)
            if self._is_closed:
                return False
            if self._is_full():
                self._frames.popleft()
                self._dropped["full"] += 1
            self._frames.append(frame)
            self.received += 1
            self._changed.notify_all()
        if self._on_item is not None:
            self._on_item()
        return True

    def take(self, max_items: int = 1, wait_s: float | None = 0.0) -> list[Frame]:
        """The oldest frames, at most `max_items`, in the order they were put.

        Args:
            max_items: at least 1.
            wait_s: how long to wait where nothing lies here; 0 not at all, None until a frame
                comes or the mailbox is closed.

        Returns:
            At least one frame, or an empty list: nothing came in time, or closed and drained.
        """
        if max_items < 1:
            raise ValueError(f"max_items={max_items}: take at least one frame")
        with self._lock:
            if wait_s is None or wait_s > 0:
                self._changed.wait_for(lambda: self._frames or self._is_closed, wait_s)
            count = min(max_items, len(self._frames))
            frames = [self._frames.popleft() for _ in range(count)]
            self.taken += count
            if frames:
                self._changed.notify_all()
            return frames

    def drop_all(self, reason: str) -> int:
        """Empty the mailbox; the frames count as dropped for `reason`.  Returns how many."""
        with self._lock:
            count = len(self._frames)
            self._frames.clear()
            if count:
                self._dropped[reason] += count
                self._changed.notify_all()
            return count

    def drop_where(self, is_meant: Callable[[Frame], bool], reason: str) -> int:
        """Drop some of the frames that lie here, counted for `reason`.  Returns how many."""
        with self._lock:
            kept = [frame for frame in self._frames if not is_meant(frame)]
            count = len(self._frames) - len(kept)
            if count:
                self._frames = deque(kept)
                self._dropped[reason] += count
                self._changed.notify_all()
            return count

    def close(self) -> None:
        """Take no more frames and let nobody wait; what lies here can still be taken."""
        with self._lock:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def dropped(self) -> dict[str, int]:
        """How many frames were let go, by reason."""
        with self._lock:
            return dict(self._dropped)

    @property
    def first_s(self) -> float | None:
        """The time of the oldest frame that lies here; None if there is none."""
        with self._lock:
            return self._frames[0].pts_s if self._frames else None

    def __len__(self) -> int:
        return len(self._frames)

    def __repr__(self) -> str:
        return f"Mailbox({len(self)}/{self.capacity}, {self.policy}, dropped={self.dropped})"

    def _is_full(self) -> bool:
        return len(self._frames) >= self.capacity
