"""Session time of a camera: even as its stamps, bound to arrival, never back, never ahead."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.streaming.backoff import Backoff
from longtake.streaming.live_clock import LiveClock

DAY_S = 86_400.0
EXACT_S = 1e-6  # of float64 at a day's size

stamps = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, 0.0]))
steps = st.floats(0, 30)


@given(st.lists(st.tuples(stamps, steps, st.booleans())), st.booleans())
def test_time_never_goes_back_and_is_never_after_arrival(
    frames: list[tuple[float | None, float, bool]], has_stamps: bool
) -> None:
    clock, arrived_s, last_s = LiveClock(has_stamps), 0.0, -math.inf
    for stamp_s, step_s, is_new_connection in frames:
        arrived_s += step_s
        if is_new_connection:
            clock.restart(has_stamps)
        time_s = clock.session_s(stamp_s, arrived_s)
        assert last_s <= time_s <= arrived_s
        assert clock.late_s == pytest.approx(arrived_s - time_s)
        last_s = time_s


@given(
    start_s=st.floats(-10, DAY_S),
    late_s=st.lists(st.floats(0, 0.03), min_size=5, max_size=60),
)
def test_frames_lie_as_far_apart_as_their_stamps_say(start_s: float, late_s: list[float]) -> None:
    late_s = [0.0, *late_s]  # from the frame that is least late on
    clock = LiveClock()
    times = [
        clock.session_s(start_s + 0.04 * number, 100 + 0.04 * number + late)
        for number, late in enumerate(late_s)
    ]
    assert [b - a for a, b in pairwise(times)] == pytest.approx([0.04] * (len(times) - 1), abs=1e-4)
    assert clock.kind == "pts" and clock.jumps == clock.repaired == 0


def test_a_burst_of_what_was_waiting_is_not_dated_ahead() -> None:
    clock = LiveClock()
    burst = [clock.session_s(0.04 * number, 10.0) for number in range(25)]
    assert burst == [10.0] * 25
    after = [clock.session_s(1.0 + 0.04 * number, 10.04 + 0.04 * number) for number in range(5)]
    assert after == pytest.approx([10.04 + 0.04 * number for number in range(5)])
    assert clock.jumps == 0


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S, 94_448.0, -5.0, 3.0])
def test_a_jump_of_the_stamps_is_clamped_and_counted(jump_s: float) -> None:
    clock = LiveClock()
    times = [
        clock.session_s(1000 + 0.1 * number + (jump_s if number >= 10 else 0), 0.1 * number)
        for number in range(30)
    ]
    assert times == pytest.approx([0.1 * number for number in range(30)], abs=EXACT_S * 1e3)
    assert clock.jumps == 1


def test_one_wrong_stamp_costs_two_jumps_and_no_time() -> None:
    clock = LiveClock()
    stamps_s = [0.1 * number for number in range(20)]
    stamps_s[7] += DAY_S
    times = [clock.session_s(stamp, 5 + 0.1 * n) for n, stamp in enumerate(stamps_s)]
    assert times == pytest.approx([5 + 0.1 * number for number in range(20)])
    assert clock.jumps == 2


def test_a_new_connection_begins_at_its_arrival_whatever_its_stamps_say() -> None:
    clock = LiveClock()
    assert clock.session_s(700.0, 1.0) == 1.0
    clock.restart(True)
    assert clock.session_s(1.2, 8.0) == 8.0
    assert clock.session_s(1.3, 8.1) == pytest.approx(8.1)
    assert clock.jumps == 0


def test_stamps_that_are_made_up_or_missing_leave_arrival() -> None:
    made_up, missing = LiveClock(has_stamps=False), LiveClock()
    for number in range(10):
        assert made_up.session_s(0.04 * number, 0.2 * number) == 0.2 * number
        assert missing.session_s(None, 0.2 * number) == 0.2 * number
    assert made_up.kind == missing.kind == "arrival"


def test_the_first_stamp_of_rtsp_may_be_missing() -> None:
    clock = LiveClock()
    times = [clock.session_s(None if n == 0 else 0.1 * n, 0.1 * n) for n in range(5)]
    assert times == pytest.approx([0.1 * number for number in range(5)])
    assert clock.kind == "pts"


@pytest.mark.parametrize("share", [-2e-4, 2e-4])
def test_a_clock_that_is_a_little_wrong_does_not_drift_away(share: float) -> None:
    clock = LiveClock()
    for number in range(4 * 3600):
        clock.session_s(number * (1 + share), float(number))
        assert clock.late_s < 0.05
    assert clock.jumps == 0


def test_a_backlog_that_grows_is_told_as_lateness() -> None:
    clock = LiveClock()
    for number in range(100):
        clock.session_s(0.1 * number, 0.2 * number)
    assert clock.late_s == pytest.approx(9.9, abs=0.1)


@given(cap_s=st.floats(0, 60), seed=st.integers(0, 99))
def test_no_wait_is_above_the_cap_and_all_are_jittered_downwards(cap_s: float, seed: int) -> None:
    backoff = Backoff(0.25, cap_s, random.Random(seed))
    for attempt in range(12):
        longest_s = min(cap_s, 0.25 * 2**attempt)
        assert longest_s / 2 <= backoff.next_s() <= longest_s
    backoff.reset()
    assert backoff.next_s() <= min(cap_s, 0.25)
