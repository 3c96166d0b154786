"""What a mask covers is gone, what it does not cover is untouched."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from longtake.streaming.masks import Mask, black_out

TOUCHED_PX = 2.0  # a pixel whose centre is farther than this from the polygon stays as it is

shares = st.floats(0, 1, width=32).map(float)
polygons = st.lists(st.tuples(shares, shares), min_size=3, max_size=6).map(tuple)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 200, np.uint8)


@given(polygons, st.integers(1, 60), st.integers(1, 60))
def test_all_inside_is_black_and_all_outside_is_untouched(
    points: tuple[tuple[float, float], ...], width: int, height: int
) -> None:
    try:
        mask = Mask(points)
    except ValueError:
        assume(False)
    image = black_out(grey(height, width), [mask], "")
    corners = [(x * width, y * height) for x, y in points]
    for row in range(height):
        for column in range(width):
            at = (column + 0.5, row + 0.5)
            near = min(away(at, a, b) for a, b in edges(corners))
            if near > TOUCHED_PX or (near > 0.01 and is_inside(at, corners)):
                wanted = 0 if is_inside(at, corners) else 200
                assert (image[row, column] == wanted).all(), (row, column)


def edges(corners: list[tuple[float, float]]) -> list:
    return list(zip(corners, [*corners[1:], corners[0]], strict=True))


def is_inside(at: tuple[float, float], corners: list[tuple[float, float]]) -> bool:
    """A ray to the right crosses the edges an odd number of times."""
    crossed = False
    for (ax, ay), (bx, by) in edges(corners):
        if (ay > at[1]) != (by > at[1]):
            crossed ^= at[0] < ax + (at[1] - ay) / (by - ay) * (bx - ax)
    return crossed


def away(at: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    (px, py), (ax, ay), (bx, by) = at, a, b
    length2 = (bx - ax) ** 2 + (by - ay) ** 2
    along = 0.0 if not length2 else ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length2
    along = min(1.0, max(0.0, along))
    return math.hypot(px - ax - along * (bx - ax), py - ay - along * (by - ay))


def test_a_whole_mask_leaves_not_one_pixel() -> None:
    whole = Mask.parse("0,0 1,0 1,1 0,1")
    for size in ((1, 1), (7, 3), (480, 641)):
        assert not black_out(grey(*size), [whole], "door").any()


def test_a_mask_covers_its_own_camera_alone() -> None:
    masks = [Mask.parse("door:0,0 0.5,0 0.5,1 0,1"), Mask.parse("0.75,0 1,0 1,1 0.75,1")]
    door, yard = black_out(grey(10, 40), masks, "door"), black_out(grey(10, 40), masks, "yard")
    assert not door[:, :20].any() and (door[:, 22:29] == 200).all()
    assert (yard[:, :29] == 200).all()
    assert not door[:, 30:].any() and not yard[:, 30:].any()


def test_gray_pictures_are_masked_too() -> None:
    image = black_out(np.full((90, 160), 9, np.uint8), [Mask.parse("0,0 1,0 1,0.5 0,0.5")], "")
    assert not image[:45].any() and (image[48:] == 9).all()


def test_the_same_array_comes_back_and_one_that_is_read_only_is_copied() -> None:
    mask = Mask.parse("0,0 1,0 1,1")
    image = grey(4, 4)
    assert black_out(image, [Mask(mask.points, "door")], "yard") is image and image.all()
    assert black_out(image, [mask], "yard") is image and not image.all()
    fixed = grey(4, 4)
    fixed.flags.writeable = False
    assert not black_out(fixed, [mask], "").all() and fixed.all()


@given(polygons, st.sampled_from(["", "door", "hall: left"]))
def test_what_is_shown_can_be_read_again(
    points: tuple[tuple[float, float], ...], camera: str
) -> None:
    points = tuple((round(x, 3), round(y, 3)) for x, y in points)
    try:
        mask = Mask(points, camera)
    except ValueError:
        assume(False)
    assert Mask.parse(str(mask)[1:-1]) == mask


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least 3"),
        ("door:", "at least 3"),
        ("0,0 1,1", "2 corners"),
        ("0,0 1,0 1;1", "'1;1'"),
        ("0,0 1,0 1,1,1", "'1,1,1'"),
        ("0,0 640,0 640,480", "not pixels"),
        ("0,0 1,0 nan,1", "outside"),
        ("0,0 1,1 1,0 0,1", "in order around it"),
        ("0,0 0.5,0.5 1,1", "covers nothing"),
    ],
)
def test_a_mask_that_makes_no_sense_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="mask") as raised:
        Mask.parse(text)
    assert said in str(raised.value)
