"""A frame checks itself."""

import math

import numpy as np
import pytest

from longtake.streaming.frame import Frame

PICTURE = np.zeros((4, 6, 3), np.uint8)


def test_a_frame_shows_its_shape_and_not_its_numbers() -> None:
    frame = Frame(1.5, PICTURE, camera="wrist", wall_s=2.0)
    assert repr(frame) == "Frame(pts_s=1.500, image=uint8[4, 6, 3], camera='wrist', wall_s=2.000)"


@pytest.mark.parametrize(
    "image",
    [
        PICTURE.astype(np.float32),
        PICTURE[..., 0],
        PICTURE[..., :2],
        PICTURE[:0],
        PICTURE[:, ::-1],
        PICTURE.tolist(),
    ],
    ids=["float", "gray", "two channels", "no rows", "strided", "list"],
)
def test_only_whole_uint8_rgb_pictures_are_frames(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image"):
        Frame(0.0, image)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf])
def test_times_are_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match="pts_s"):
        Frame(seconds, PICTURE)
    with pytest.raises(ValueError, match="wall_s"):
        Frame(0.0, PICTURE, wall_s=seconds)
