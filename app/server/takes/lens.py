"""What a camera shows just now, small, for whoever looks: made once, however many look.

A picture that came as a small JPEG is passed on as it came; all others are scaled down and
encoded here, in the thread of whoever asks first.  Nothing is made while nobody asks.  What is
masked is black here too.  How a picture travels to those who look is not known here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longtake.server.takes.plain_jpeg import is_plain
from longtake.streaming.masks import Mask, black_out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_SIDE_PX = 640
MOST_FPS = 5.0
QUALITY = 75

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Sight:
    """What lies in front of a lens."""

    mark: Hashable  # differs from that of the one before
    taken_s: float  # on the monotonic clock
    jpeg: bytes | None = field(default=None, repr=False)
    image: NDArray[np.uint8] | None = field(default=None, repr=False)  # RGB, in place of `jpeg`
    size: tuple[int, int] | None = None  # of the JPEG, where known


@dataclass(frozen=True, slots=True)
class Preview:
    """A small JPEG of what a camera showed."""

    number: int  # rises
    taken_s: float  # on the monotonic clock
    jpeg: bytes = field(repr=False)


class Lens:
    """Of one camera; any thread may look.

    Args:
        camera: its name, for the masks.
        look: what is there now; None where there is nothing.
        masks: that are in force.
    """

    def __init__(
        self,
        camera: str,
        look: Callable[[], Sight | None],
        masks: Callable[[], Sequence[Mask]],
        clock: Clock = time.monotonic,
    ) -> None:
        self.camera, self._look, self._masks, self._clock = camera, look, masks, clock
        self._lock = threading.Lock()
        self._preview: Preview | None = None
        self._mark: Hashable = None
        self._looked_s, self._number = float("-inf"), 0

    def newest(self) -> Preview | None:
        """The newest preview; a new one at most `MOST_FPS` times a second.  May take some
        milliseconds."""
        with self._lock:
            now_s = self._clock()
            if now_s - self._looked_s >= 1 / MOST_FPS:
                self._looked_s = now_s
                self._renew()
            return self._preview

    def forget(self) -> None:
        """What was shown is not shown any more."""
        with self._lock:
            self._preview = self._mark = None
            self._looked_s = float("-inf")

    def _renew(self) -> None:
        sight = self._look()
        if sight is None:
            self._preview = self._mark = None
            return
        masks = tuple(mask for mask in self._masks() if mask.camera in ("", self.camera))
        if (sight.mark, masks) == self._mark:
            return
        self._mark = sight.mark, masks
        jpeg = as_it_came(sight) if not masks else None
        jpeg = jpeg or encoded(sight, masks, self.camera)
        if jpeg is not None:
            self._number += 1
            self._preview = Preview(self._number, sight.taken_s, jpeg)


def as_it_came(sight: Sight) -> bytes | None:
    """The JPEG that came, where it may be passed on: small, and nothing in it but a picture."""
    jpeg, size = sight.jpeg, sight.size
    if jpeg is None or size is None or max(size) > MOST_SIDE_PX:
        return None
    return jpeg if is_plain(jpeg) else None


def encoded(sight: Sight, masks: Sequence[Mask], camera: str) -> bytes | None:
    """Small, without what is masked; None where it cannot be decoded."""
    import cv2
    import numpy as np

    image = sight.image
    if image is None and sight.jpeg is not None:
        try:
            image = cv2.imdecode(np.frombuffer(sight.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)  # type: ignore[assignment]
        except cv2.error:
            return None
    if image is None:
        return None
    if masks:
        image = black_out(image.copy(), masks, camera)
    height, width = image.shape[:2]
    share = MOST_SIDE_PX / max(height, width)
    if share < 1:
        size = max(1, round(width * share)), max(1, round(height * share))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return jpeg.tobytes() if done else None
