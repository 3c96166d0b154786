"""A browser without a window, whose camera is a file with a number in each picture.

What its pages show is not known here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from longtake.bench import live_camera

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT, FPS = 640, 360, 15
FILM_S = 10  # then it begins anew; longer than any picture takes
FLAGS = (
    "--disable-dev-shm-usage",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
WATCH = """([selector, columns, row]) => {
  const video = document.querySelector(selector);
  const canvas = document.createElement('canvas');
  canvas.width = %(width)d;
  canvas.height = 2;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  window.benchShown = [];
  let last = -1;
  const look = () => {
    const atS = Date.now() / 1000;
    const y = Math.round(row * video.videoHeight);
    pen.drawImage(video, 0, y, video.videoWidth, 2, 0, 0, canvas.width, 2);
    const line = pen.getImageData(0, 0, canvas.width, 1).data;
    let number = 0;
    columns.forEach((column, bit) => {
      if (line[Math.round(column * canvas.width) * 4 + 1] > 128) number += 2 ** bit;
    });
    if (number !== last) window.benchShown.push([atS, number]);
    last = number;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}""" % {"width": WIDTH}  # noqa: UP031


class NoBrowser(RuntimeError):
    """There is none that can be driven, and why."""


def found(path: Path | None) -> str:
    """The browser's program.

    Args:
        path: where it is; None: by its name, on the ``PATH``.

    Raises:
        NoBrowser: if there is none, or nothing to drive it with.
    """
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        raise NoBrowser("playwright is not installed; pip install playwright") from None
    if path is not None:
        if not os.access(path, os.X_OK):
            raise NoBrowser(f"--browser {path}: is no program")
        return str(path)
    for name in NAMES:
        if (program := shutil.which(name)) is not None:
            return program
    raise NoBrowser(f"no {', '.join(NAMES)} on the PATH; name a Chromium with --browser")


@contextmanager
def browser(program: str, camera: Path | None = None) -> Iterator[Browser]:
    """Running, for as long as the block lasts.

    Args:
        camera: what its camera shows, see `film`; None: it is not used.
    """
    from playwright.sync_api import sync_playwright

    flags = list(FLAGS)
    if camera is not None:
        flags.append(f"--use-file-for-fake-video-capture={camera.resolve()}")
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run as root with it
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, headless=True, args=flags)
        try:
            yield running
        finally:
            running.close()


def film(path: Path, seconds: int = FILM_S) -> None:
    """Write what the camera shows: numbered pictures, 5 MB a second."""
    with path.open("wb") as out:
        out.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(FPS * seconds):
            out.write(b"FRAME\n" + _smaller(live_camera.picture(number, number)))


def _smaller(picture: bytes) -> bytes:
    """An I420 picture of the loopback camera, at our size."""
    luma = live_camera.WIDTH * live_camera.HEIGHT
    planes = np.frombuffer(picture, np.uint8)
    image = planes[:luma].reshape(live_camera.HEIGHT, live_camera.WIDTH)
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return small.tobytes() + b"\x80" * (WIDTH * HEIGHT // 2)


def bars() -> tuple[list[float], float]:
    """Where a page reads the number: shares of the width for each bit, of the height for all."""
    middles = [
        live_camera.BAR_LEFT + bit * live_camera.BAR_STEP + live_camera.BAR / 2
        for bit in range(live_camera.BITS)
    ]
    row = live_camera.BAR_ROWS[0] + live_camera.BAR_HEIGHT / 2
    return [middle / live_camera.WIDTH for middle in middles], row / live_camera.HEIGHT


def number_in(image: NDArray[np.uint8]) -> int | None:
    """The number in a picture ``[H, W, 3]`` of any size; None where its bars are none."""
    shares, row = bars()
    columns = (np.asarray(shares) * image.shape[1]).astype(int)
    below = (live_camera.BAR_ROWS[1] - live_camera.BAR_ROWS[0]) / live_camera.HEIGHT
    bits, inverted = (
        image[int(place * image.shape[0]), columns, 1] > 128 for place in (row, row + below)
    )
    if (bits == inverted).any():
        return None
    return int((bits * (1 << np.arange(live_camera.BITS))).sum())
