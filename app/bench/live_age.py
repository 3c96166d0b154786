"""How old the newest picture of a camera is, for somebody who looks more seldom than it films.

A camera on loopback shows the wall clock as bars (`live_camera.py`); each way to read it is asked
for a picture about twice a second, as a model that is slower than the camera would.  The ways:
a take's `read_latest` while its model sees, a plain OpenCV loop, a plain PyAV loop.  They take
turns, so that none disturbs another.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from longtake.bench import live_camera
from longtake.bench.frame import Row, Say, compared, median
from longtake.bench.live_loopback import START_S, SYSTEM_PYTHON, camera, finds_gstreamer
from longtake.bench.live_rows import bounded, percentile
from longtake.engine import Engine
from longtake.settings import TakeConfig

LOOKS_FPS = 2.0
TARGET_MS = 120.0
OURS, OPENCV, PYAV = "longtake", "OpenCV loop", "PyAV loop"

Image = NDArray[np.uint8]
Look = Callable[[], Image]  # the next picture, as this way to read hands it out
Way = Callable[[str], AbstractContextManager[Look]]  # opens an address


class Ended(RuntimeError):
    """A way to read gives no more pictures."""


@dataclass(slots=True)
class Looks:
    """Ages of pictures, and when they were looked at; the first one apart, as it may be one of
    those with which the stream was found out."""

    first_ms: float | None = None
    at_s: list[float] = field(default_factory=list)
    age_ms: list[float] = field(default_factory=list)
    ended: str = ""  # why there were no more, where it ended too early

    def add(self, at_s: float, age_ms: float) -> None:
        if self.first_ms is None:
            self.first_ms = age_ms
            return
        self.at_s.append(at_s)
        self.age_ms.append(age_ms)

    @property
    def slope(self) -> float:
        """Seconds by which the age rises in a minute: least squares."""
        if len(self.at_s) < 2:
            return 0.0
        at_s = np.asarray(self.at_s) - self.at_s[0]
        return float(np.polyfit(at_s, np.asarray(self.age_ms), 1)[0] / 1e3 * 60)


def rows(
    engine: Engine, seconds: float, repeats: int, seed: int, say: Say
) -> tuple[list[Row], str]:
    """Look at the camera in each way for so long, in turn, so many times.

    Returns:
        Rows, and the camera in words.

    Raises:
        RuntimeError: if the camera on loopback does not start, or shows no picture.
    """
    has_gstreamer = finds_gstreamer()
    if not has_gstreamer:
        say(f"no GStreamer under {SYSTEM_PYTHON}: MPEG-TS over UDP in place of RTSP")
    ways: dict[str, Way] = {OURS: by(engine), OPENCV: by_opencv, PYAV: by_pyav}
    found: dict[str, list[Looks]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name, way in ways.items():
            say(f"{name}: run {turn + 1} of {repeats}")
            rng = random.Random(f"{seed}-{turn}")  # the same moments for all
            with camera(has_gstreamer) as url, way(url) as look:
                found[name].append(watch(look, seconds, rng))
            if ended := found[name][-1].ended:
                say(ended)
    return _rows(found, "RTSP" if has_gstreamer else "UDP"), (
        f"{live_camera.WIDTH} x {live_camera.HEIGHT} at {live_camera.FPS} frames/s, H.264, "
        + ("RTSP over TCP (GStreamer)" if has_gstreamer else "MPEG-TS over UDP (PyAV)")
        + f" on loopback; looked at {LOOKS_FPS:g} times a second, for {seconds:g} s, "
        f"{repeats} times each way, in turn"
    )


def _rows(found: dict[str, list[Looks]], transport: str) -> list[Row]:
    """Ages of all runs together; of the slopes the middle one."""
    made: list[Row] = []
    for share in (50, 95):
        ages = {
            name: percentile([age for looks in runs for age in looks.age_ms], share)
            for name, runs in found.items()
        }
        theirs = Row(f"newest frame's age, {transport}, {OPENCV}, p{share}", ages[OPENCV], "ms")
        named = f"newest frame's age, {transport}, {OURS}, p{share}"
        if share == 95:
            named = bounded(named, "at most", TARGET_MS, "ms")
        other = f"newest frame's age, {transport}, {PYAV}, p{share}"
        made += [
            compared(named, ages[OURS], "ms", theirs),
            theirs,
            compared(other, ages[PYAV], "ms", theirs),
        ]
    for name, runs in found.items():
        first_ms = median(looks.first_ms for looks in runs if looks.first_ms is not None)
        made += [
            Row(f"  it rises, {name}", median(looks.slope for looks in runs), "s a minute"),
            Row(f"  the first one, {name}", first_ms, "ms"),
        ]
    return made


def watch(look: Look, seconds: float, rng: random.Random) -> Looks:
    """Look now and then, and read the clock of what is shown; the first look begins it.

    Pictures whose bars cannot be read are left out.  A stream that ends too early is noted: it
    happens to who lags far behind.
    """
    found, begun = Looks(), None
    while begun is None or time.monotonic() - begun < seconds:
        try:
            image = look()
        except Ended as ended:
            found.ended = f"{ended}, after {0 if begun is None else time.monotonic() - begun:.0f} s"
            break
        seen_ms, clock = live_camera.now_ms(), clock_ms(image)
        begun = time.monotonic() if begun is None else begun
        if clock is not None:
            found.add(time.monotonic() - begun, (seen_ms - clock) % (1 << live_camera.BITS))
        time.sleep(rng.uniform(0.75, 1.25) / LOOKS_FPS)  # uneven: else it beats with the camera's
    if not found.age_ms:
        raise RuntimeError(
            f"in {seconds:g} s no picture showed a clock that can be read. {found.ended}".rstrip()
        )
    return found


def clock_ms(image: Image) -> int | None:
    """The clock in a picture ``[H, W, 3]`` of any size; None where its bars are no clock."""
    high, wide = image.shape[0] / live_camera.HEIGHT, image.shape[1] / live_camera.WIDTH
    middles = live_camera.BAR_LEFT + live_camera.BAR_STEP * np.arange(live_camera.BITS)
    columns = ((middles + live_camera.BAR / 2) * wide).astype(int)
    bits, inverted = (
        image[int((row + live_camera.BAR_HEIGHT / 2) * high), columns, 1] > 128
        for row in live_camera.BAR_ROWS
    )
    if (bits == inverted).any():
        return None
    return int((bits * (1 << np.arange(live_camera.BITS))).sum())


# -------------------------------------------------------------------- ways to read a camera


def by(engine: Engine) -> Way:
    """A take watches, its model sees two frames a second, and the newest frame is looked at."""

    @contextmanager
    def way(url: str) -> Iterator[Look]:
        with engine.open(config=TakeConfig(fps=LOOKS_FPS)) as take:
            take.watch(url)
            take.read(timeout_s=START_S)
            yield lambda: take.read_latest(max_age_ms=START_S * 1e3).image

    return way


@contextmanager
def by_opencv(url: str) -> Iterator[Look]:
    """As most programs read a camera: one loop that reads, then thinks."""
    loop = cv2.VideoCapture(url)

    def look() -> Image:
        has_come, image = loop.read()
        if not has_come:
            raise Ended("OpenCV's loop has ended: no more pictures")
        return np.asarray(image, np.uint8)

    try:
        yield look
    finally:
        loop.release()


@contextmanager
def by_pyav(url: str) -> Iterator[Look]:
    """The same loop in PyAV, with its defaults."""
    with av.open(url, timeout=START_S) as container:
        frames = container.decode(video=0)

        def look() -> Image:
            try:
                return np.asarray(next(frames).to_ndarray(format="rgb24"), np.uint8)
            except (StopIteration, av.FFmpegError) as error:
                raise Ended(f"PyAV's loop has ended: {error}") from None

        yield look
