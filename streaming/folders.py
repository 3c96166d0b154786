"""A folder as one stream: its pictures one after the other, or its clips joined.

Names are in natural order (`cut9` before `cut10`).  What a single file needs is known in
`files` and `decoding`.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av

from longtake.streaming.decoding import VideoFile, is_oversized
from longtake.streaming.errors import BeyondEnd, EmptyFolder, NotAVideo, SourceError, redact
from longtake.streaming.files import FileSource
from longtake.streaming.frame import Frame
from longtake.streaming.opening import PICTURE_SUFFIXES
from longtake.streaming.pictures import to_rgb
from longtake.streaming.report import SourceReport
from longtake.streaming.sampler import FixedRate

CLIP_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .mts .m2ts .mpg .mpeg .flv .wmv .3gp .ogv .gif .h264 .h265"
    " .hevc".split()
)


class FolderSource:
    """Read a folder once: as `pictures`, ``1 / fps`` apart, or as `clips`, joined into one time.

    A folder that holds both is what it holds more of; the other files are counted as ignored.
    Clips follow each other without a gap, and a file that cannot be read is counted and skipped.

    Args:
        path: an existing folder; folders in it and hidden files are not looked at.
        sampler: says which frames of clips are kept; its rate, how far pictures are apart.
        start_s, stop_s, max_side: as for `FileSource`.

    Raises:
        EmptyFolder: if it holds neither pictures nor clips.
        BeyondEnd: if there are no pictures at `start_s`.
    """

    def __init__(
        self,
        path: Path,
        *,
        sampler: FixedRate,
        start_s: float = 0.0,
        stop_s: float | None = None,
        max_side: int = 1024,
    ) -> None:
        self.address = redact(str(path))
        self.report = SourceReport()
        self._fps, self._sampler = sampler.fps, sampler
        self._start_s = start_s
        self._stop_s = stop_s
        self._max_side = max_side
        self._was_read = False
        self._reading: Generator[Frame] | None = None
        self.kind, self._paths, self.report.ignored = holds(path)
        if self.kind == "pictures":
            end_s = len(self._paths) / self._fps
            if start_s >= end_s:
                raise BeyondEnd(self.address, start_s, end_s)
            self.report.promised_s = end_s if stop_s is None else min(end_s, stop_s)

    @property
    def promised_s(self) -> float | None:
        """Session time of the end of what was asked for; None for clips."""
        return self.report.promised_s

    def frames(self) -> Iterator[Frame]:
        """The frames kept, in time order; once.

        Raises:
            BeyondEnd: if the clips end before `start_s`.
            NotAVideo: if nothing in the folder could be read.
        """
        if self._was_read:
            raise RuntimeError(f"{self.address}: was read already; open it again")
        self._was_read = True
        self._reading = self._pictures() if self.kind == "pictures" else self._clips()
        return self._reading

    def interrupt(self) -> None:
        """Nothing: files never wait."""

    def close(self) -> None:
        """Let the clip being read go; may be called twice."""
        if self._reading is not None:
            self._reading.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pictures(self) -> Generator[Frame]:
        report = self.report
        failure: SourceError | None = None
        for number, path in enumerate(self._paths):
            time_s = number / self._fps
            if time_s < self._start_s or (self._stop_s is not None and time_s >= self._stop_s):
                continue
            try:
                frame = self._picture(path, time_s)
            except SourceError as error:
                report.unreadable += 1
                failure = error
                continue
            if frame is not None:
                report.kept += 1
                yield frame
        self._judge_end(failure, cut_off=0)

    def _picture(self, path: Path, time_s: float) -> Frame | None:
        with VideoFile(path) as file:
            raw = next(file.frames(self.report), None)
            if raw is None:
                raise NotAVideo(f"{redact(str(path))}: holds no picture")
            if is_oversized(raw.width, raw.height):
                self.report.oversized += 1
                return None
            self.report.decoded += 1
            self.report.corrupt += bool(raw.is_corrupt)
            self.report.saw(time_s)
            try:
                return Frame(time_s, to_rgb(raw, self._max_side, file.pixel_aspect(raw)))
            except (av.FFmpegError, ValueError):
                self.report.corrupt += 1
                return None

    def _clips(self) -> Generator[Frame]:
        report = self.report
        failure: SourceError | None = None
        cut_off, next_s = 0, 0.0
        for path in self._paths:
            if self._stop_s is not None and next_s >= self._stop_s:
                break
            try:
                with self._clip(path, next_s) as clip:
                    try:
                        yield from clip.frames()
                    finally:
                        report.add_counts(clip.report)
                        if clip.report.started_s is not None and clip.report.ended_s is not None:
                            report.saw(clip.report.started_s)
                            report.saw(clip.report.ended_s)
                    cut_off += not clip.report.complete
                    next_s = clip.next_s
            except BeyondEnd as error:
                next_s = error.end_s
            except SourceError as error:
                report.unreadable += 1
                failure = error
        if report.started_s is None and next_s > 0:
            raise BeyondEnd(self.address, self._start_s, next_s)
        self._judge_end(failure, cut_off)

    def _clip(self, path: Path, offset_s: float) -> FileSource:
        return FileSource(
            path,
            sampler=self._sampler,
            start_s=self._start_s,
            stop_s=self._stop_s,
            max_side=self._max_side,
            offset_s=offset_s,
        )

    def _judge_end(self, failure: SourceError | None, cut_off: int) -> None:
        report = self.report
        if report.decoded == 0:
            raise NotAVideo(
                f"{self.address}: none of its {len(self._paths)} {self.kind} could be read; "
                f"the last: {failure}"
            ) from failure
        report.complete = not (report.unreadable or cut_off)
        report.end_reason = f"end of the {self.kind}"
        if not report.complete:
            report.end_reason += f": {report.unreadable} unreadable, {cut_off} cut off"


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sort key by which numbers inside names compare as numbers: `cut9` before `cut10`."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], name


def holds(path: Path) -> tuple[Literal["pictures", "clips"], list[Path], int]:
    """What a folder is to us: its kind, the files of that kind in order, how many others."""
    try:
        files = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise SourceError(
            f"{redact(str(path))}: this folder cannot be listed ({error.strerror})"
        ) from error
    files.sort(key=lambda p: natural_order(p.name))
    pictures = [p for p in files if p.suffix.lower() in PICTURE_SUFFIXES]
    clips = [p for p in files if p.suffix.lower() in CLIP_SUFFIXES]
    if not pictures and not clips:
        raise EmptyFolder(
            f"{redact(str(path))}: holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))}) and "
            f"no clips ({', '.join(sorted(CLIP_SUFFIXES))}) among its {len(files)} files"
        )
    if len(pictures) >= len(clips):
        return "pictures", pictures, len(files) - len(pictures)
    return "clips", clips, len(files) - len(clips)
