"""A decoded frame on its way: shown to those who look at now, kept or dropped, handed over.

    too large?  ->  newest  ->  sampling  ->  pixels, masked  ->  mailbox

At each arrow a frame whose time was forgotten meanwhile is let go.  Pixels are converted only
where a frame is kept, at the size that the model wants, or where somebody looks, at the camera's
own.  When frames come, and what they count as, is not known here.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import av
from av.video.frame import VideoFrame
from numpy import uint8
from numpy.typing import NDArray

from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.decoding import is_oversized
from longtake.streaming.frame import Frame
from longtake.streaming.gate import Gate
from longtake.streaming.mailbox import STOP_CHECK_S, Mailbox
from longtake.streaming.masks import Mask, black_out
from longtake.streaming.newest import Forgotten, Newest, Still
from longtake.streaming.sampler import FixedRate
from longtake.streaming.sampling import AdaptiveRate, Rate, Sampling
from longtake.streaming.small_gray import SmallGray

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SIDE = 1920  # for those who look; larger would only cost them time
FORGOTTEN = "forgotten"  # why a frame was dropped
_AT_ONCE = threading.Event()  # ends a wait for room before it begins
_AT_ONCE.set()


class Camera(Protocol):
    """What is needed of an open source; `camera_stream.CameraStream` is one."""

    step_s: float
    bad_packets: int

    @property
    def options(self) -> Mapping[str, str]: ...

    @property
    def is_live(self) -> bool: ...

    @property
    def is_recorded(self) -> bool: ...

    @property
    def has_stamps(self) -> bool: ...

    def frames(self, keep_on: Callable[[], bool]) -> Iterator[VideoFrame]: ...

    def stamp_s(self, frame: VideoFrame) -> float | None: ...

    def rgb(self, frame: VideoFrame, max_side: int) -> NDArray[uint8]:
        """From any thread, also when it is closed."""
        ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


class Handover:
    """What happens to one camera's frames; used by its capture thread, but for `forget` and
    `let_go`, which any thread may call.

    Args:
        config: how it samples, and masks where nobody says otherwise.
        camera: its name.
        fps: frames a second to keep, at most.
        max_side: no side of a picture is larger, in pixels.
        mailbox: takes what is kept.
        newest: shows every frame.
        gate: closed when nobody wants anything any more.
        masks: blacked out; asked for each frame, by any thread.  None: the config's.
    """

    def __init__(
        self,
        config: CaptureConfig,
        camera: str,
        *,
        fps: float,
        max_side: int,
        mailbox: Mailbox,
        newest: Newest,
        gate: Gate,
        masks: Callable[[], Sequence[Mask]] | None = None,
    ) -> None:
        self._masks = masks or (lambda: config.masks)
        self._camera = camera
        self._max_side = max_side
        self._mailbox = mailbox
        self._newest = newest
        self._gate = gate
        rate: Rate = FixedRate(fps)
        if config.sampling == "adaptive":
            rate = AdaptiveRate(fps, self._is_waiting)
        self._sampling = Sampling(rate, config.still, config.scene)
        self._gray = SmallGray()
        self._forgotten = Forgotten()
        self._lock = threading.RLock()  # what is forgotten, sampling, and the way into the mailbox
        self._number = 0
        self._put_at = 0  # the mailbox's count when our last frame was put

    def reason_to_drop(
        self, camera: Camera, raw: VideoFrame, pts_s: float, arrived_s: float, late_s: float
    ) -> str | None:
        """Show a frame, and hand it over where it is to be kept; else why it is not.

        Args:
            pts_s: its session time.
            arrived_s: monotonic seconds.
            late_s: how long before its arrival it was shown.

        Returns:
            None where it lies in the mailbox; "too large", "not sampled", "still",
            "not convertible", "forgotten", or "stopped".
        """
        if is_oversized(raw.width, raw.height):
            return "too large"
        picture = self._picture(camera, raw)
        self._number += 1
        wall_s = time.time() - late_s
        still = Still(
            self._number,
            pts_s,
            arrived_s,
            lambda: picture(LOOK_SIDE),
            camera=self._camera,
            wall_s=wall_s,
        )
        with self._gate.passing() as is_open:
            if not is_open:
                return "stopped"
            self._newest.put(still)
        try:
            reason = self._sampled(raw, pts_s)
            if reason is not None:
                return reason
            frame = Frame(pts_s, picture(self._max_side), self._camera, wall_s)
        except (av.FFmpegError, ValueError):
            return "not convertible"
        with self._gate.passing() as is_open:
            return self._put(frame) if is_open else "stopped"

    def forget(self, start_s: float, end_s: float) -> None:
        """Hold nothing of a stretch any more, and let nothing of it pass that is on its way.

        Args:
            start_s, end_s: session seconds that have passed, both ends included.
        """
        with self._lock:
            self._forgotten.add(start_s, end_s)
            self._sampling.forget(start_s, end_s)
            self._mailbox.drop_where(
                lambda it: it.camera == self._camera and start_s <= it.pts_s <= end_s, FORGOTTEN
            )
        self._newest.forget(start_s, end_s)

    def let_go(self) -> None:
        """No more frames will come: the pictures that they would be compared with go."""
        with self._lock:
            self._sampling.forget(-math.inf, math.inf)

    def _sampled(self, raw: VideoFrame, pts_s: float) -> str | None:
        with self._lock:
            if self._gate.closed.is_set():
                return "stopped"
            if self._forgotten.takes(pts_s):
                return FORGOTTEN
            return self._sampling.reason_to_drop(pts_s, lambda: self._small(raw))

    def _put(self, frame: Frame) -> str | None:
        """Room is waited for without the lock: whoever forgets may be the one who makes room."""
        while not self._gate.closed.is_set():
            with self._lock:
                if self._forgotten.takes(frame.pts_s):
                    return FORGOTTEN
                if self._mailbox.put(frame, _AT_ONCE):
                    self._put_at = self._mailbox.received
                    return None
            if self._mailbox.is_closed:
                break
            self._gate.closed.wait(STOP_CHECK_S)
        return "stopped"

    def _picture(self, camera: Camera, raw: VideoFrame) -> Callable[[int], NDArray[uint8]]:
        """Makes the picture with no side over so many pixels, masked; from any thread."""
        one_at_a_time = threading.Lock()  # a frame has one scaler, and one alone may use it

        def picture(max_side: int) -> NDArray[uint8]:
            with one_at_a_time:
                image = camera.rgb(raw, max_side)
            return black_out(image, self._masks(), self._camera)

        return picture

    def _small(self, raw: VideoFrame) -> NDArray[uint8]:
        return black_out(self._gray(raw), self._masks(), self._camera)

    def _is_waiting(self) -> bool:
        """Whether the mailbox still holds our last frame: it is emptied in order."""
        gone = self._mailbox.taken + sum(self._mailbox.dropped.values())
        return gone < self._put_at
