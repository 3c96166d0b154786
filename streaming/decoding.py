"""Decode what can be decoded of a file, a pipe or a remote recording, from its best video stream.

A packet the decoder refuses is counted and skipped; a transport that fails ends the stream and
is remembered.  Opening stands in `opening`, and what a frame looks like in `pictures`.  Session
time, sampling and folders are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from longtake.streaming import opening
from longtake.streaming.clock import MAX_JUMP_S
from longtake.streaming.connecting import Remote, connect
from longtake.streaming.errors import NoVideoStream, SourceError, redact
from longtake.streaming.opening import MAX_SIDE_PX, PICTURE_SUFFIXES
from longtake.streaming.pipe import Pipe
from longtake.streaming.report import SourceReport
from longtake.streaming.stamps import StampChoice

STEP_LIMITS_S = (1 / 1000, 10.0)  # rates in headers can be nonsense


class VideoFile:
    """One open file, pipe or remote recording, and its best video stream.

    FFmpeg's own words stay unheard.  This is PyAV's default, set again on each opening because
    other libraries change it: any level calls back into Python, and then closing a file hangs
    when a decoding thread logs (each waits for the other, with the GIL between them).

    Raises:
        NotAVideo, NoVideoStream, SourceError: on opening, see `errors`.
    """

    def __init__(self, place: Path | Pipe | Remote) -> None:
        av.logging.set_level(None)
        self.pipe = place if isinstance(place, Pipe) else None
        if isinstance(place, Remote):
            self.container = connect(place.address, place.config, as_camera=False)
        else:
            self.container = opening.open_container(place)
        try:
            shown = redact(str(place)) if isinstance(place, Path) else place.shown
            self.stream = best_stream(self.container, shown)
        except SourceError:
            self.container.close()
            raise
        is_picture = isinstance(place, Path) and place.suffix.lower() in PICTURE_SUFFIXES
        self.stream.thread_type = "NONE" if is_picture else "AUTO"
        self._first_size = (self.stream.width, self.stream.height)
        self._first_aspect = self.stream.sample_aspect_ratio
        bound(self.stream)
        self.step_s = nominal_step_s(self.stream)
        self.transport_error: str | None = None
        self.promised_s, self._promise_is_shared = _promise(self.container, self.stream)
        self._others_end_s = 0.0

    def frames(self, report: SourceReport) -> Iterator[VideoFrame]:
        """Every frame that decodes from here on, in the order it is shown.

        Counts `bad_packets` in `report`, and as `oversized` those the decoder refuses because
        their picture would be.  A failing transport ends the iteration and is kept in
        `transport_error`.

        Raises:
            KeyboardInterrupt: if that came while a pipe was waited for.
        """
        packets = self.container.demux(*([] if self._promise_is_shared else [self.stream]))
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                self._look_at_pipe()
                return
            except av.FFmpegError as error:
                self.transport_error = opening.describe(error)
                self._look_at_pipe()
                return
            if packet.stream.index != self.stream.index:
                if packet.pts is not None and packet.time_base:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._others_end_s = max(self._others_end_s, float(end) - self._start_s())
                continue
            try:
                frames = self.stream.codec_context.decode(packet)
            except av.FFmpegError:
                size = (self.stream.width, self.stream.height)
                if is_oversized(*(size if all(size) else self._first_size)):
                    report.oversized += 1
                else:
                    report.bad_packets += 1
                continue
            yield from frames

    def stamps(self) -> StampChoice:
        """What tells when a frame is shown; a new one for each reading."""
        return StampChoice(are_guessed=self.container.format.name == "avi")

    def pixel_aspect(self, frame: VideoFrame) -> Fraction | None:
        """Width by height of a pixel: by the container's word, and after a change of size by the
        decoder's, which the container knew nothing of."""
        if (frame.width, frame.height) == self._first_size:
            return self._first_aspect
        return self.stream.codec_context.sample_aspect_ratio

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
            own_s = float(frame.duration * frame.time_base)
            if STEP_LIMITS_S[0] <= own_s <= MAX_JUMP_S:
                return own_s
        return self.step_s

    def close(self) -> None:
        """May be called twice.  A decoder and its threads end when nothing refers to them any more,
        and whoever has read a file may look at its report for long."""
        self.container.close()
        vars(self).pop("stream", None)
        if self.pipe is not None:
            self.pipe.let_go()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _look_at_pipe(self) -> None:
        """Why a pipe had no more to give; FFmpeg takes everything for its end."""
        if self.pipe is None:
            return
        opening.raise_failure(self.pipe)
        if self.pipe.was_interrupted:
            self.transport_error = "interrupted"
        elif self.pipe.failure is not None:
            self.transport_error = redact(str(self.pipe.failure))

    def _start_s(self) -> float:
        return _seconds(self.stream.start_time, self.stream) or 0.0


def is_oversized(width: int, height: int) -> bool:
    """Whether a picture of this size would take more memory than any sane one."""
    return max(width, height) > MAX_SIDE_PX or width * height > opening.MAX_AREA_PX


def bound(stream: VideoStream) -> None:
    """Let the decoder refuse what is too large, before it takes the memory."""
    stream.codec_context.options = opening.decoder_options()
    try:
        stream.codec_context.open()
    except av.FFmpegError:
        # The header names too large a size.  That is forgotten now: the next opening, by the
        # first packet, leaves it to the pictures themselves, of which only some may be so.
        return


def best_stream(container: InputContainer, shown: str) -> VideoStream:
    """The largest decodable video stream; a cover picture only where there is nothing else."""
    streams = [s for s in container.streams.video if s.codec_context is not None]
    if not streams:
        there = ", ".join(s.type or "unknown" for s in container.streams) or "nothing"
        undecodable = " that can be decoded" if container.streams.video else ""
        raise NoVideoStream(f"{shown}: has no video stream{undecodable}; it holds: {there}")

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


def nominal_step_s(stream: VideoStream) -> float:
    rate = stream.guessed_rate or stream.average_rate
    step_s = float(1 / rate) if rate else 0.04
    return min(max(step_s, STEP_LIMITS_S[0]), STEP_LIMITS_S[1])


def _seconds(stamp: int | None, stream: VideoStream) -> float | None:
    if stamp is None or stream.time_base is None:
        return None
    return float(stamp * stream.time_base)
