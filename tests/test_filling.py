"""Frames of several cameras become whole steps of one camera each."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from longtake.filling import Filling, count
from longtake.streaming.frame import Frame

IMAGE = np.zeros((2, 2, 3), np.uint8)
CAMERAS = st.sampled_from(["", "door", "yard"])


def frames(*at: tuple[float, str]) -> list[Frame]:
    return [Frame(pts_s, IMAGE, camera) for pts_s, camera in at]


def times(steps: object) -> list[list[float]]:
    return [[frame.pts_s for frame in step] for step in steps]  # type: ignore[attr-defined]


def test_cameras_fill_their_steps_side_by_side() -> None:
    filling = Filling(2)
    made = [filling.add(f) for f in frames((0, "a"), (0, "b"), (1, "a"), (1.5, "b"), (2, "a"))]
    assert [times(steps) for steps in made] == [[], [], [[0, 1]], [[0, 1.5]], []]
    assert len(filling) == 1 and filling.newest_s == 2
    assert times(filling.flush()) == [[2, 2]]
    assert len(filling) == 0 and filling.flush() == []


def test_a_slow_camera_s_step_comes_before_one_that_begins_later() -> None:
    filling, made = Filling(2), []
    for frame in frames((0.0, "fast"), (0.2, "slow"), (0.5, "fast"), (1.0, "fast"), (1.5, "fast")):
        made += filling.add(frame)
    assert times(made) == [[0.0, 0.5], [0.2, 0.2], [1.0, 1.5]]
    assert list(map(count, made)) == [2, 1, 2]


@given(
    each=st.integers(1, 3),
    shown=st.lists(st.tuples(st.floats(0.01, 3.0), CAMERAS), max_size=40),
    drops=st.floats(0, 60),
)
def test_every_frame_is_in_one_step_of_its_camera_in_order(
    each: int, shown: list[tuple[float, str]], drops: float
) -> None:
    filling, at_s, steps, put = Filling(each), 0.0, [], []
    for step_s, camera in shown:
        at_s += step_s
        put.append(Frame(at_s, IMAGE, camera))
        steps += filling.add(put[-1])
    waiting = len(filling)
    dropped = filling.drop(lambda frame: frame.pts_s > drops)
    assert len(filling) == waiting - dropped
    steps += filling.flush()
    for step in steps:
        assert len(step) == each and len({frame.camera for frame in step}) == 1
        own = [frame.pts_s for frame in step]
        assert own == sorted(own)
    assert sum(map(count, steps)) == len(put) - dropped
    assert len({id(frame) for step in steps for frame in step}) == len(put) - dropped
