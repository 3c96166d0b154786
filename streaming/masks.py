"""Parts of the picture that nobody may see: polygons, blacked out before anything looks at them.

Corners are shares of the picture's width and height, as it is shown: upright, from its top left.
They fit whatever size a camera sends.  When pictures are masked is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Point = tuple[float, float]
SUBPIXEL_BITS = 8  # cv2 takes corners in 1/256 of a pixel
EDGE_PX = 2
MOST_MASKS = 64  # each costs a fill of every frame
HOW = 'write it as "0,0 0.5,0 0.5,1 0,1", or "door:0,0 ..." for the camera door alone'


@dataclass(frozen=True, slots=True)
class Mask:
    """One polygon.

    Args:
        points: its corners in order around it, x and y as shares of width and height, 0 to 1.
        camera: the camera it is for; empty for all of them.

    Raises:
        ValueError: for fewer than three corners, one outside of the picture, edges that cross
            one another, or a polygon without an area.
    """

    points: tuple[Point, ...]
    camera: str = ""

    def __post_init__(self) -> None:
        shown = f"mask {self}"
        if len(self.points) < 3:
            raise ValueError(f"{shown}: has {len(self.points)} corners, needs at least 3; {HOW}")
        for x, y in self.points:
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise ValueError(
                    f"{shown}: corner {x:g},{y:g} is outside of the picture; corners are shares "
                    "of its width and height, 0 to 1, not pixels"
                )
        # Where edges cross, filling leaves holes: a mask that shows what it should hide.
        if _crosses_itself(self.points):
            raise ValueError(f"{shown}: its edges cross; name its corners in order around it")
        if _area(self.points) == 0:
            raise ValueError(f"{shown}: covers nothing, its corners lie on one line; {HOW}")

    @classmethod
    def parse(cls, text: str) -> Mask:
        """``door:0,0 0.5,0 0.5,1 0,1`` -> a mask of the camera ``door``; without a name, of all.

        Raises:
            ValueError: names the text, the rule and how it is written.
        """
        camera, _, corners = text.rpartition(":")
        points: list[Point] = []
        for corner in corners.split():
            try:
                x, y = (float(share) for share in corner.split(","))
            except ValueError:
                raise ValueError(f"mask {text!r}: {corner!r} is no corner x,y; {HOW}") from None
            points.append((x, y))
        return cls(tuple(points), camera.strip())

    def __str__(self) -> str:
        camera = f"{self.camera}:" if self.camera else ""
        return repr(camera + " ".join(f"{x:g},{y:g}" for x, y in self.points))


def black_out(image: NDArray[np.uint8], masks: Sequence[Mask], camera: str) -> NDArray[np.uint8]:
    """The picture with every mask of this camera filled black.

    A pixel whose centre lies inside is black; so may be those within two pixels of an edge.

    Args:
        image: ``[H, W, 3]`` or ``[H, W]`` uint8.
        camera: masks without a camera, and those of this one, apply.

    Returns:
        The same array, written into; a copy where it cannot be written into and something applies.
    """
    meant = [mask for mask in masks if mask.camera in ("", camera)]
    if not meant:
        return image
    import cv2
    import numpy as np

    if not (image.flags.writeable and image.flags.c_contiguous):
        image = image.copy(order="C")
    height, width = image.shape[:2]
    size = np.array([width, height], np.float64)
    for mask in meant:
        # cv2 counts from the centre of the first pixel, shares from its corner.
        corners = (np.array(mask.points) * size - 0.5) * (1 << SUBPIXEL_BITS)
        polygon = np.rint(corners).astype(np.int32)
        cv2.fillPoly(image, [polygon], (0, 0, 0), shift=SUBPIXEL_BITS)
        # Filling rounds at its edges and leaves pixels there whose centre lies inside.
        cv2.polylines(image, [polygon], True, (0, 0, 0), EDGE_PX, shift=SUBPIXEL_BITS)
    return image


def checked_masks(masks: Sequence[Mask]) -> tuple[Mask, ...]:
    """Masks that somebody names, as they may be used.

    Raises:
        ValueError: if there are more than `MOST_MASKS`, or one is none.
    """
    if len(masks) > MOST_MASKS:
        raise ValueError(f"{len(masks)} masks: must be at most {MOST_MASKS}; join some")
    for mask in masks:
        if not isinstance(mask, Mask):
            raise ValueError(f"{mask!r} is no mask: make it with Mask(...) or Mask.parse(...)")
    return tuple(masks)


def _area(points: Sequence[Point]) -> float:
    around = zip(points, [*points[1:], points[0]], strict=True)
    return abs(math.fsum(a[0] * b[1] - b[0] * a[1] for a, b in around)) / 2


def _crosses_itself(points: Sequence[Point]) -> bool:
    """Whether two edges meet in their middle; to touch at a corner is fine."""
    edges = list(zip(points, [*points[1:], points[0]], strict=True))
    return any(
        _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0
        for (a, b), (c, d) in combinations(edges, 2)
    )


def _side(a: Point, b: Point, point: Point) -> float:
    """On which side of the line from `a` to `b` a point lies: the sign; 0 on it."""
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])
