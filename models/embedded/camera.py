"""What a camera and a codec do to the drawn world: training pictures as a file would give them.

Films are shipped as H.264 at several times the model's size and scaled down when read, so
some training pictures are drawn large, compressed and scaled the same way.
"""

from __future__ import annotations

import random

import cv2
import numpy as np

from longtake.models.embedded.world import SIZE, Film, Image, Scene

CODED_SHARE = 0.2  # of the training pictures; the others are drawn at once in their size
_CODED_SCALE = 2

cv2.setNumThreads(1)


def photograph(scene: Scene | Film, t_s: float, rng: random.Random) -> Image:
    """The picture at ``t_s``, uint8 RGB ``[96, 96, 3]``, now and then through a codec."""
    if rng.random() >= CODED_SHARE:
        return scene.draw(t_s)
    large = scene.draw(t_s, _CODED_SCALE)
    quality = [cv2.IMWRITE_JPEG_QUALITY, rng.randint(35, 90)]
    _, data = cv2.imencode(".jpg", large, quality)
    coded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert coded is not None
    small = cv2.resize(coded, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small, np.uint8)
