"""Look at a source for a few seconds: what it is, and how fast and how evenly its frames come.

    address -> opened as it would be watched -> frames until the time is over -> `Probed`

What is read from a pipe is gone for whoever reads it next.  How frames are measured stands in
`looking`, what was found in `probed`; nothing is kept, sampled or shown here.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from longtake.streaming import camera_stream
from longtake.streaming.addresses import Address, parse_address
from longtake.streaming.camera_stream import SHOWN_OPTIONS, STAMPLESS_FORMATS, CameraStream
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.connecting import Remote, may_be_named
from longtake.streaming.decoding import VideoFile
from longtake.streaming.errors import (
    NotAVideo,
    SourceError,
    SourceLost,
    SourceNotFound,
    SourceRefused,
    SourceTimeout,
    redact,
)
from longtake.streaming.folders import holds as holds
from longtake.streaming.live_options import options_of
from longtake.streaming.looking import Look
from longtake.streaming.opening import decoder_options
from longtake.streaming.pipe import Pipe, named_pipe, standard_input
from longtake.streaming.probed import Probed, StreamFacts
from longtake.streaming.report import SourceReport

SECONDS_LIMITS = (0.1, 600.0)
END_TOLERANCE_S = 0.5  # as in `files`: containers round

Clock = Callable[[], float]


def probe(
    address: str | os.PathLike[str],
    capture: CaptureConfig | None = None,
    seconds: float = 5.0,
    *,
    clock: Clock = time.monotonic,
) -> Probed:
    """Open a source, look at it, and close it again.

    Args:
        address: as for `sources.open_source`, or a camera's.
        capture: how cameras are opened; its `live` decides where an HTTP address could be both.
        seconds: how long to look at most, from the first frame on: by the clock, and of a
            recording in its own time.
        clock: never goes back; for arrivals.

    Raises:
        ValueError: if `seconds` is out of range.
        SourceError: if it cannot be opened, or not one picture comes.
    """
    if not SECONDS_LIMITS[0] <= seconds <= SECONDS_LIMITS[1]:
        low, high = SECONDS_LIMITS
        raise ValueError(f"seconds={seconds:g}: needs a look of {low:g} to {high:g} s")
    capture = CaptureConfig() if capture is None else capture
    if capture.passage is not None:
        may_be_named(address)
    parsed = parse_address(address, capture.allow)
    if parsed.kind in ("file", "folder", "stdin", "pipe") or capture.live is False:
        return _probe_recorded(parsed, capture, seconds, clock)
    return _probe_camera(parsed, capture, seconds, clock)


def _probe_camera(address: Address, capture: CaptureConfig, seconds: float, clock: Clock) -> Probed:
    started_s = clock()
    with _open_camera(address, capture) as camera:
        open_s = clock() - started_s
        if not (camera.is_live or capture.live):
            camera.close()
            return _probe_recorded(address, capture, seconds, clock)
        look = Look(seconds, is_live=True, are_made_up=not camera.has_stamps)
        first_s, ended = _watch(camera, look, started_s + open_s, clock)
        return Probed(
            address=address.shown,
            kind=address.kind,
            format=camera.container.format.name,
            is_live=True,
            files=1,
            streams=_streams(camera.container),
            chosen=camera.stream.index,
            pixel_aspect=_aspect(camera.stream.sample_aspect_ratio),
            promised_s=_promised_s(camera.container),
            open_s=open_s,
            first_frame_s=first_s - started_s,
            measured=look.measured(camera.bad_packets),
            options=_worth_showing(camera.options),
            transport=camera.options.get("rtsp_transport"),
            ended=ended,
        )


def _open_camera(address: Address, capture: CaptureConfig) -> CameraStream:
    """As it would be watched; of RTSP by a transport that is known then.

    The default takes whatever the server offers, and FFmpeg does not tell what that was.
    """
    is_chosen = {"rtsp_transport", "rtsp_flags"} & set(capture.av_options)
    is_known = is_chosen or capture.passage is not None  # which goes by TCP alone
    if address.kind != "rtsp" or capture.preset != "low-latency" or is_known:
        return camera_stream.open_camera(address, capture)
    for transport in ("tcp", "udp"):
        options = {**capture.av_options, "rtsp_transport": transport}
        try:
            return camera_stream.open_camera(address, replace(capture, av_options=options))
        except (SourceRefused, SourceNotFound, SourceTimeout):
            raise
        except SourceError:
            continue  # a server that refuses one transport may stumble over the next attempt too
    return camera_stream.open_camera(address, capture)


def _watch(camera: CameraStream, look: Look, opened_s: float, clock: Clock) -> tuple[float, str]:
    """Look until it was long enough.

    Returns:
        When the first frame came, and why there were no more in the end, or nothing.

    Raises:
        SourceError: if there was not one.
    """
    first_s, shown = math.nan, camera.address.shown

    def keep_on() -> bool:
        return look.frames > 0 or clock() - opened_s < camera_stream.FIRST_FRAME_S

    try:
        for frame in camera.frames(keep_on):
            now_s = clock()
            first_s = first_s if look.frames else now_s
            look.saw(frame, camera.stamp_s(frame), now_s)
            if look.is_done:
                return first_s, ""
    except SourceError as error:
        if not look.frames:
            raise
        return first_s, str(error).removeprefix(f"{shown}: ")
    if look.frames:
        return first_s, "it ended"
    if not keep_on():
        raise SourceTimeout(
            f"{shown}: is connected and sent no picture within {camera_stream.FIRST_FRAME_S:g} s "
            f"({camera.bad_packets} packets refused); is its codec supported?"
        )
    raise SourceLost(f"{shown}: ended before its first picture")


def _probe_recorded(
    address: Address, capture: CaptureConfig, seconds: float, clock: Clock
) -> Probed:
    place, files = _place(address, capture)
    report = SourceReport()
    started_s = clock()
    with VideoFile(place) as file:
        open_s = clock() - started_s
        look = Look(seconds, is_live=False, are_made_up=_is_stampless(file.container))
        stamps, first, first_s = file.stamps(), None, math.nan
        for frame in file.frames(report):
            if first is None:
                first, first_s = frame, clock()
            look.saw(frame, stamps.time_s(frame), clock())
            if look.is_done:
                break
        if first is None:
            raise _no_picture(address, report, file)
        measured = look.measured(report.bad_packets)
        return Probed(
            address=address.shown,
            kind=address.kind,
            format=file.container.format.name,
            is_live=False,
            files=files,
            streams=_streams(file.container),
            chosen=file.stream.index,
            pixel_aspect=_aspect(file.pixel_aspect(first)),
            promised_s=None if _is_picture(file.container) else file.promised_s,
            open_s=open_s,
            first_frame_s=first_s - started_s,
            measured=measured,
            options=_options_of(address, capture),
            transport=None,
            ended="" if look.is_done else _why_it_ended(file, measured.looked_s),
        )


def _place(address: Address, capture: CaptureConfig) -> tuple[Path | Pipe | Remote, int]:
    """What is opened, and how many files there are: of a folder, the first."""
    if address.is_remote:
        return Remote(address, capture), 1
    if address.kind == "stdin":
        return standard_input(), 1
    path = Path(address.url)
    if address.kind == "pipe":
        return named_pipe(path), 1
    if address.kind == "folder":
        _, paths, _ = holds(path)
        return paths[0], len(paths)
    return path, 1


def _why_it_ended(file: VideoFile, looked_s: float) -> str:
    """Why a recording was over sooner than it promised; empty where it was not."""
    if file.transport_error is not None:
        return file.transport_error
    if file.reached(looked_s + file.step_s, END_TOLERANCE_S + file.step_s):
        return ""
    return f"it promised {file.promised_s:.1f} s and is cut off"


def _no_picture(address: Address, report: SourceReport, file: VideoFile) -> SourceError:
    if report.oversized:
        return SourceError(f"{address.shown}: its pictures are too large; scale it down first")
    if file.transport_error is not None:
        return SourceError(f"{address.shown}: no picture came ({file.transport_error})")
    return NotAVideo(
        f"{address.shown}: not one picture could be decoded ({report.bad_packets} packets refused)"
    )


def _streams(container: InputContainer) -> tuple[StreamFacts, ...]:
    is_picture = _is_picture(container)
    return tuple(_facts(stream, is_picture) for stream in container.streams)


def _facts(stream: Stream, is_picture: bool) -> StreamFacts:
    codec = "unknown" if stream.codec_context is None else stream.codec_context.name
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        return StreamFacts(stream.index, stream.type or "unknown", codec)
    rate = stream.average_rate or stream.base_rate
    return StreamFacts(
        stream.index,
        "video",
        codec,
        size=(stream.width, stream.height) if stream.width and stream.height else None,
        pixel_format=stream.pix_fmt,
        fps=float(rate) if rate and not is_picture else None,
    )


def _is_picture(container: InputContainer) -> bool:
    """A single one: the rate and the length that FFmpeg gives it mean nothing."""
    return container.format.name.endswith("_pipe") or container.format.name == "image2"


def _options_of(address: Address, capture: CaptureConfig) -> dict[str, str]:
    """Those a recording was opened with over the network, fit to be shown."""
    if not address.is_remote:
        return {}
    options = options_of(address, capture, as_camera=False)
    hidden = {name: "***" for name in capture.av_options if name not in SHOWN_OPTIONS}
    return _worth_showing({name: redact(text) for name, text in {**options, **hidden}.items()})


def _worth_showing(options: Mapping[str, str]) -> dict[str, str]:
    """Without our own bound on every decoder."""
    return {name: text for name, text in options.items() if name not in decoder_options()}


def _is_stampless(container: InputContainer) -> bool:
    return bool(STAMPLESS_FORMATS & set(container.format.name.split(",")))


def _aspect(ratio: Fraction | None) -> float:
    return float(ratio) if ratio else 1.0


def _promised_s(container: InputContainer) -> float | None:
    return container.duration / 1_000_000 if container.duration and container.duration > 0 else None
