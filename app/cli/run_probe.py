"""``longtake probe``: show what `longtake.streaming.probing` finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from longtake.cli.names import as_text, shown, times
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.probed import Probed, StreamFacts
from longtake.streaming.probing import probe

SCHEMA = "longtake.probe/1"
SURE_FRAMES = 10  # a rate over fewer may be far off
_KINDS = {
    "file": "a file",
    "folder": "a folder",
    "stdin": "standard input",
    "pipe": "a named pipe",
    "device": "a local camera",
    "rtsp": "RTSP",
    "http": "HTTP",
    "udp": "MPEG-TS over UDP",
    "lavfi": "a filter graph",
}


def run(source: str, capture: CaptureConfig, seconds: float, as_json: bool) -> None:
    """Look, and show it.

    Raises:
        ValueError: if `seconds` is out of range.
        SourceError: if no picture comes.
    """
    probed = probe(source, capture, seconds)
    if as_json:
        print(json.dumps(_json(probed)))
        return
    print(shown(probed.address))
    for name, value in _lines(probed):
        print(f"  {name:<11}{shown(value)}")


def _lines(probed: Probed) -> Iterator[tuple[str, str]]:
    over = f" over {probed.transport}" if probed.transport else ""
    files = f", the first of {probed.files} files" if probed.kind == "folder" else ""
    yield (
        "source",
        f"{_KINDS[probed.kind]}{over}, {'live' if probed.is_live else 'recorded'}{files}",
    )
    yield "container", probed.format
    for stream in probed.streams:
        mark = ", watched" if stream.index == probed.chosen and len(probed.streams) > 1 else ""
        yield f"stream {stream.index}", _stream(stream) + mark
    yield "rate", _rate(probed)
    yield "opened", f"in {probed.open_s:.2f} s, first picture after {probed.first_frame_s:.2f} s"
    yield "latency", probed.latency
    yield from _picture(probed)
    yield from _time(probed)
    yield "looked", _looked(probed)
    if probed.options:
        yield "options", " ".join(f"{name}={text}" for name, text in probed.options.items())
    for warning in probed.warnings:
        yield "warning", warning


def _stream(stream: StreamFacts) -> str:
    parts = [stream.type, stream.codec]
    if stream.size is not None:
        parts.append(_size(stream.size))
    if stream.pixel_format is not None:
        parts.append(stream.pixel_format)
    if stream.fps is not None:
        parts.append(f"{stream.fps:g} frames/s by its header")
    return ", ".join(parts)


def _rate(probed: Probed) -> str:
    measured = probed.measured
    rates = (("arrival", measured.fps_by_arrival), ("time stamps", measured.fps_by_stamps))
    said = [f"{fps:.2f} frames/s by {name}" for name, fps in rates if fps is not None]
    if said and measured.frames < SURE_FRAMES:
        said[-1] += f" (unsure: {times(measured.frames, 'frame')})"
    if measured.jitter_s is not None:
        said.append(f"95 % of arrivals within {measured.jitter_s * 1e3:.0f} ms of even")
    return ", ".join(said) or "not known: too few frames, or none with a time stamp"


def _picture(probed: Probed) -> Iterator[tuple[str, str]]:
    measured = probed.measured
    said = [_size(measured.size)]
    if measured.rotation:
        said.append(f"turned by {measured.rotation} degrees")
    if probed.pixel_aspect != 1:
        said.append(f"pixels {probed.pixel_aspect:.4g} times as wide as high")
    yield "picture", ", ".join(said)
    if measured.key_frame_s is not None:
        yield "key frames", f"at most {measured.key_frame_s:.1f} s apart"


def _time(probed: Probed) -> Iterator[tuple[str, str]]:
    stamps = probed.measured.stamps
    begin = "none" if stamps.first_s is None else f"begin at {stamps.first_s:.3f} s"
    odd = {"missing": stamps.missing, "steps back": stamps.backwards, "jumps": stamps.jumps}
    said = [begin, *(f"{count} {name}" for name, count in odd.items() if count)]
    yield "stamps", ", ".join(said + ["made up by the reader"] * stamps.are_made_up)
    if probed.promised_s is not None:
        yield "length", f"{probed.promised_s:.1f} s by its header"


def _looked(probed: Probed) -> str:
    measured = probed.measured
    counts = {"damaged": measured.corrupt, "packets refused": measured.bad_packets}
    odd = "".join(f", {count} {name}" for name, count in counts.items() if count)
    return f"at {measured.frames} frames in {measured.looked_s:.1f} s{odd}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _json(probed: Probed) -> dict[str, Any]:
    measured = asdict(probed.measured)
    stamps = measured.pop("stamps")
    return {
        "schema": SCHEMA,
        "address": as_text(probed.address),
        "kind": probed.kind,
        "format": probed.format,
        "live": probed.is_live,
        "files": probed.files,
        "streams": [_stream_json(stream) for stream in probed.streams],
        "watched": probed.chosen,
        "fps": probed.fps,
        **measured,
        "stamps": {"made_up": stamps.pop("are_made_up"), **stamps},
        "pixel_aspect": probed.pixel_aspect,
        "promised_s": probed.promised_s,
        "open_s": probed.open_s,
        "first_frame_s": probed.first_frame_s,
        "latency": probed.latency,
        "transport": probed.transport,
        "options": dict(probed.options),
        "ended": probed.ended or None,
        "warnings": list(probed.warnings),
    }


def _stream_json(stream: StreamFacts) -> dict[str, Any]:
    facts = asdict(stream)
    return {"header_fps": facts.pop("fps"), **facts}
