"""A camera that a take is watching: its capture, its place in the inbox, its newest frame.

It goes on until it is stopped; a connection that is lost is made anew by `streaming.capture`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from longtake.streaming.addresses import Address
from longtake.streaming.capture import Capture, CaptureStats, Outage, State
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import SourceError
from longtake.streaming.mailbox import Mailbox
from longtake.streaming.masks import Mask
from longtake.streaming.newest import Newest
from longtake.streaming.report import SourceReport
from longtake.stretch import Stretch


@dataclass(frozen=True, kw_only=True, slots=True)
class Ears:
    """Who is told what happens to a camera; called by its capture's thread, and never waits."""

    on_outage: Callable[[str, Outage], None]  # a camera's name, and when it showed nothing
    on_end: Callable[[], None]


class LiveWatch:
    """One live source; all methods may be called from any thread.

    Args:
        mailbox: of this camera alone.
        masks: blacked out; asked for each frame.
        session_s: monotonic seconds to session time.
    """

    is_known = False
    is_cut = False
    promised_s: float | None = None

    def __init__(
        self,
        address: Address,
        config: CaptureConfig,
        *,
        camera: str,
        fps: float,
        max_side: int,
        mailbox: Mailbox,
        session_s: Callable[[float], float],
        masks: Callable[[], Sequence[Mask]],
        ears: Ears,
    ) -> None:
        self.address, self.kind, self.camera = address.shown, address.kind, camera
        self.mailbox, self.newest, self.offset_s = mailbox, Newest(), session_s(time.monotonic())
        self._on_end = ears.on_end
        self._seen = threading.Event()
        self._error: BaseException | None = None
        self.is_read = False
        self._capture = Capture(
            address,
            config,
            camera=camera,
            fps=fps,
            max_side=max_side,
            mailbox=mailbox,
            newest=self.newest,
            session_s=session_s,
            masks=masks,
            on_outage=lambda outage: ears.on_outage(camera, outage),
            on_end=self._end_reading,
        )

    @property
    def state(self) -> str:
        """connecting, live, stalled, reconnecting, ended or failed."""
        return self._capture.state.value

    @property
    def error(self) -> SourceError | None:
        """What went wrong last with the connection; None if nothing did."""
        return self._capture.error

    @property
    def newest_s(self) -> float | None:
        """Session time of the newest frame that came, kept or not."""
        return self._capture.newest_s

    @property
    def is_drained(self) -> bool:
        """None of its frames waits."""
        return not len(self.mailbox)

    @property
    def was_live(self) -> bool:
        """Whether a frame ever came."""
        return self._capture.newest_s is not None

    def stats(self) -> CaptureStats:
        """Of this camera so far: ``seen == kept + sum(dropped)``, what the mailbox let go
        included; of those kept some may still wait for the model."""
        stats, dropped = self._capture.stats(), self.mailbox.dropped
        return replace(
            stats,
            kept=stats.kept - sum(dropped.values()),
            dropped=dict(Counter(stats.dropped) + Counter(dropped)),
        )

    @property
    def report(self) -> SourceReport:
        """As a file's; complete where it ended because it was told to, or has an end."""
        stats, is_whole = self._capture.stats(), self._error is None
        has_failed = self._capture.state is State.FAILED or not self.was_live
        return SourceReport(
            decoded=stats.seen,
            kept=stats.kept,
            bad_packets=stats.bad_packets,
            ended_s=self.newest_s,
            complete=is_whole and self._capture.state is not State.FAILED,
            end_reason=(stats.error if has_failed else "") or self.state,
        )

    def start(self) -> None:
        self._capture.start()

    def halt(self) -> None:
        """Begin to stop; returns at once."""
        self._capture.halt()

    def stop(self, wait_s: float = 1.0) -> None:
        """Watch no further; what came is still seen.  Returns within about ``wait_s``, even where
        a connection that hangs takes longer to end."""
        self._capture.stop(wait_s)
        self._end_reading()

    def forget(self, stretch: Stretch) -> None:
        """What lies here of it is not shown any more, nor what is on its way."""
        if stretch.camera in (None, self.camera):
            self._capture.forget(stretch.start_s, stretch.end_s)

    def wait(self, timeout_s: float | None = None) -> SourceReport:
        """Until it has ended, and every frame that was kept has been seen by the model.

        Raises:
            TimeoutError: if that is not so in time; watching goes on.
            SourceError: if the source failed for good.
        """
        if not self._seen.wait(timeout_s):
            raise TimeoutError(f"{self.address}: is {self.state}, not ended within {timeout_s} s")
        if self._error is not None:
            raise self._error
        return self.report

    def is_seen(self, timeout_s: float = 0.0) -> bool:
        """Whether it is at its end; waits for that as long as it is told."""
        return self._seen.wait(timeout_s)

    # ---------------------------------------------------------------- the worker's side

    def end(self, seen_s: float, error: BaseException | None = None) -> None:
        """Nothing of it waits any more."""
        if self._capture.state is State.FAILED:
            error = error or self._capture.error
        self._error = error

    def release(self) -> None:
        """Tell whoever waits."""
        self._seen.set()

    def _end_reading(self) -> None:
        self.is_read = True
        self.newest.close()
        self._on_end()
