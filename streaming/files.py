"""A video file, or a single picture, as frames in session time.

    decode everything -> session clock -> range asked for -> sampler -> convert what is kept

Session time counts from the file's first frame, also where reading begins in its middle.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
from av.video.frame import VideoFrame

from longtake.streaming.clock import MAX_JUMP_S, SessionClock
from longtake.streaming.decoding import MAX_AREA_PX, MAX_SIDE_PX, VideoFile, is_oversized, to_rgb
from longtake.streaming.errors import BeyondEnd, NotAVideo, SourceError, redact
from longtake.streaming.frame import Frame
from longtake.streaming.report import SourceReport
from longtake.streaming.sampler import FixedRate

END_TOLERANCE_S = 0.5  # containers round; a file this short of its promise is whole


class FileSource:
    """Read one file once.

    Args:
        path: an existing file.
        sampler: says which frames are kept.
        start_s: session time of the first frame wanted; reached by the key frame before it.
        stop_s: session time before which to stop; None to read to the end.
        max_side: no side of a picture is larger, in pixels; smaller ones stay as they are.
        offset_s: session time of the file's first frame, where it follows another.

    Raises:
        SourceError: if it is no video, or `start_s` is beyond its promised end.
    """

    kind: Literal["file"] = "file"

    def __init__(
        self,
        path: Path,
        *,
        sampler: FixedRate,
        start_s: float = 0.0,
        stop_s: float | None = None,
        max_side: int = 1024,
        offset_s: float = 0.0,
    ) -> None:
        self.address = redact(str(path))
        self.report = SourceReport()
        self._path = path
        self._sampler = sampler
        self._start_s = start_s
        self._stop_s = stop_s
        self._max_side = max_side
        self._offset_s = offset_s
        self._was_read = False
        self._read_s = 0.0  # end of the last frame decoded, counted from the file's first
        self._file = VideoFile(path)
        end_s = self._file.promised_s
        if end_s is not None:
            end_s += offset_s
            if start_s > 0 and start_s >= end_s:
                self._file.close()
                raise BeyondEnd(self.address, start_s, end_s)
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
            SourceError: if every picture is too large.
        """
        if self._was_read:
            raise RuntimeError(f"{self.address}: was read already; open it again")
        self._was_read = True
        return self._frames()

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
        decoded, clock = self._from_start()
        size: tuple[int, int] | None = None
        last_s = tolerance_s = 0.0
        for raw in decoded:
            previous_s, step_s = last_s, self._file.step_of(raw)
            last_s = clock.session_s(raw.time, step_s)
            self._read_s = last_s + step_s
            tolerance_s = max(END_TOLERANCE_S, 2 * step_s, last_s - previous_s)
            time_s = self._offset_s + last_s
            if self._stop_s is not None and time_s >= self._stop_s:
                report.complete, report.end_reason = True, f"read up to {self._stop_s:g} s as asked"
                return
            report.decoded += 1
            report.corrupt += bool(raw.is_corrupt)
            report.size_changes += size is not None and size != (raw.width, raw.height)
            size = (raw.width, raw.height)
            if time_s < self._start_s:
                continue
            report.saw(time_s)
            if is_oversized(raw):
                report.oversized += 1
            elif self._sampler.wants(time_s):
                yield from self._converted(raw, time_s)
        self._judge_end(last_s, tolerance_s, clock.has_jumped)

    def _converted(self, raw: VideoFrame, time_s: float) -> Iterator[Frame]:
        try:
            image = to_rgb(raw, self._max_side)
        except (av.FFmpegError, ValueError):
            self.report.corrupt += 1
            return
        self.report.kept += 1
        yield Frame(time_s, image)

    def _from_start(self) -> tuple[Iterator[VideoFrame], SessionClock]:
        """Decoded frames from a little before `start_s` on, and a clock that fits them.

        The first frame says where session time begins, then a seek; where the seek is of no
        use (no time stamps, a wrong or missing index) everything is decoded from the beginning.
        """
        report, local_s = self.report, self._start_s - self._offset_s
        if local_s <= 0:
            return self._file.frames(report), SessionClock(report)
        first = next(self._file.frames(SourceReport()), None)
        if first is not None and first.time is not None and self._file.seek(first.time + local_s):
            frames = self._file.frames(report)
            landed = next(frames, None)
            if landed is not None and landed.time is not None:
                if first.time <= landed.time <= first.time + local_s:
                    return chain([landed], frames), SessionClock(report, first.time)
        report.bad_packets = 0
        self._file.close()
        self._file = VideoFile(self._path)
        return self._file.frames(report), SessionClock(report)

    def _judge_end(self, last_s: float, tolerance_s: float, has_jumped: bool) -> None:
        """Settle `complete` and `end_reason`; raise where nothing came of it all."""
        report, file = self.report, self._file
        if report.decoded == 0:
            refused = f": {report.bad_packets} packets refused" if report.bad_packets else ""
            raise NotAVideo(f"{self.address}: not one picture could be decoded{refused}")
        if report.oversized == report.decoded:
            raise SourceError(
                f"{self.address}: its pictures are too large: a side may have {MAX_SIDE_PX} px, "
                f"all of it {MAX_AREA_PX} px; scale it down first"
            )
        if report.started_s is None:
            raise BeyondEnd(self.address, self._start_s, self.next_s)
        if file.transport_error is not None:
            report.end_reason = f"transport failed: {file.transport_error}"
        elif has_jumped or file.reached(last_s, tolerance_s):
            report.complete, report.end_reason = True, "end of file"
        else:
            report.end_reason = f"stops at {last_s:.1f} of {file.promised_s:.1f} s"
