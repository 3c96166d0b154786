"""Open a media file and decode what can be decoded; the one place that knows PyAV.

A packet the decoder refuses is counted and skipped; a transport that fails ends the stream and
is remembered.  Foreign errors leave here as `SourceError`s.  Session time, sampling and folders
are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from longtake.streaming.errors import NotAVideo, NoVideoStream, SourceError, redact
from longtake.streaming.report import SourceReport

MAX_SIDE_PX = 16_384
MAX_AREA_PX = 64 << 20
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
STEP_LIMITS_S = (1 / 1000, 10.0)  # rates in headers can be nonsense


class VideoFile:
    """One open file and its best video stream.

    FFmpeg's own words stay unheard.  This is PyAV's default, set again on each opening because
    other libraries change it: any level calls back into Python, and then closing a file hangs
    when a decoding thread logs (each waits for the other, with the GIL between them).

    Raises:
        NotAVideo, NoVideoStream, SourceError: on opening, see `errors`.
    """

    def __init__(self, path: Path) -> None:
        av.logging.set_level(None)
        self.path = path
        self.container = _open(path)
        try:
            self.stream = _best_stream(self.container, path)
        except SourceError:
            self.container.close()
            raise
        is_picture = path.suffix.lower() in PICTURE_SUFFIXES
        self.stream.thread_type = "NONE" if is_picture else "AUTO"
        self.step_s = _nominal_step_s(self.stream)
        self.transport_error: str | None = None
        self.promised_s, self._promise_is_shared = _promise(self.container, self.stream)
        self._others_end_s = 0.0

    def frames(self, report: SourceReport) -> Iterator[VideoFrame]:
        """Every frame that decodes from here on, in the order it is shown.

        Counts `bad_packets` in `report`.  A failing transport ends the iteration and is kept in
        `transport_error`.
        """
        packets = self.container.demux(*([] if self._promise_is_shared else [self.stream]))
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                self.transport_error = describe(error)
                return
            if packet.stream.index != self.stream.index:
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._others_end_s = max(self._others_end_s, float(end) - self._start_s())
                continue
            try:
                frames = self.stream.codec_context.decode(packet)
            except av.FFmpegError:
                report.bad_packets += 1
                continue
            yield from frames

    def reached(self, end_s: float, tolerance_s: float) -> bool:
        """Whether pictures that end at `end_s` are all the file promised.

        Some containers promise for all their streams together: then another stream that
        comes to that end shows that nothing was cut off.
        """
        if self.promised_s is None:
            return True
        others_s = self._others_end_s if self._promise_is_shared else 0.0
        return max(end_s, others_s) + tolerance_s >= self.promised_s

    def seek(self, stamp_s: float) -> bool:
        """Go to the key frame at or before a time stamp; False where the file cannot."""
        try:
            offset = int(stamp_s / self.stream.time_base) if self.stream.time_base else 0
            self.container.seek(offset, stream=self.stream)
        except av.FFmpegError:
            return False
        return True

    def step_of(self, frame: VideoFrame) -> float:
        """How long a frame is shown, in seconds: its own word, or the stream's rate."""
        if frame.duration and frame.time_base:
            return float(frame.duration * frame.time_base)
        return self.step_s

    def close(self) -> None:
        self.container.close()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start_s(self) -> float:
        return _seconds(self.stream.start_time, self.stream) or 0.0


def is_oversized(frame: VideoFrame) -> bool:
    """Whether converting this frame would take more memory than any sane picture."""
    return max(frame.width, frame.height) > MAX_SIDE_PX or frame.width * frame.height > MAX_AREA_PX


