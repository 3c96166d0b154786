"""Session time and sampling: laws over any time stamps."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.streaming.clock import MAX_JUMP_S, MAX_REORDER_S, SessionClock
from longtake.streaming.report import SourceReport
from longtake.streaming.sampler import FixedRate

STEP_S = 0.1


def straighten(
    stamps: list[float | None], origin_s: float | None = None
) -> tuple[list[float], SourceReport]:
    report = SourceReport()
    clock = SessionClock(report, origin_s)
    return [clock.session_s(stamp, STEP_S) for stamp in stamps], report


@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1))
def test_session_time_starts_at_zero_and_never_decreases(stamps: list[float | None]) -> None:
    times, report = straighten(stamps)
    assert times[0] == 0
    assert times == sorted(times)
    assert report.times_made_up == stamps.count(None)


STAMPS = st.lists(
    st.none()
    | st.floats(-1e6, 1e6)
    | st.floats()  # also not finite, and larger than any clock
    | st.sampled_from([0.0, 0.1, 0.2, 95443.7, 86400.0, -5.72, 1000.0, float(1 << 62)]),
    min_size=1,
)


@given(STAMPS, st.floats())
def test_no_stamp_breaks_session_time(stamps: list[float | None], step_s: float) -> None:
    report = SourceReport()
    clock = SessionClock(report)
    step_s = 0.0 if math.isnan(step_s) else step_s
    times = [clock.session_s(stamp, step_s) for stamp in stamps]
    assert times[0] == 0
    for before, after in pairwise(times):
        assert 0 <= after - before <= MAX_JUMP_S * (1 + 1e-9)
    unusable = [s for s in stamps if s is None or not math.isfinite(s)]
    assert report.times_made_up == len(unusable)
    assert report.times_repaired <= len(stamps) - len(unusable)


@given(st.lists(st.sampled_from(["on", "gap", "none", "shuffled", "restart", "jump"])))
def test_each_kind_of_oddity_is_counted_once_and_gaps_are_kept(kinds: list[str]) -> None:
    """Stamps are built beside the time that is due, each oddity followed by an honest stamp."""
    stamp_s, due_s = 1000.0, 0.0
    stamps: list[float | None] = [stamp_s]
    due = [due_s]

    def add(shown_s: float | None, forward_s: float) -> None:
        nonlocal due_s
        due_s += forward_s
        stamps.append(shown_s)
        due.append(due_s)

    for kind in kinds:
        if kind == "none":
            add(None, STEP_S)
            stamp_s += STEP_S
        elif kind == "shuffled":
            add(stamp_s - MAX_REORDER_S / 2, 0.0)
        elif kind in ("restart", "jump"):
            stamp_s += MAX_JUMP_S * 2 if kind == "jump" else -MAX_REORDER_S * 2
            add(stamp_s, STEP_S)
        else:
            gap_s = MAX_JUMP_S / 2 if kind == "gap" else STEP_S
            stamp_s += gap_s
            add(stamp_s, gap_s)
    times, report = straighten(stamps)
    assert times == pytest.approx(due, abs=1e-6 * len(due))
    assert report.times_made_up == kinds.count("none")
    assert report.times_repaired == sum(k in ("shuffled", "restart", "jump") for k in kinds)


@given(st.floats(-1e4, 1e4), st.lists(st.floats(0, 3000), min_size=1))
def test_honest_stamps_keep_their_distances(first_s: float, gaps: list[float]) -> None:
    stamps = [first_s]
    for gap in gaps:
        stamps.append(stamps[-1] + gap)
    times, report = straighten([*stamps])
    assert times == pytest.approx([stamp - first_s for stamp in stamps])
    assert report == SourceReport()


@pytest.mark.parametrize(
    ("stamps", "times", "repaired"),
    [
        ([5.0, 5.1, 5.05, 5.2], [0, 0.1, 0.1, 0.2], 1),  # shuffled by a little
        ([5.0, 5.1, 1.0, 1.1], [0, 0.1, 0.2, 0.3], 1),  # spliced: time goes on
        ([0.0, 0.1, 94448.0, 94448.1], [0, 0.1, 0.2, 0.3], 1),  # a counter wrapped
        ([0.0, 0.1, 9.1], [0, 0.1, 9.1], 0),  # a gap stays a gap
        ([None, 3.0, 3.1], [0, 0.1, 0.2], 0),  # a late first stamp
        ([None, None], [0, 0.1], 0),
    ],
)
def test_odd_stamps_are_straightened_and_counted(
    stamps: list[float | None], times: list[float], repaired: int
) -> None:
    found, report = straighten(stamps)
    assert found == pytest.approx(times)
    assert report.times_repaired == repaired


def test_reading_from_the_middle_keeps_the_time_of_the_whole() -> None:
    times, report = straighten([7205.0, 7205.1], origin_s=5.0)
    assert times == pytest.approx([7200.0, 7200.1])
    assert report.times_repaired == 0


@pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf])
def test_a_rate_is_positive_and_finite(fps: float) -> None:
    with pytest.raises(ValueError, match="fps"):
        FixedRate(fps)


@pytest.mark.parametrize("source_fps", [10, 24, 25, 29.97, 30, 59.94])
@pytest.mark.parametrize("fps", [0.5, 1, 2, 10])
@pytest.mark.parametrize("decimals", [3, 9])
def test_every_tick_gets_one_frame_where_the_source_is_fast_enough(
    source_fps: float, fps: float, decimals: int
) -> None:
    times = [round(0.033 + n / source_fps, decimals) for n in range(int(20 * source_fps))]
    sampler = FixedRate(fps)
    kept = [time for time in times if sampler.wants(time)]
    assert len(kept) == 20 * fps
    for tick, time in enumerate(kept):
        assert -0.0021 <= time - times[0] - tick / fps < 1 / source_fps + 0.0021


@given(st.lists(st.floats(0.26, 50), max_size=50))
def test_a_source_slower_than_the_rate_keeps_every_frame(gaps: list[float]) -> None:
    sampler, time = FixedRate(4), 0.0
    assert sampler.wants(time)
    for gap in gaps:
        time += gap
        assert sampler.wants(time)


@given(st.lists(st.floats(0, 3), min_size=1), st.floats(0.2, 30))
def test_never_two_frames_for_one_tick_and_nothing_makes_up_for_a_gap(
    gaps: list[float], fps: float
) -> None:
    sampler, time, kept = FixedRate(fps), 0.0, []
    for gap in gaps:
        time += gap
        if sampler.wants(time):
            kept.append(time)
    tolerance = min(0.1, 0.002 * fps) + 1e-6
    ticks = [math.floor((t - kept[0]) * fps + tolerance) for t in kept]
    assert ticks == sorted(set(ticks))
