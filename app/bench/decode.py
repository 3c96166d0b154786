"""``longtake bench decode``: our reading of a file, beside ffmpeg's command line doing the same.

The file is made for the run: 1080p at 30 frames/s, H.264, a pan over noise, about 4 Mb/s.  Knows
no model.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from longtake.bench.frame import (
    Row,
    Say,
    check_repeats,
    compared,
    interleave,
    median,
    show,
    timed,
)
from longtake.memory.config import MemoryConfig
from longtake.streaming.sources import open_source

WIDTH, HEIGHT, RATE = 1920, 1080, 30
BIT_RATE = 4_000_000
PAN = (600, 400)  # how far the picture moves, across and down
KEPT_FPS = 1.0
SEED = 1
OURS, THEIRS, THEIR_START = "decode and sample", "ffmpeg, the same", "  of it its start"


def run(seconds: float, repeats: int, as_json: bool, say: Say) -> None:
    """Decode a file and keep one picture a second; ffmpeg with its default threads, where it is.

    Raises:
        ValueError: for a length or a number of repeats that makes no sense.
    """
    if not (math.isfinite(seconds) and seconds >= 1):
        raise ValueError(f"seconds={seconds:g}: must be at least 1")
    check_repeats(repeats)
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        say("no ffmpeg on this machine: our own row alone, without a ratio (install ffmpeg)")
    with TemporaryDirectory(prefix="longtake-bench-") as home:
        clip = Path(home) / "clip.mp4"
        frames = _write_clip(clip, seconds, say)
        kept = _read(clip)
        width, height = kept[0]
        jobs: dict[str, Callable[[], float]] = {OURS: lambda: timed(lambda: _read(clip))}
        if ffmpeg is not None:
            words = _same_by_ffmpeg(ffmpeg, clip, width, height)
            jobs[THEIRS] = lambda: timed(lambda: _call(words))
            jobs[THEIR_START] = lambda: timed(lambda: _call([ffmpeg, "-version"]))
        found = {name: median(took) for name, took in interleave(jobs, repeats, say).items()}
        nbytes = clip.stat().st_size
    sizes = {
        "clip": f"{frames / RATE:g} s, {WIDTH} x {HEIGHT} at {RATE} frames/s, H.264, "
        f"{nbytes * 8 / frames * RATE / 1e6:.1f} Mb/s",
        "kept": f"{len(kept)} pictures, {width} x {height}, RGB",
        "repeats": f"{repeats}, interleaved; medians",
        "ours": f"in this process, PyAV's libavcodec {_dotted(av.library_versions['libavcodec'])}",
        "ffmpeg": "not on this machine" if ffmpeg is None else _version(ffmpeg),
    }
    show("decode", sizes, _rows(found, frames), as_json)


def _rows(found: dict[str, float], frames: int) -> list[Row]:
    """Ours, beside theirs where there is one."""
    rate = Row("frames decoded", frames / found[OURS], "frames/s")
    if THEIRS not in found:
        return [Row(OURS, found[OURS], "s"), rate]
    theirs = Row(THEIRS, found[THEIRS], "s")
    start = Row(THEIR_START, found[THEIR_START], "s")
    return [compared(OURS, found[OURS], "s", theirs), rate, theirs, start]


def _read(clip: Path) -> list[tuple[int, int]]:
    """The whole file through the source that `watch` uses; width and height of what it keeps."""
    side = MemoryConfig().thumbnail_px
    with open_source(clip, fps=KEPT_FPS, max_side=side) as source:
        return [(frame.image.shape[1], frame.image.shape[0]) for frame in source.frames()]


def _same_by_ffmpeg(ffmpeg: str, clip: Path, width: int, height: int) -> list[str]:
    """Its words for: this file, one picture a second, this size, RGB, to nobody."""
    filters = f"fps={KEPT_FPS:g},scale={width}:{height}"
    words = [ffmpeg, "-v", "error", "-nostdin", "-i", str(clip), "-vf", filters]
    return [*words, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:"]


def _call(words: list[str]) -> None:
    """Run ffmpeg; the pictures go to nobody."""
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)


def _version(ffmpeg: str) -> str:
    """Its own version, its codecs' and how it is run."""
    told = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout
    itself = told.partition(" Copyright")[0]
    codecs = next((line for line in told.splitlines() if line.startswith("libavcodec")), "")
    shown = _dotted(codecs.removeprefix("libavcodec").partition("/")[0].split("."))
    return f"{itself}, libavcodec {shown}; its default threads, a process of its own"


def _dotted(parts: Iterable[object]) -> str:
    return ".".join(str(part).strip() for part in parts)


# -------------------------------------------------------------------- the clip


def _write_clip(path: Path, seconds: float, say: Say) -> int:
    """Encode the pan; the number of its frames."""
    frames = round(seconds * RATE)
    say(f"drawing {frames / RATE:g} s of {WIDTH} x {HEIGHT}")
    options = {"preset": "veryfast"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = BIT_RATE
        stream.codec_context.gop_size = 2 * RATE
        for number, picture in enumerate(_pictures(frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return frames


def _pictures(count: int) -> Iterator[NDArray[np.uint8]]:
    """Grey yuv420p ``[HEIGHT * 3 / 2, WIDTH]``: a window that moves over a wall, under grain."""
    rng = np.random.default_rng(SEED)
    wall = _wall(rng)
    grain = rng.normal(0, 2, wall.shape).astype(np.int16)
    colors = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
    for i in range(count):
        along = int(PAN[0] / 2 * (1 + math.sin(i / 60)))
        down = int(PAN[1] / 2 * (1 + math.cos(i / 80)))
        seen = _part(wall, along, down) + _part(grain, i * 173 % PAN[0], i * 71 % PAN[1])
        yield np.concatenate([np.clip(seen, 16, 235).astype(np.uint8), colors])


def _part(whole: NDArray[np.int16], x: int, y: int) -> NDArray[np.int16]:
    return whole[y : y + HEIGHT, x : x + WIDTH]


def _wall(rng: np.random.Generator) -> NDArray[np.int16]:
    """Noise at three sizes, larger than a picture by the width of the pan."""
    width, height = WIDTH + PAN[0], HEIGHT + PAN[1]
    wall = np.full((height, width), 128, np.float32)
    for cell, strength in ((64, 40), (16, 60), (4, 14)):
        rough = rng.normal(0, strength, (height // cell + 1, width // cell + 1))
        wall += cv2.resize(rough.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(wall, 16, 235).astype(np.int16)
