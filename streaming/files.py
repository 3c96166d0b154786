"""A video file, one through a pipe or over HTTP, or a single picture, as frames in session time.

    decode everything -> session clock -> range asked for -> sampler -> convert what is kept

Session time counts from the file's first frame, also where reading begins in its middle.  What
comes through a pipe is decoded from its beginning, wherever reading is to begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.video.frame import VideoFrame

from longtake.streaming.addresses import Kind
from longtake.streaming.clock import MAX_JUMP_S, SessionClock
from longtake.streaming.connecting import Remote
from longtake.streaming.decoding import VideoFile, is_oversized
from longtake.streaming.errors import BeyondEnd, NotAVideo, SourceError, redact
from longtake.streaming.frame import Frame
from longtake.streaming.opening import MAX_AREA_PX, MAX_SIDE_PX, SEEKLESS
from longtake.streaming.pictures import to_rgb
from longtake.streaming.pipe import Pipe
from longtake.streaming.report import SourceReport
from longtake.streaming.sampler import FixedRate
from longtake.streaming.stamps import StampChoice

END_TOLERANCE_S = 0.5  # containers round; a file this short of its promise is whole


class FileSource:
    """Read one file, pipe or remote recording, once.

    Args:
        place: an existing file, a pipe, or an address that is read from its beginning.
        sampler: says which frames are kept.
        start_s: session time of the first frame wanted; reached by the key frame before it.
        stop_s: session time before which to stop; None to read to the end.
        max_side: no side of a picture is larger, in pixels; smaller ones stay as they are.
        offset_s: session time of the file's first frame, where it follows another.

    Raises:
        SourceError: if it is no video, or `start_s` is beyond its promised end.
    """

    kind: Kind

    def __init__(
        self,
        place: Path | Pipe | Remote,
        *,
        sampler: FixedRate,
        start_s: float = 0.0,
        stop_s: float | None = None,
        max_side: int = 1024,
        offset_s: float = 0.0,
    ) -> None:
        self._pipe = place if isinstance(place, Pipe) else None
        self.kind, self.address, self._shown = _named(place)
        self.report = SourceReport()
        self._place = place
        self._sampler = sampler
        self._start_s = start_s
        self._stop_s = stop_s
        self._max_side = max_side
        self._offset_s = offset_s
        self._was_read = False
        self._read_s = 0.0  # end of the last frame decoded, counted from the file's first
        try:
            self._file = VideoFile(place)
        except BaseException:
            if self._pipe is not None:
                self._pipe.let_go()
            raise
        end_s = self._file.promised_s
        if end_s is not None:
            end_s += offset_s
            if start_s > 0 and start_s >= end_s:
                self._file.close()
                raise BeyondEnd(self._shown, start_s, end_s)
            self.report.promised_s = end_s if stop_s is None else min(end_s, stop_s)

    @property
    def promised_s(self) -> float | None:
        """Session time of the promised end of what was asked for; None if nothing is promised."""
        return self.report.promised_s

    @property
    def next_s(self) -> float:
        """Session time at which a file that follows this one begins; known when it was read.

        A cut-off file keeps the time that it promised, so that what follows stays where it was.
        """
        promised_s = self._file.promised_s or 0.0
        is_sane = promised_s - self._read_s <= MAX_JUMP_S
        return self._offset_s + max(self._read_s, promised_s if is_sane else 0.0)

    def frames(self) -> Iterator[Frame]:
        """The frames kept, in time order; once.

        Raises:
            BeyondEnd: if the video ends before `start_s`.
            NotAVideo: if not one picture could be decoded.
            SourceError: if every picture is too large, or a pipe fails before the first.
        """
        if self._was_read:
            raise RuntimeError(f"{self._shown}: was read already; open it again")
        self._was_read = True
        return self._frames()

    def interrupt(self) -> None:
        """Let `frames` end though it waits for a pipe; from any thread.  Files never wait."""
        if self._pipe is not None:
            self._pipe.interrupt()

    def close(self) -> None:
        """Let the file go; may be called twice."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _frames(self) -> Iterator[Frame]:
        report = self.report
        decoded, clock, stamps = self._from_start()
        size: tuple[int, int] | None = None
        last_s = tolerance_s = 0.0
        for raw in decoded:
            previous_s, step_s = last_s, self._file.step_of(raw)
            last_s = clock.session_s(stamps.time_s(raw), step_s)
            self._read_s = last_s + step_s
            tolerance_s = max(END_TOLERANCE_S, 2 * step_s, last_s - previous_s)
            time_s = self._offset_s + last_s
            if self._stop_s is not None and time_s >= self._stop_s:
                report.complete, report.end_reason = True, f"read up to {self._stop_s:g} s as asked"
                return
            if is_oversized(raw.width, raw.height):
                report.oversized += 1
                continue
            report.decoded += 1
            report.corrupt += bool(raw.is_corrupt)
            report.size_changes += size is not None and size != (raw.width, raw.height)
            size = (raw.width, raw.height)
            if time_s < self._start_s:
                continue
            report.saw(time_s)
            if self._sampler.wants(time_s):
                yield from self._converted(raw, time_s)
        self._judge_end(last_s, tolerance_s, clock.has_jumped)

    def _converted(self, raw: VideoFrame, time_s: float) -> Iterator[Frame]:
        try:
            image = to_rgb(raw, self._max_side, self._file.pixel_aspect(raw))
        except (av.FFmpegError, ValueError):
            self.report.corrupt += 1
            return
        self.report.kept += 1
        yield Frame(time_s, image)

    def _from_start(self) -> tuple[Iterator[VideoFrame], SessionClock, StampChoice]:
        """Decoded frames from a little before `start_s` on, and a clock that fits them.

        The first frame says where session time begins, then a seek; where the seek is of no
        use (no time stamps, a wrong or missing index) everything is decoded from the beginning.
        """
        report, local_s = self.report, self._start_s - self._offset_s
        if local_s <= 0 or self._pipe is not None:
            return self._file.frames(report), SessionClock(report), self._file.stamps()
        first = next(self._file.frames(SourceReport()), None)
        first_s = None if first is None else self._file.stamps().time_s(first)
        if first_s is not None and self._file.seek(first_s + local_s):
            frames = self._file.frames(report)
            landed = next(frames, None)
            landed_s = None if landed is None else self._file.stamps().time_s(landed)
            if landed is not None and landed_s is not None:
                if first_s <= landed_s <= first_s + local_s:
                    clock = SessionClock(report, first_s)
                    return chain([landed], frames), clock, self._file.stamps()
        report.bad_packets = report.oversized = 0
        self._file.close()
        self._file = VideoFile(self._place)
        return self._file.frames(report), SessionClock(report), self._file.stamps()

    def _judge_end(self, last_s: float, tolerance_s: float, has_jumped: bool) -> None:
        """Settle `complete` and `end_reason`; raise where nothing came of it all."""
        report, file = self.report, self._file
        if self._pipe is not None and self._pipe.was_interrupted:
            report.end_reason = "interrupted while waiting for more"
            return
        if report.decoded == 0:
            raise self._nothing_decoded()
        if report.started_s is None:
            raise BeyondEnd(self._shown, self._start_s, self.next_s)
        if file.transport_error is not None:
            report.end_reason = f"transport failed: {file.transport_error}"
        elif has_jumped or file.reached(last_s, tolerance_s):
            report.complete, report.end_reason = True, "end of file"
        else:
            report.end_reason = f"stops at {last_s:.1f} of {file.promised_s:.1f} s"

    def _nothing_decoded(self) -> SourceError:
        report, failure = self.report, self._file.transport_error
        if report.oversized:
            return SourceError(
                f"{self._shown}: its pictures are too large: a side may have {MAX_SIDE_PX} px, "
                f"all of it {MAX_AREA_PX} px; scale it down first"
            )
        if self._pipe is not None and failure is not None:
            return SourceError(
                f"{self._shown}: no picture came ({failure}); if it has to be read back and "
                f"forth, {SEEKLESS}"
            )
        refused = f": {report.bad_packets} packets refused" if report.bad_packets else ""
        if refused and not self._file.stream.width:  # larger ones never told their size
            refused += f"; it is damaged, or larger than {MAX_AREA_PX} px"
        return NotAVideo(f"{self._shown}: not one picture could be decoded{refused}")


def _named(place: Path | Pipe | Remote) -> tuple[Kind, str, str]:
    """Its kind, its address, and what messages call it."""
    if isinstance(place, Pipe):
        return place.kind, place.address, place.shown
    if isinstance(place, Remote):
        return place.address.kind, place.shown, place.shown
    return "file", redact(str(place)), redact(str(place))