def to_rgb(frame: VideoFrame, max_side: int) -> NDArray[np.uint8]:
    """A decoded frame as ``[H, W, 3]`` uint8 RGB, upright, no side over `max_side`.

    Scales down only, in the same pass that converts the colours; the aspect is kept to a pixel.

    Raises:
        av.FFmpegError, ValueError: if FFmpeg cannot convert this pixel format.
    """
    scale = min(1.0, max_side / max(frame.width, frame.height))
    width = max(1, round(frame.width * scale))
    height = max(1, round(frame.height * scale))
    image = frame.to_ndarray(format="rgb24", width=width, height=height)
    quarter_turns = round(frame.rotation / 90) % 4  # both count against the clock
    return np.ascontiguousarray(np.rot90(image, quarter_turns))


def describe(error: av.FFmpegError) -> str:
    """What FFmpeg says, without the address it says it about."""
    return redact(error.strerror or type(error).__name__)


def _open(path: Path) -> InputContainer:
    # Absolute: FFmpeg takes "a:b.mp4" for a protocol, and "%d" in a picture's name for a series.
    is_picture = path.suffix.lower() in PICTURE_SUFFIXES
    options = {"pattern_type": "none"} if is_picture else {}
    try:
        container = av.open(str(path.absolute()), options=options, metadata_errors="ignore")
    except av.FFmpegError as error:
        if isinstance(error, PermissionError):
            raise SourceError(f"{path}: may not be read (permission denied)") from error
        raise NotAVideo(f"{path}: not a video: {_what_it_is(path, describe(error))}") from error
    if container.format.name == "tty":  # FFmpeg would film a text file
        container.close()
        raise NotAVideo(f"{path}: not a video: it holds text")
    return container


def _what_it_is(path: Path, reason: str) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
    if size == 0:
        return "it is empty (0 bytes)"
    if head[4:8] == b"ftyp" and not _has_index(path):
        return (
            f"it begins like an MP4 but is incomplete: its index ('moov') is missing in "
            f"{size} bytes; the recording or the download was cut off, get the file again"
        )
    if not any(byte < 9 or 13 < byte < 32 for byte in head):
        return "it holds text"
    return f"no known format in its {size} bytes ({reason})"


def _has_index(path: Path) -> bool:
    """Whether an MP4's top-level boxes include ``moov``; boxes are [size u32, name, ...]."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if head[4:8] == b"moov":
                return True
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8:
                return False
            at += length
    return False


def _best_stream(container: InputContainer, path: Path) -> VideoStream:
    """The largest decodable video stream; a cover picture only where there is nothing else."""
    streams = [s for s in container.streams.video if s.codec_context is not None]
    if not streams:
        there = ", ".join(s.type or "unknown" for s in container.streams) or "nothing"
        undecodable = " that can be decoded" if container.streams.video else ""
        raise NoVideoStream(f"{path}: has no video stream{undecodable}; it holds: {there}")

    def rank(stream: VideoStream) -> tuple[bool, int, int]:
        is_cover = bool(stream.disposition & Disposition.attached_pic)
        return (not is_cover, stream.width * stream.height, -stream.index)

    return max(streams, key=rank)


def _promise(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    """Where the pictures should end, from their start on; whether other streams are meant too."""
    own_s = _seconds(stream.duration, stream)
    if own_s:
        return own_s, False
    start_s = _seconds(stream.start_time, stream) or 0.0
    tagged_s = _tagged_seconds(stream.metadata.get("DURATION", ""))
    if tagged_s:  # Matroska writers leave each track's end here
        return max(0.0, tagged_s - start_s), False
    if container.duration and container.duration > 0:
        whole_s = container.duration / 1_000_000
        is_from_zero = "matroska" in container.format.name
        return max(0.0, whole_s - start_s * is_from_zero), len(container.streams) > 1
    return None, False


def _tagged_seconds(text: str) -> float | None:
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _nominal_step_s(stream: VideoStream) -> float:
    rate = stream.guessed_rate or stream.average_rate
    step_s = float(1 / rate) if rate else 0.04
    return min(max(step_s, STEP_LIMITS_S[0]), STEP_LIMITS_S[1])


def _seconds(stamp: int | None, stream: VideoStream) -> float | None:
    if stamp is None or stream.time_base is None:
        return None
    return float(stamp * stream.time_base)
