"""Which frames of a camera are kept: the rate the model sustains, stillness, change of scene."""

from __future__ import annotations

import gc
import math
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from longtake.streaming.sampler import FixedRate
from longtake.streaming.sampling import STILL_AT_MOST_S, AdaptiveRate, Sampling, difference

SUSTAINED_WITHIN = 0.3  # of the model's own rate


class Model:
    """A mailbox of one and a model that takes `takes_s` for a frame, on a clock of numbers."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.lies_there = False
        self.free_s = 0.0
        self.done = 0

    def put(self) -> None:
        self.lies_there = True

    def go_on(self, now_s: float) -> None:
        if self.lies_there and self.free_s <= now_s:
            self.lies_there = False
            self.free_s = now_s + self.takes_s
            self.done += 1


def watch(rate: AdaptiveRate, model: Model, camera_fps: float, from_s: float, to_s: float) -> int:
    """Run both for a while; returns how many frames were kept."""
    kept = 0
    for number in range(math.ceil(from_s * camera_fps), math.ceil(to_s * camera_fps)):
        now_s = number / camera_fps
        model.go_on(now_s)
        if rate.wants(now_s):
            kept += 1
            model.put()
        model.go_on(now_s)
    return kept


@given(st.floats(0.05, 30), st.floats(0.05, 5), st.lists(st.tuples(st.floats(0, 3), st.booleans())))
def test_the_rate_stays_between_its_bounds(
    fps: float, least_fps: float, frames: list[tuple[float, bool]]
) -> None:
    is_waiting = False
    rate = AdaptiveRate(fps, lambda: is_waiting, least_fps)
    now_s, kept = 0.0, []
    for step_s, waits in frames:
        now_s, is_waiting = now_s + step_s, waits
        if rate.wants(now_s):
            kept.append(now_s)
        assert min(least_fps, fps) <= rate.fps <= fps
    for number, kept_s in enumerate(kept):
        assert kept_s >= kept[0] + (number * 0.9) / fps - 1e-9


@pytest.mark.parametrize("camera_fps", [15.0, 25.0])
@pytest.mark.parametrize("sustained_fps", [0.4, 1.0, 2.3])
def test_it_comes_near_to_what_the_model_sustains(sustained_fps: float, camera_fps: float) -> None:
    model = Model(1 / sustained_fps)
    rate = AdaptiveRate(5.0, lambda: model.lies_there)
    watch(rate, model, camera_fps, 0, 60 / sustained_fps)
    begin_s, end_s = 60 / sustained_fps, 260 / sustained_fps
    done = model.done
    kept = watch(rate, model, camera_fps, begin_s, end_s)
    assert kept / 200 == pytest.approx(1, abs=SUSTAINED_WITHIN)
    assert (model.done - done) / 200 >= 1 - SUSTAINED_WITHIN


def test_it_comes_back_to_its_full_rate_when_the_model_does() -> None:
    model = Model(4.0)
    rate = AdaptiveRate(2.0, lambda: model.lies_there)
    watch(rate, model, 25, 0, 100)
    assert rate.fps < 0.5
    model.takes_s = 0.01
    watch(rate, model, 25, 100, 400)
    assert rate.fps == 2.0


def test_a_model_that_keeps_up_gets_what_a_fixed_rate_gives() -> None:
    adaptive, fixed = AdaptiveRate(2.0, lambda: False), FixedRate(2.0)
    for number in range(500):
        assert adaptive.wants(number / 25) == fixed.wants(number / 25), number


def test_ticks_that_passed_in_a_silence_are_not_made_up_for() -> None:
    rate = AdaptiveRate(2.0, lambda: False)
    kept = [s for s in (0.0, 100.0, 100.1, 100.2, 100.6) if rate.wants(s)]
    assert kept == [0.0, 100.0, 100.6]


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_rates_that_make_no_sense_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=f"^fps={bad}"):
        AdaptiveRate(bad, lambda: False)
    with pytest.raises(ValueError, match=f"least_fps={bad}"):
        AdaptiveRate(1.0, lambda: False, bad)


# Stillness and scenes


def gray(value: int) -> NDArray[np.uint8]:
    return np.full((90, 160), value, np.uint8)


def unwanted() -> NDArray[np.uint8]:
    raise AssertionError("a gray picture was made for nothing")


def test_no_gray_picture_is_made_where_none_is_needed() -> None:
    plain = Sampling(FixedRate(1.0))
    assert [plain.reason_to_drop(s, unwanted) for s in (0.0, 0.5, 1.0)] == [
        None,
        "not sampled",
        None,
    ]
    still = Sampling(FixedRate(1.0), still=0.1)
    assert still.reason_to_drop(0.0, lambda: gray(0)) is None
    assert still.reason_to_drop(0.5, unwanted) == "not sampled"


def test_a_frame_like_the_last_one_kept_is_dropped_as_still() -> None:
    sampling = Sampling(FixedRate(1.0), still=0.1)
    values = [100, 100, 120, 124, 126, 100, 126]  # 0.1 is 25.5 of 255
    reasons = [sampling.reason_to_drop(float(s), lambda v=v: gray(v)) for s, v in enumerate(values)]
    assert reasons == [None, "still", "still", "still", None, None, None]


def test_slow_change_adds_up_until_it_is_seen() -> None:
    sampling = Sampling(FixedRate(1.0), still=0.1)
    kept = [s for s in range(40) if not sampling.reason_to_drop(float(s), lambda s=s: gray(5 * s))]
    assert kept == [0, 6, 12, 18, 24, 30, 36]


def test_of_a_still_picture_one_frame_a_minute_is_kept() -> None:
    sampling = Sampling(FixedRate(1.0), still=0.1)
    kept = [s for s in range(200) if sampling.reason_to_drop(float(s), lambda: gray(7)) is None]
    assert kept == [0, 60, 120, 180] and STILL_AT_MOST_S == 60


def test_another_scene_is_kept_between_two_ticks() -> None:
    sampling = Sampling(FixedRate(0.5), scene=0.3)
    values = {0.0: 0, 0.5: 10, 1.0: 200, 1.5: 200, 2.0: 200, 2.5: 100}
    reasons = [sampling.reason_to_drop(s, lambda v=v: gray(v)) for s, v in values.items()]
    assert reasons == [None, "not sampled", None, "not sampled", None, None]


@given(st.floats(0.2, 5), st.lists(st.tuples(st.floats(0.001, 0.5), st.integers(0, 255))))
def test_flicker_keeps_no_more_than_five_frames_a_tick(
    fps: float, frames: list[tuple[float, int]]
) -> None:
    sampling = Sampling(FixedRate(fps), scene=0.05)
    now_s, kept = 0.0, []
    for step_s, value in frames:
        now_s += step_s
        if sampling.reason_to_drop(now_s, lambda value=value: gray(value)) is None:
            kept.append(now_s)
    length_s = kept[-1] - kept[0] if kept else 0.0
    assert len(kept) <= 1 + length_s * (5 * fps + fps) + 1


@pytest.mark.parametrize("is_seen", [True, False])
def test_what_is_forgotten_is_compared_with_no_more(is_seen: bool) -> None:
    sampling = Sampling(FixedRate(1.0), still=0.1, scene=0.3)
    for s, value in ((0.0, 100), (0.5, 101)):
        sampling.reason_to_drop(s, lambda value=value: gray(value))
    pictures = [weakref.ref(each) for each in (sampling._kept, sampling._seen)]
    sampling.forget(0.1, 0.4)
    sampling.forget(0.6, 9.0)
    assert all(picture() is not None for picture in pictures)
    sampling.forget(*((0.5, 0.6) if is_seen else (-1.0, 0.0)))
    gc.collect()
    assert [picture() is None for picture in pictures] == [not is_seen, is_seen]
    scene = sampling.reason_to_drop(0.7, lambda: gray(220))
    assert scene == ("not sampled" if is_seen else None)
    fresh = Sampling(FixedRate(1.0), still=0.1)
    fresh.reason_to_drop(0.0, lambda: gray(100))
    fresh.forget(0.0, 0.0)
    assert fresh.reason_to_drop(1.0, lambda: gray(100)) is None


def test_differences_are_shares_of_the_whole_range() -> None:
    assert difference(gray(0), gray(255)) == difference(gray(255), gray(0)) == 1
    assert difference(gray(9), gray(9)) == 0
    half = gray(0)
    half[:45] = 255
    assert difference(half, gray(0)) == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_shares_outside_of_0_to_1_are_refused(bad: float) -> None:
    for name in ("still", "scene"):
        with pytest.raises(ValueError, match=f"{name}={bad}"):
            Sampling(FixedRate(1.0), **{name: bad})
