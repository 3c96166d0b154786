"""Open a live address with FFmpeg, and decode everything that comes.

    address + preset + the user's options -> av.open with both timeouts -> packets -> frames

Errors leave as `connecting` makes them.  States, waits and sampling are not known here.
FFmpeg ignores options that it does not know, and PyAV does not tell which these were.

A decoder's pictures come from a pool that grows; one that is held costs its memory and nothing
else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy import uint8
from numpy.typing import NDArray

from longtake.streaming import opening
from longtake.streaming.addresses import Address
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.connecting import connect, read_timeout_s
from longtake.streaming.decoding import best_stream, bound, nominal_step_s
from longtake.streaming.errors import (
    SourceError,
    SourceNotSupported,
    SourceTimeout,
    redact,
)
from longtake.streaming.failures import explain_reading, no_frame
from longtake.streaming.live_options import options_of
from longtake.streaming.pictures import to_rgb
from longtake.streaming.pipe import Pipe, named_pipe, standard_input
from longtake.streaming.stamps import StampChoice

# Their stamps are made up from a rate that nobody promised.
STAMPLESS_FORMATS = frozenset({"mpjpeg", "mjpeg"})
# A key frame may be this far off; the watch on arrivals begins with the first picture.
FIRST_FRAME_S = 30.0
MOST_SIZES = 16  # remembered; damaged streams change theirs again and again


def for_ever() -> bool:
    return True


class CameraStream:
    """One open live source, or a recording that is played as one.

    Args:
        place: what is opened where it is no address: a file or a pipe.

    Raises:
        SourceError: where it cannot be opened; its subclasses in `errors` say why.
    """

    def __init__(
        self, address: Address, config: CaptureConfig, place: Path | Pipe | None = None
    ) -> None:
        av.logging.set_level(None)  # see `decoding.VideoFile`
        self.address = address
        self.bad_packets = 0
        self._waited_s = 0.0  # for a packet, the longest since the last frame
        self._config = config
        self._pipe = place if isinstance(place, Pipe) else None
        started_s = time.monotonic()
        if place is None:
            self._options = options_of(address, config, as_camera=True)
            self.container = connect(address, config, as_camera=True)
        else:
            self._options = {}
            self.container = opening.open_container(place)
        try:
            self.stream = best_stream(self.container, address.shown)
            self.stream.thread_type = "AUTO" if place is not None else "SLICE"
            bound(self.stream)
        except SourceError:
            self.container.close()
            raise
        self.open_s = time.monotonic() - started_s
        self.step_s = nominal_step_s(self.stream)
        self._stamps = StampChoice(are_guessed=self.container.format.name == "avi")
        self._size = (self.stream.width, self.stream.height)
        self._aspects = {self._size: self.stream.sample_aspect_ratio}

    @property
    def options(self) -> dict[str, str]:
        """FFmpeg's options that it was opened with, fit to be shown."""
        hidden = {name: "***" for name in self._config.av_options if name not in SHOWN_OPTIONS}
        return {name: redact(text) for name, text in {**self._options, **hidden}.items()}

    @property
    def is_recorded(self) -> bool:
        """Whether it has an end that is known from the start: a file, an HLS playlist that is
        finished."""
        if self._pipe is not None:
            return False
        if self.address.kind == "file":
            return True
        name = self.container.format.name
        is_picture = name.endswith("_pipe")
        has_end = bool(self.container.duration and self.container.duration > 0)
        return self.address.kind == "http" and (is_picture or has_end)

    @property
    def is_live(self) -> bool:
        return self.address.kind not in ("file", "stdin", "pipe") and not self.is_recorded

    @property
    def has_stamps(self) -> bool:
        """Whether its time stamps are its own, not made up by FFmpeg."""
        return not STAMPLESS_FORMATS & set(self.container.format.name.split(","))

    def frames(self, keep_on: Callable[[], bool] = for_ever) -> Iterator[VideoFrame]:
        """Every frame that decodes, in the order it is shown; ends where the source does.

        Args:
            keep_on: asked before each packet; False ends the iteration.

        Raises:
            SourceError: where the connection breaks or freezes.
        """
        for packet in self._packets(keep_on):
            if packet.stream.index != self.stream.index:
                continue
            try:
                frames = self.stream.codec_context.decode(packet)
            except av.FFmpegError:
                self.bad_packets += 1
                continue
            for frame in frames:
                self._waited_s = 0.0
                self._note_size(frame)
                yield frame

    def stamp_s(self, frame: VideoFrame) -> float | None:
        """When the frame is shown, in the stream's own seconds; asked once for each, in order."""
        return self._stamps.time_s(frame)

    def rgb(self, frame: VideoFrame, max_side: int) -> NDArray[uint8]:
        """``[H, W, 3]`` uint8, upright, no side over `max_side`; also when it is closed.

        Raises:
            av.FFmpegError, ValueError: if FFmpeg cannot convert it.
        """
        return to_rgb(frame, max_side, self._aspects.get((frame.width, frame.height)))

    def interrupt(self) -> None:
        """Let a pipe that is waited for end; FFmpeg's own waits end by their timeouts."""
        if self._pipe is not None:
            self._pipe.interrupt()

    def close(self) -> None:
        self.container.close()
        if self._pipe is not None:
            self._pipe.let_go()

    def __enter__(self) -> CameraStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _packets(self, keep_on: Callable[[], bool]) -> Iterator[Packet[Any]]:
        packets = self.container.demux()  # sound too: `keep_on` is asked though no picture comes
        while keep_on():
            failure: SourceError | None = None
            asked_s = time.monotonic()
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError, ValueError) as error:
                failure = explain_reading(error, self.address, self._config)
            self._waited_s = max(self._waited_s, time.monotonic() - asked_s)
            if failure is not None:  # outside of the handler, or it would carry FFmpeg's along
                raise failure
            if packet is None:
                self._look_at_end()
                return
            yield packet

    def _look_at_end(self) -> None:
        """FFmpeg takes for an end what was none: a broken pipe; a wait in vain."""
        if self._pipe is not None:
            opening.raise_failure(self._pipe)
        is_segmented = self.container.format.name == "hls"
        limit_s = read_timeout_s(self.address, self._config, is_segmented=is_segmented)
        if self.is_live and self._waited_s >= 0.9 * limit_s:
            raise SourceTimeout(f"{self.address.shown}: {no_frame(self._waited_s)}")

    def _note_size(self, frame: VideoFrame) -> None:
        """The shape of its pixels, now: who converts a frame later may not ask the decoder."""
        size = (frame.width, frame.height)
        if size != self._size:
            self._size = size
            if len(self._aspects) >= MOST_SIZES:
                self._aspects.clear()
            self._aspects[size] = self.stream.codec_context.sample_aspect_ratio


def open_camera(address: Address, config: CaptureConfig) -> CameraStream:
    """Open an address as a camera; a file or a pipe too, to be played as one.

    Takes at most about `connect_s`: FFmpeg gives that time to connecting and once more to
    looking at the first packets.

    Raises:
        SourceError: why not, in words to act on.
        SourceNotSupported: for a folder.
    """
    if address.kind == "folder":
        raise SourceNotSupported(
            f"{address.shown}: a folder cannot be played as a camera; leave out --live, or name a "
            "video"
        )
    place: Path | Pipe | None = None
    if address.kind == "file":
        place = Path(address.url)
    elif address.kind == "stdin":
        place = standard_input()
    elif address.kind == "pipe":
        place = named_pipe(Path(address.url))
    return CameraStream(address, config, place)


# What a user may give by hand and anybody may see; everything else may be a key or a token.
SHOWN_OPTIONS = frozenset(
    "rtsp_transport rtsp_flags fflags flags analyzeduration probesize timeout max_delay "
    "reorder_queue_size buffer_size live_start_index framerate video_size pixel_format "
    "input_format protocol_whitelist use_wallclock_as_timestamps tls_verify fifo_size".split()
)
