"""A drawn film as what Chromium's fake camera plays: Motion JPEG, which it shows at 30 frames a
second, over and over, from the moment that somebody opens the camera.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from longtake.models.embedded.world import Film

SHOWN_FPS = 30  # Chromium's, whatever the file is meant to be
DRAWN_FPS = 2  # the others are the same picture again
SCALE = 4  # 384 x 384 pixels
QUALITY = 92


def write_fake_webcam(film: Film, path: Path) -> None:
    """All of `film`; a minute of it is about 40 MB."""
    again = SHOWN_FPS // DRAWN_FPS
    with path.open("wb") as out:
        for _, image in film.frames(DRAWN_FPS, SCALE):
            done, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            assert done
            out.write(jpeg.tobytes() * again)
