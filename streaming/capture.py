"""One live source, drained by a thread of its own, and never given up.

    connecting --frame--> live --silence--> stalled --frame--> live
                            |__ lost __> reconnecting --frame--> live (an `Outage` is told)
    recorded: at its end -> ended;  what cannot heal, or `reconnects` used up -> failed

The thread opens, decodes everything, and gives every frame to `handover`; what is known of it all
lies in `capture_progress`.  How an address is opened is known in `camera_stream`; who takes the
frames is not known.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence

from av.video.frame import VideoFrame

from longtake.streaming import camera_stream
from longtake.streaming.addresses import Address
from longtake.streaming.backoff import Backoff
from longtake.streaming.camera_stream import FIRST_FRAME_S
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.capture_progress import Progress
from longtake.streaming.capture_stats import CaptureStats, Outage, State
from longtake.streaming.errors import (
    SourceError,
    SourceLost,
    SourceNotSupported,
    SourceTimeout,
    redact,
)
from longtake.streaming.failures import no_frame
from longtake.streaming.gate import Gate
from longtake.streaming.handover import Camera, Handover
from longtake.streaming.mailbox import Mailbox
from longtake.streaming.masks import Mask
from longtake.streaming.newest import Newest
from longtake.streaming.pacing import Pace

__all__ = ["Camera", "Capture", "CaptureStats", "Outage", "State"]

PASSING_S = 0.1  # that a frame which is being handed over has in any case
SETTLED_S = 1.0  # a connection that lived so long makes the waits short again
_log = logging.getLogger(__name__)


def _nothing_told(*_: object) -> None:
    return None


class Capture:
    """Watch one camera until it is stopped, over any number of connections.

    Args:
        address: where it is.
        config: how it is opened and sampled.
        camera: its name; frames carry it, and masks ask for it.
        fps: frames a second to keep, at most.
        max_side: no side of a picture is larger, in pixels.
        mailbox: takes what is kept; may be shared.  Not closed here.
        newest: shows every frame; closed at the end.
        session_s: monotonic seconds -> session seconds; called by any thread.
        masks: blacked out, asked for each frame by any thread; None: the config's.
        on_outage: told of each stretch that was not seen, when it is over or the capture is.
        on_end: called once, after everything else.
        clock: monotonic seconds.
        open_camera: opens the address; raises `SourceError`.
        wait: waits for an event or so many seconds; True if the event is set.

    `on_outage` and `on_end` are called by the capture thread, or by the one that stops it; never
    after `stop` has returned, and with no lock held.
    """

    def __init__(
        self,
        address: Address,
        config: CaptureConfig,
        *,
        camera: str,
        fps: float,
        max_side: int,
        mailbox: Mailbox,
        newest: Newest,
        session_s: Callable[[float], float],
        masks: Callable[[], Sequence[Mask]] | None = None,
        on_outage: Callable[[Outage], None] = _nothing_told,
        on_end: Callable[[], None] = _nothing_told,
        clock: Callable[[], float] = time.monotonic,
        open_camera: Callable[[Address, CaptureConfig], Camera] = camera_stream.open_camera,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self.address = address
        self.camera = camera
        self._config = config
        self._newest = newest
        self._on_outage = on_outage
        self._on_end = on_end
        self._clock = clock
        self._open_camera = open_camera
        self._wait = wait
        self._gate = Gate()
        self._progress = Progress(address, camera, config.stall_s, clock, session_s)
        self._handover = Handover(
            config,
            camera,
            fps=fps,
            max_side=max_side,
            mailbox=mailbox,
            newest=newest,
            gate=self._gate,
            masks=masks,
        )
        self._backoff = Backoff(config.first_wait_s, config.backoff_s)
        self._open: Camera | None = None
        self._pace: Pace | None = None
        self._asked_s = 0.0  # monotonic: when FFmpeg was last asked for a packet
        self._blocked_s = 0.0  # of the silence, what FFmpeg waited
        self._ending = threading.Lock()  # taken once and never given back: by who ends it
        self._thread = threading.Thread(
            target=self._run, name=f"longtake-capture-{camera or address.kind}", daemon=True
        )

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def halt(self) -> None:
        """Begin to end it, from any thread, and return at once.

        A frame that is on its way arrives or is counted; then the capture's thread says that it is
        over, or `stop` does.
        """
        self._gate.closed.set()
        if (camera := self._open) is not None:
            camera.interrupt()

    def stop(self, wait_s: float = 1.0) -> None:
        """End it, from any thread and in any state; may be called twice.

        Returns after about `wait_s` at the latest, though FFmpeg may block on: its thread then
        ends by its own timeouts, and hands nothing to anybody any more.
        """
        until_s = time.monotonic() + wait_s
        self.halt()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(wait_s)
        self._gate.close(max(PASSING_S, until_s - time.monotonic()))
        self._finish()

    def forget(self, start_s: float, end_s: float) -> None:
        """Show, compare with and hand over nothing of a stretch any more, also what is on its way.

        What is handed over no more counts as "forgotten".  What is yet to happen is seen as ever.
        From any thread, also when it is over.

        Args:
            start_s, end_s: session seconds, both ends included.
        """
        self._handover.forget(start_s, min(end_s, self._progress.now_s))

    @property
    def state(self) -> State:
        """Where it stands; `STALLED` is found out by looking."""
        return self._progress.state

    @property
    def error(self) -> SourceError | None:
        """The last thing that went wrong; None if nothing did."""
        return self._progress.error

    @property
    def newest_s(self) -> float | None:
        """Session time of the newest frame."""
        return self._progress.newest_s

    @property
    def is_alive(self) -> bool:
        """Whether its thread still runs; after `stop` it may, until FFmpeg lets it go."""
        return self._thread.is_alive()

    def stats(self) -> CaptureStats:
        """What is known now; from any thread, never waits for FFmpeg."""
        return self._progress.stats()

    def __repr__(self) -> str:
        return f"Capture({self.address.shown}, camera={self.camera!r}, {self.state})"

    def _run(self) -> None:
        failure: SourceError | None = None
        try:
            failure = self._keep_connected()
        except Exception as error:  # a mistake of ours, or of a callback: told, never silent
            told = redact(traceback.format_exc())
            _log.error("%s: the capture thread ended by a mistake\n%s", self.address.shown, told)
            failure = SourceError(f"{self.address.shown}: {redact(repr(error))}")
        with self._gate.passing(is_last=True) as is_ours:
            if is_ours:  # else `stop` does it
                failure = None if self._gate.closed.is_set() else failure
                if failure is not None:
                    _log.warning("%s; given up", str(failure))
                self._finish(failure)

    def _finish(self, failure: SourceError | None = None) -> None:
        """Tell everybody that it is over; once."""
        if not self._ending.acquire(blocking=False):
            return
        outage = self._progress.open_outage()
        self._progress.end(failure)
        self._newest.close()
        self._handover.let_go()
        if outage is not None:
            self._on_outage(outage)
        self._on_end()

    def _keep_connected(self) -> SourceError | None:
        """Watch for as long as it may; why it cannot go on, None: it was all, or was stopped."""
        retries = 0
        while True:
            failure = self._watch_once()
            if failure is None or self._gate.closed.is_set():
                return None
            retries = 0 if self._progress.is_fresh else retries
            self._progress.lose(failure)
            if self._is_hopeless(failure) or retries == self._config.reconnects:
                return failure
            _log.log(logging.INFO if retries else logging.WARNING, "%s; trying again", str(failure))
            retries += 1
            if self._wait(self._gate.closed, self._backoff.next_s()):
                return None

    def _watch_once(self) -> SourceError | None:
        """One connection from its beginning to its end; why it ended, None: it was all."""
        try:
            camera = self._open_camera(self.address, self._config)
        except SourceError as error:
            return error.with_traceback(None)  # it holds the connection and its pictures
        self._open = camera
        try:
            return self._drain(camera)
        except SourceError as error:
            return error.with_traceback(None)
        finally:
            self._open = None
            self._progress.disconnect(camera.bad_packets)
            camera.close()

    def _drain(self, camera: Camera) -> SourceError | None:
        self._pace = Pace(self._clock, self._held) if camera.is_recorded else None
        self._progress.connect(camera.options, camera.has_stamps, self._pace)

        self._blocked_s, self._asked_s = 0.0, self._clock()

        def may_go_on() -> bool:
            self._progress.bad_packets = camera.bad_packets
            self._note_wait()
            return not self._gate.closed.is_set() and not self._is_silent()

        for raw in camera.frames(may_go_on):
            if self._gate.closed.is_set():
                return None
            self._take_in(camera, raw)
        return self._why_it_ended(camera)

    def _why_it_ended(self, camera: Camera) -> SourceError | None:
        shown = self.address.shown
        if self._is_silent():
            return SourceTimeout(f"{shown}: {no_frame(self._config.stall_s)}")
        if camera.is_live:
            return SourceLost(f"{shown}: the stream ended; was the camera switched off?")
        if not self._progress.is_fresh:
            return SourceLost(f"{shown}: it ended without one picture")
        return None

    def _take_in(self, camera: Camera, raw: VideoFrame) -> None:
        progress, stamp_s = self._progress, camera.stamp_s(raw)
        if self._pace is not None:
            stamp_s = self._pace.hold(stamp_s, camera.step_s)
            if stamp_s is None:
                return
        arrived_s, self._blocked_s = self._clock(), 0.0
        size, is_corrupt = (raw.width, raw.height), bool(raw.is_corrupt)
        pts_s, outage = progress.arrive(size, is_corrupt, stamp_s, arrived_s)
        if arrived_s - progress.connected_s >= SETTLED_S:
            self._backoff.reset()
        if outage is not None:
            self._tell(outage)
        progress.count(
            self._handover.reason_to_drop(camera, raw, pts_s, arrived_s, progress.late_s)
        )

    def _tell(self, outage: Outage) -> None:
        lost_s = outage.end_s - outage.start_s
        _log.info("%s: not seen for %.1f s (%s)", self.address.shown, lost_s, outage.reason)
        with self._gate.passing() as is_open:
            if is_open:
                self._on_outage(outage)

    def _note_wait(self) -> None:
        """What FFmpeg spends on waiting for a packet is bounded by its own timeouts."""
        now_s = self._clock()
        waited_s, self._asked_s = now_s - self._asked_s, now_s
        if waited_s > self._config.stall_s / 2:
            self._blocked_s += waited_s

    def _is_silent(self) -> bool:
        """Whether packets come and no pictures: FFmpeg's own timeouts do not see that."""
        since_s, patience_s = self._progress.arrived_s, self._config.stall_s
        if since_s is None or not self._progress.is_fresh:
            since_s, patience_s = self._progress.connected_s, max(patience_s, FIRST_FRAME_S)
        return self._clock() - since_s - self._blocked_s > patience_s

    def _is_hopeless(self, failure: SourceError) -> bool:
        """What no waiting heals; a recording and a pipe have no other connection to give."""
        is_once = self.address.kind in ("file", "folder", "stdin", "pipe")
        return is_once or self._pace is not None or isinstance(failure, SourceNotSupported)

    def _held(self, seconds: float) -> bool:
        return self._wait(self._gate.closed, seconds)
