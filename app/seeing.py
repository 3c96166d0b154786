"""What the worker does for one take: frames go from the inbox to the session, and sources end.

A batch of frames is seen step by step, so that a question may come in between.  What is watched,
who follows along and what goes wrong with frames meet here; what users say is known to `take`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from longtake.inbox import Inbox
from longtake.ledger import Ledger
from longtake.live_watch import LiveWatch
from longtake.session import Session
from longtake.streaming.capture import Outage
from longtake.streaming.errors import redact
from longtake.watch import Watch
from longtake.wording import one_line

MOST_FAILURES = 20  # batches in a row that fail before a camera's watch ends
_SETTLE_S = 10.0  # the worker is given this long to end what was stopped
MOST_OUTAGES = 1000  # that wait to be recorded; the oldest give way

_log = logging.getLogger(__name__)


class Follower(Protocol):
    """What goes along with the frames of a take: a narration, alerts."""

    def end(self) -> None:
        """Every source has ended."""
        ...

    def fail(self, error: BaseException) -> None:
        """Frames cannot be taken in."""
        ...


class NotAlone(RuntimeError):
    """A file has a time of its own: nothing is watched beside it."""


class Seeing:
    """Of one take.  `work` and what begins with "on the worker" run there, the rest anywhere.

    Args:
        miss: is told of each time in which a camera showed nothing; on the worker.
    """

    def __init__(
        self,
        session: Session,
        inbox: Inbox,
        ledger: Ledger,
        followers: Sequence[Follower],
        miss: Callable[[str, Outage], None],
    ) -> None:
        self._session, self._inbox, self._ledger = session, inbox, ledger
        self._followers, self._miss = followers, miss
        self._lock = threading.Lock()
        self._watches: list[Watch | LiveWatch] = []
        self._steps: Iterator[None] | None = None  # of the batch that is being seen
        self._accounted = 0  # what is to be accounted for when the batch is done
        self._failures = 0
        self._outages: deque[tuple[str, Outage]] = deque(maxlen=MOST_OUTAGES)

    # ---------------------------------------------------------------- what is watched

    @property
    def watches(self) -> tuple[Watch | LiveWatch, ...]:
        """Those that have not ended."""
        return tuple(self._watches)

    def add(self, watch: Watch | LiveWatch) -> None:
        """From now on its frames are waited for.

        Raises:
            RuntimeError: if it cannot go beside what is watched already.
        """
        with self._lock:
            self._check_room(watch)
            if isinstance(watch, Watch):
                self._ledger.record(watch.entry())  # from here on a crash loses no place
            self._watches.append(watch)

    def nothing_new(self) -> None:
        """A source was named of which everything was seen before."""
        for follower in self._followers:
            follower.end()

    def note_outage(self, camera: str, outage: Outage) -> None:
        """A camera shows something again; from its own thread."""
        self._outages.append((camera, outage))

    def await_stopped(self) -> None:
        """Cameras that were stopped make room when their last frames have been seen."""
        for watch in self.watches:
            if isinstance(watch, LiveWatch) and watch.is_read:
                watch.is_seen(_SETTLE_S)

    def stop_watches(self, wait_s: float = 1.0) -> None:
        """Read no further; what was read is still seen.

        Args:
            wait_s: for all cameras together, where their connections hang.
        """
        watches, until_s = self.watches, time.monotonic() + wait_s
        for watch in watches:
            if isinstance(watch, LiveWatch):
                watch.halt()
        for watch in watches:
            if isinstance(watch, LiveWatch):
                watch.stop(max(0.0, until_s - time.monotonic()))
            else:
                watch.stop()

    def check_alone(self, address: str) -> None:
        """Raises `NotAlone` if anything is watched beside which no file can be."""
        if self._watches:
            raise NotAlone(
                f"{address}: {self._watches[0].address} is still being watched: wait() for it, or "
                "open another take for a second source"
            )

    def _check_room(self, watch: Watch | LiveWatch) -> None:
        for other in self._watches:
            if not (isinstance(watch, LiveWatch) and isinstance(other, LiveWatch)):
                self.check_alone(watch.address)
            if other.camera == watch.camera:
                raise RuntimeError(
                    f"camera={watch.camera!r} is {other.address} already: give {watch.address} "
                    "another name"
                )

    # ---------------------------------------------------------------- on the worker

    @property
    def has_work(self) -> bool:
        """Takes no lock: the worker looks while it holds its own."""
        is_read = any(watch.is_read for watch in tuple(self._watches))
        return bool(self._steps is not None or self._outages or len(self._inbox) or is_read)

    def work(self) -> bool:
        """See a step, or end a source that was read; False where nothing was to do."""
        if self._steps is None and not self._begin():
            return False
        if self._steps is None:
            return True
        try:
            next(self._steps)
            self._failures = 0
        except StopIteration:
            self._steps = None
        except Exception as error:
            self._steps = None
            self.fail(error, self._accounted - self._account())
        return True

    def finish_batch(self) -> None:
        """On the worker: see the frames that were taken from the inbox."""
        while self._steps is not None:
            self.work()

    def finish(self) -> None:
        """On the worker: see all that waits, end all sources."""
        while self.work():
            pass
        self._end(self.watches, None)

    def fail(self, error: BaseException, frames: int = 0) -> None:
        """Frames could not be taken in: a file ends, and whoever waits, or pushes, is told.
        Cameras go on, and what follows frames that are pushed, unless that fails again and
        again."""
        self._inbox.lose("failed", frames)
        self._failures += 1
        watches = self.watches
        if not watches:
            self._inbox.fail_pushes(error)
        is_file = any(isinstance(watch, Watch) for watch in watches)
        if self._failures < MOST_FAILURES and not is_file:
            if self._failures == 1:
                _log.warning("frames could not be taken in: %s", redact(one_line(error)))
            return
        for follower in self._followers:
            follower.fail(error)
        self.stop_watches(wait_s=0.0)
        self._inbox.read.drop_all("failed")
        try:
            self._end(watches, error)
        except Exception:  # the memory is what failed; that is told already
            for watch in watches:
                watch.release()

    def _begin(self) -> bool:
        """Take up what is next; False where there is nothing."""
        while self._outages:
            self._miss(*self._outages.popleft())
        done = [watch for watch in self.watches if watch.is_read and watch.is_drained]
        frames = [] if done else self._inbox.take(self._session.config.batch_frames)
        if frames:
            self._accounted = self._account() + len(frames)
            self._steps = self._session.seeing(frames)
            return True
        if not done:
            return False
        accounted = self._account()
        try:
            for watch in done:
                if watch.is_cut:  # half a step of it is read again
                    self._session.drop_waiting(watch.offset_s)
            self._session.flush()
            self._session.save()
            self._end(done, None)
        except Exception as error:
            self.fail(error, accounted - self._account())
        return True

    def _account(self) -> int:
        """Frames that the session was given and did not lose."""
        session = self._session
        return session.frames + session.waiting + session.forgotten_frames + session.left_frames

    def _end(self, watches: Sequence[Watch | LiveWatch], error: BaseException | None) -> None:
        seen_s = float("-inf") if self._session.seen_s is None else self._session.seen_s
        for watch in watches:
            watch.end(seen_s, error)
            try:
                if isinstance(watch, Watch):
                    self._ledger.record(watch.entry())
            finally:
                with self._lock:
                    self._watches.remove(watch)
                self._inbox.remove(watch.mailbox)
                watch.release()
        if watches and not self._watches:
            for follower in self._followers:
                follower.end()
