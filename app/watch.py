"""Read a source into a take's mailbox, in a thread of its own."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence

from longtake.admission import Admitted, settle
from longtake.ledger import Entry
from longtake.streaming.errors import BeyondEnd
from longtake.streaming.frame import Frame
from longtake.streaming.mailbox import Mailbox
from longtake.streaming.masks import Mask, black_out
from longtake.streaming.report import SourceReport
from longtake.streaming.sources import Source


class Watch:
    """One source being read.  `wait` for a file; `stop` at any time.

    Args:
        admitted: the source, open, and what is known of it.
        camera: name that its frames get.
        masks: blacked out; asked for each frame.
        on_read: called once by the reading thread, when no more frames will come.
    """

    def __init__(
        self,
        admitted: Admitted,
        mailbox: Mailbox,
        on_read: Callable[[], None],
        *,
        camera: str = "",
        masks: Callable[[], Sequence[Mask]] = lambda: (),
    ) -> None:
        self._goes_on, self._all_seen, self._has_ended = admitted.goes_on, True, False
        self._source, self.mailbox, self._on_read = admitted.source, mailbox, on_read
        self.camera, self._masks = camera, masks
        self.identity, self.offset_s = admitted.identity, admitted.offset_s
        self._stop, self._seen = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._is_whole = False  # the source had no more to give
        self._seen_before_s, self._tick_s = admitted.seen_s, admitted.tick_s
        self._first_s: float | None = None  # session time of the first frame that it handed on
        self.newest_s: float | None = None  # and of the last one
        self.is_read = False
        self.is_known = False  # the memory had seen all of it before
        self._thread = threading.Thread(target=self._run, name="longtake-read", daemon=True)

    @classmethod
    def of_known(cls, source: Source, mailbox: Mailbox, entry: Entry) -> Watch:
        """A watch that is at its end: everything was seen in an earlier run."""
        watch = cls(Admitted(source, entry.identity, entry.offset_s), mailbox, lambda: None)
        source.close()
        watch._source.report = entry.report
        watch.is_read = watch.is_known = True
        watch.release()
        return watch

    @property
    def address(self) -> str:
        """Without credentials."""
        return self._source.address

    @property
    def kind(self) -> str:
        return self._source.kind

    @property
    def promised_s(self) -> float | None:
        """Where the source says it ends, in its own time."""
        return self._source.promised_s

    @property
    def is_drained(self) -> bool:
        """None of its frames waits."""
        return not len(self.mailbox)

    @property
    def is_cut(self) -> bool:
        """Reading stopped before the source's end, and can go on there another time."""
        return self.identity is not None and not self._is_whole and self._error is None

    def entry(self) -> Entry:
        """For the memory's ledger, as things stand."""
        newest_s = self.newest_s
        seen_s = self._seen_before_s if newest_s is None else newest_s - self.offset_s
        done = self._has_ended and self._is_whole and self._error is None and self._all_seen
        running = not self._has_ended
        return Entry(self.identity, self.offset_s, seen_s, done, running, self.report)

    @property
    def report(self) -> SourceReport:
        return self._source.report

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Read no further; what was read is still seen.  Returns when the thread has ended."""
        self._stop.set()
        self._source.interrupt()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def wait(self, timeout_s: float | None = None) -> SourceReport:
        """Until every frame has been seen by the model.

        Raises:
            TimeoutError: if that is not so in time; reading goes on.
            SourceError: if the source failed.
        """
        if not self._seen.wait(timeout_s):
            raise TimeoutError(f"{self.address}: not seen to its end within {timeout_s} s")
        if self._error is not None:
            raise self._error
        return self.report

    def is_seen(self, timeout_s: float = 0.0) -> bool:
        """Whether it is at its end; waits for that as long as it is told."""
        return self._seen.wait(timeout_s)

    def end(self, seen_s: float, error: BaseException | None = None) -> None:
        """By the worker: nothing of it waits any more, and ``seen_s`` is the session time of the
        newest frame that was seen, -inf before the first.  `release` then tells whoever waits."""
        self._error, self._has_ended = self._error or error, True
        if self._first_s is None or self.newest_s is None:
            return
        self._all_seen = self.newest_s <= seen_s
        self.newest_s = None if seen_s < self._first_s else min(self.newest_s, seen_s)

    def release(self) -> None:
        self._seen.set()

    def _run(self) -> None:
        try:
            with self._source:
                for frame in self._source.frames():
                    frame = self._as_seen(frame)
                    if self._stop.is_set() or not self.mailbox.put(frame, self._stop):
                        break
                    self._first_s = frame.pts_s if self._first_s is None else self._first_s
                    self.newest_s = frame.pts_s
                else:  # a pipe's frames end where it is interrupted, too
                    self._is_whole = not self._stop.is_set()
        except BaseException as error:  # handed to whoever waits
            if self._goes_on and isinstance(error, BeyondEnd):
                self._is_whole = True
                settle(self.report, self._seen_before_s, self.promised_s, self._tick_s)
            else:
                traceback.clear_frames(error.__traceback__)  # a decoder is held by them
                self._error = error
        finally:
            self.is_read = True
            self._on_read()

    def _as_seen(self, frame: Frame) -> Frame:
        """In session time, of its camera, without what is masked."""
        image = black_out(frame.image, self._masks(), self.camera)
        return Frame(frame.pts_s + self.offset_s, image, self.camera, frame.wall_s)
