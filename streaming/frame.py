"""One picture with its time: what every source hands out and everything after it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture, and when it was seen.

    Args:
        pts_s: session time in seconds: counts from the stream's first frame, never decreases.
        image: ``[H, W, 3]`` uint8 RGB, C-contiguous.  Nobody writes into it.
        camera: the camera's name; empty where there is one alone.
        wall_s: Unix time in seconds, where it is known.

    Raises:
        ValueError: if the picture is of another kind or a time is not finite.
    """

    pts_s: float
    image: NDArray[np.uint8]
    camera: str = ""
    wall_s: float | None = None

    def __post_init__(self) -> None:
        image = self.image
        if not isinstance(image, np.ndarray):
            raise ValueError(f"image is a {type(image).__name__}: needs a numpy array, uint8 RGB")
        if image.dtype != np.uint8:
            raise ValueError(f"image is {_shape(image)}: needs uint8 RGB with values 0 to 255")
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"image is {_shape(image)}: needs [H, W, 3], RGB, at least one pixel")
        if not image.flags.c_contiguous:
            raise ValueError(f"image {_shape(image)} is a strided view: pass np.ascontiguousarray")
        if not math.isfinite(self.pts_s):
            raise ValueError(f"pts_s={self.pts_s}: needs a finite number of seconds")
        if self.wall_s is not None and not math.isfinite(self.wall_s):
            raise ValueError(f"wall_s={self.wall_s}: needs a finite number of seconds, or None")

    def __repr__(self) -> str:
        camera = f", camera={self.camera!r}" if self.camera else ""
        wall = f", wall_s={self.wall_s:.3f}" if self.wall_s is not None else ""
        return f"Frame(pts_s={self.pts_s:.3f}, image={_shape(self.image)}{camera}{wall})"


def _shape(image: NDArray[np.generic]) -> str:
    return f"{image.dtype}{list(image.shape)}"
