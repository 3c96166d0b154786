"""A lerobot camera that longtake watches along: frames for the policy, a memory for questions.

`LongtakeCamera` has the interface of lerobot's `Camera` (connect, read, async_read, read_latest,
disconnect) over a take, so one connection serves both: the robot reads the newest frame at its own
rate, and the model sees the same camera.  With lerobot installed it is a subclass of its base
class, and ``--robot.cameras`` knows the type ``longtake``; without it, it stands alone:

    with longtake.open(memory="runs/arm") as take:
        front = LongtakeCamera(LongtakeCameraConfig(address="/dev/video0", name="front"), take)
        robot.cameras["front"] = front

``lerobot_camera.py --seconds 10`` reads a drawn clip that plays as a camera, or ``--source`` yours.
Which model watches and what is asked is not known to the camera.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import longtake
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import Film

try:
    from lerobot.cameras import Camera, CameraConfig
    from lerobot.utils.errors import DeviceAlreadyConnectedError, DeviceNotConnectedError

    register = CameraConfig.register_subclass("longtake")
except ImportError:
    Camera = CameraConfig = object

    class DeviceNotConnectedError(ConnectionError):
        """As lerobot's: the camera is used before `connect`."""

    class DeviceAlreadyConnectedError(ConnectionError):
        """As lerobot's: `connect` twice."""

    def register(kind: Any) -> Any:
        return kind


Image = NDArray[np.uint8]


@register
@dataclass(kw_only=True)
class LongtakeCameraConfig(CameraConfig):  # type: ignore[misc]
    """Where the camera is and how its frames are to look.

    What is None is as the source is; ``fps`` is what the robot reads at, the model has its own.
    """

    address: str
    name: str = "camera"
    fps: int | None = None
    width: int | None = None
    height: int | None = None
    color_mode: str = "rgb"  # or bgr
    warmup_s: float = 5.0  # `connect` waits so long for the first frame

    def __post_init__(self) -> None:
        if self.color_mode not in ("rgb", "bgr"):
            raise ValueError(f"color_mode={self.color_mode!r}: must be rgb or bgr")


class LongtakeCamera(Camera):  # type: ignore[misc]
    """One camera of a take.

    Args:
        take: that watches it; several cameras may share one.  None: a take of its own, with the
            embedded model, from `connect` to `disconnect`.
    """

    def __init__(self, config: LongtakeCameraConfig, take: longtake.Take | None = None) -> None:
        self.config, self.name = config, config.name
        self.fps, self.width, self.height = config.fps, config.width, config.height
        self._shared, self._take = take, take
        self._watch: longtake.LiveWatch | None = None

    def __enter__(self) -> LongtakeCamera:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_connected:
            self.disconnect()

    @property
    def is_connected(self) -> bool:
        return self._watch is not None

    @staticmethod
    def find_cameras() -> list[dict[str, Any]]:
        """Local video devices; network cameras cannot be listed."""
        devices = sorted(str(path) for path in Path("/dev").glob("video*"))
        return [{"name": Path(d).name, "type": "longtake", "id": d} for d in devices]

    def connect(self, warmup: bool = True) -> None:
        """Begin to watch; with ``warmup`` returns when the first frame is there.

        Raises:
            DeviceAlreadyConnectedError: if it is connected.
            ConnectionError: if no frame came in time; says what the source said.
        """
        if self._watch is not None:
            raise DeviceAlreadyConnectedError(f"{self} is connected already")
        if self._take is None:
            self._take = longtake.open(model="embedded")
        try:
            capture = longtake.CaptureConfig(live=True)  # a file too plays as a camera
            watch = self._take.watch(self.config.address, camera=self.name, capture=capture)
            assert isinstance(watch, longtake.LiveWatch)
            self._watch = watch
            if warmup:
                self._warm_up()
        except BaseException:
            self._let_go()
            raise

    def read(self) -> Image:
        """The next frame, waited for.  Raises TimeoutError after ``warmup_s``."""
        return self._shown(self._connected().read(self.name, timeout_s=self.config.warmup_s))

    def async_read(self, timeout_ms: float = 200) -> Image:
        """The newest frame that was not read yet.  Raises TimeoutError where none comes in time."""
        return self._shown(self._connected().async_read(self.name, timeout_ms=timeout_ms))

    def read_latest(self, max_age_ms: float = 500) -> Image:
        """The newest frame at once, read or not.  Raises TimeoutError where it is older."""
        return self._shown(self._connected().read_latest(self.name, max_age_ms=max_age_ms))

    def disconnect(self) -> None:
        """Stop watching.  A shared take goes on, with what it has seen."""
        self._connected()
        self._let_go()

    def _warm_up(self) -> None:
        """Wait for a frame, and learn its size where the config leaves it open."""
        assert self._watch is not None
        try:
            image = self.read()
        except TimeoutError:
            reason = self._watch.error or f"no frame within {self.config.warmup_s:g} s"
            raise ConnectionError(f"{self}: {reason}") from None
        self.height, self.width = image.shape[:2]

    def _connected(self) -> longtake.Take:
        if self._watch is None or self._take is None:
            raise DeviceNotConnectedError(f"{self} is not connected: call connect() first")
        return self._take

    def _shown(self, frame: longtake.Frame) -> Image:
        """In the size and colour order that was asked for; the caller may write into it."""
        image = frame.image
        height, width = image.shape[:2]
        wanted = (self.config.width or width, self.config.height or height)
        if wanted != (width, height):
            image = np.asarray(cv2.resize(image, wanted, interpolation=cv2.INTER_AREA), np.uint8)
        return image[..., ::-1].copy() if self.config.color_mode == "bgr" else image.copy()

    def _let_go(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()
            watch.is_seen(self.config.warmup_s)  # from then on its name is free again
        if self._shared is None and self._take is not None:
            self._take.close()
            self._take = None

    def __repr__(self) -> str:
        return f"LongtakeCamera({self.name})"  # an address may hold a password


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", help="a camera's address; a drawn clip where none is given")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to read")
    parser.add_argument("--ask", default="what colour was the square?", help="asked at the end")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = chosen.source
        if source is None:
            source = str(Path(folder) / "clip.mp4")
            write_film(Film(random.Random(1), round(chosen.seconds) + 2), source, fps=15)
        config = LongtakeCameraConfig(address=source, name="front", fps=30, width=320, height=240)
        with longtake.open(model="embedded") as take:
            show(take, LongtakeCamera(config, take), chosen.seconds)
            answer = take.ask(chosen.ask)
            print(f"{chosen.ask} {answer.text} (as of {answer.as_of_s:.1f} s)")


def show(take: longtake.Take, camera: LongtakeCamera, seconds: float) -> None:
    """Read as a robot does, and count."""
    camera.connect()
    print(f"{camera}: {camera.width} x {camera.height}, read {camera.fps} times a second")
    begun, read, late = time.monotonic(), 0, 0
    try:
        while time.monotonic() < begun + seconds:
            try:
                camera.async_read(timeout_ms=200)
                read += 1
            except TimeoutError:
                late += 1
            time.sleep(max(0.0, begun + (read + late) / (camera.fps or 30) - time.monotonic()))
    except KeyboardInterrupt:
        print("stopped by hand")
    finally:
        stats = take.stats().cameras[camera.name]
        camera.disconnect()
    print(f"{read} frames read, {late} times none within 200 ms; {stats.seen} came,", end=" ")
    print(f"{stats.kept} went to the model, the rest {dict(stats.dropped)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before there was anything to stop
        raise SystemExit(130) from None
