"""What a look at a source found: facts of its header, what was measured, and warnings in words.

Nouns only; how a source is opened and looked at stands in `probing`.  Nothing here holds a login.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

OFF_BY = 0.2  # rates that differ by less than this share are the same
ENOUGH_FRAMES = 8  # a rate over fewer proves nothing
BACKLOG_S = 0.5
KEY_FRAME_S = 4.0


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One stream of a container, by its header."""

    index: int
    type: str  # video, audio, subtitle, data ...
    codec: str
    size: tuple[int, int] | None = None  # width, height; None: no pictures, or not known yet
    pixel_format: str | None = None
    fps: float | None = None  # what the header says, which can be nonsense


@dataclass(frozen=True, slots=True)
class Stamps:
    """The presentation times of the frames that were looked at."""

    first_s: float | None  # where they begin; None: no frame has one
    missing: int  # frames without one
    backwards: int  # steps back
    jumps: int  # steps far beyond what passed
    are_made_up: bool  # by FFmpeg, from a rate that it guessed


@dataclass(frozen=True, slots=True)
class Measured:
    """What the frames themselves say."""

    looked_s: float  # live: by the clock, from the first frame on; recorded: in its own time
    frames: int
    corrupt: int  # of these, marked damaged by the decoder
    bad_packets: int  # refused by the decoder
    size_changes: int
    size: tuple[int, int]  # of the first picture: width, height
    rotation: int  # degrees against the clock that bring it upright: 0, 90, 180, 270
    fps_by_stamps: float | None  # None: too few frames with stamps
    fps_by_arrival: float | None  # behind the opening burst; None: too few, or not live
    jitter_s: float | None  # 95th percentile of |distance of arrivals - their median|
    backlog_s: float | None  # stream that came in a burst on opening; None: not live, or no stamps
    key_frame_s: float | None  # longest distance between two key frames; None: fewer than two
    stamps: Stamps


@dataclass(frozen=True, slots=True)
class Probed:
    """A source, as it was found.

    Args:
        address: fit to be shown.
        kind: as `Address.kind`.
        format: FFmpeg's name of the container, or of the pictures of a folder.
        is_live: whether it would be watched as a camera.
        files: pictures or clips of a folder; the first of them was looked at.  1 elsewhere.
        streams: all streams of the container.
        chosen: index of the stream that is watched.
        pixel_aspect: width of a pixel by its height; 1.0 where nothing is said.
        promised_s: where the header says that the pictures end; None if it does not.
        open_s: how long opening took.
        first_frame_s: from the beginning of opening to the first picture.
        options: FFmpeg's, with which it was opened; redacted.
        transport: of RTSP: ``tcp`` or ``udp``, where it is known.
        ended: why there were no more frames before the look was over, in words; else empty.
    """

    address: str
    kind: str
    format: str
    is_live: bool
    files: int
    streams: tuple[StreamFacts, ...]
    chosen: int
    pixel_aspect: float
    promised_s: float | None
    open_s: float
    first_frame_s: float
    measured: Measured
    options: Mapping[str, str]
    transport: str | None
    ended: str

    @property
    def stream(self) -> StreamFacts:
        """The one that is watched."""
        return next(stream for stream in self.streams if stream.index == self.chosen)

    @property
    def fps(self) -> float | None:
        """The real rate: by arrival where frames arrive, else by their stamps."""
        return self.measured.fps_by_arrival or self.measured.fps_by_stamps

    @property
    def latency(self) -> str:
        """What can be said of how old its pictures are, and how that is known."""
        if not self.is_live:
            return "none: a recording is read, not waited for"
        unknown = "how old a picture is on arrival cannot be known without a clock in the picture"
        backlog_s = self.measured.backlog_s
        if backlog_s is None:
            return f"{unknown}; without time stamps a backlog cannot be told either"
        return f"{backlog_s:.1f} s came at once on opening; {unknown}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know, in words; empty where all is well."""
        return (*_of_rates(self), *_of_stamps(self), *_of_pictures(self), *_of_arrival(self))


def _of_rates(probed: Probed) -> Iterator[str]:
    measured, header = probed.measured, probed.stream.fps
    real = probed.fps
    if real is not None and header is not None and _differ(real, header):
        yield f"frames are {_rate(real)} a second, but the header says {_rate(header)}"
    by_arrival, by_stamps = measured.fps_by_arrival, measured.fps_by_stamps
    if by_arrival is None or by_stamps is None or measured.stamps.are_made_up:
        return
    if _differ(by_arrival, by_stamps):
        yield (
            f"frames arrive {_rate(by_arrival)} a second, but by their time stamps they are "
            f"{_rate(by_stamps)} a second: its clock is wrong, or it does not keep its pace"
        )


def _of_stamps(probed: Probed) -> Iterator[str]:
    stamps, frames = probed.measured.stamps, probed.measured.frames
    if stamps.are_made_up:
        yield "time stamps are made up by the reader: the arrival of frames tells their time"
    if stamps.missing:
        yield f"{stamps.missing} of {frames} frames have no time stamp"
    if stamps.backwards:
        yield f"time stamps step back {stamps.backwards} times: time is held there"
    if stamps.jumps:
        yield f"time stamps jump {stamps.jumps} times"


def _of_pictures(probed: Probed) -> Iterator[str]:
    measured = probed.measured
    if measured.corrupt:
        yield f"{measured.corrupt} of {measured.frames} frames are marked damaged"
    if measured.bad_packets:
        yield f"{measured.bad_packets} packets were refused by the decoder"
    if measured.size_changes:
        yield f"the size changes {measured.size_changes} times"
    if measured.rotation:
        yield f"turned by {measured.rotation} degrees: it is shown upright"
    if abs(probed.pixel_aspect - 1) > 0.01:
        yield f"pixels are {probed.pixel_aspect:.3g} times as wide as high: they are made square"
    videos = sum(stream.type == "video" for stream in probed.streams)
    if videos > 1:
        yield f"holds {videos} video streams: number {probed.chosen}, the largest, is watched"


def _of_arrival(probed: Probed) -> Iterator[str]:
    measured = probed.measured
    if probed.ended:
        yield f"there were no more frames after {measured.looked_s:.1f} s: {probed.ended}"
    if not probed.is_live:
        return
    if measured.backlog_s is not None and measured.backlog_s > BACKLOG_S:
        yield (
            f"{measured.backlog_s:.1f} s of stream came in a burst on opening: old pictures; "
            "they are let go"
        )
    apart_s = measured.looked_s if measured.key_frame_s is None else measured.key_frame_s
    if apart_s > KEY_FRAME_S:
        more = " or more" if measured.key_frame_s is None else ""
        yield (
            f"key frames are {apart_s:.1f} s{more} apart: what is lost stays smeared that long, "
            "and a reconnect can take that long; set the camera to one every 1 or 2 s"
        )


def _differ(a: float, b: float) -> bool:
    return abs(a - b) > OFF_BY * min(a, b)


def _rate(fps: float) -> str:
    return f"{fps:.1f}".removesuffix(".0") if fps < 1000 else f"{fps:.0f}"
