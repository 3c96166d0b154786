"""Times become chunk numbers, also where numbers have gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.memory.chunk import ChunkInfo
from longtake.memory.window import WindowShape
from longtake.scope import When, find, place_of, settle, touching

SHAPE = WindowShape(
    layers=1, kv_heads=1, head_dim=2, window_s=4.0, window_tokens=30, step_tokens=10
)


def chunk(number: int) -> ChunkInfo:
    """One every two seconds, of one second."""
    return ChunkInfo(number, 2.0 * number, 2.0 * number + 1, tokens=5)


GAPPED = [chunk(number) for number in (3, 4, 9, 10, 11, 20)]
TIMES = st.integers(0, 45).map(float)
PASTS = st.sets(st.integers(0, 20), max_size=12).map(
    lambda found: [chunk(n) for n in sorted(found)]
)


def test_a_number_is_no_place() -> None:
    assert [place_of(GAPPED, n) for n in (2, 3, 5, 9, 20, 21)] == [None, 0, None, 2, 5, None]
    assert find(GAPPED, 10) == chunk(10)
    with pytest.raises(LookupError, match="no chunk 5 among 6"):
        find(GAPPED, 5)
    known = settle(When(), GAPPED, live=2, shape=SHAPE)
    assert known.info(20) == chunk(20)
    with pytest.raises(LookupError):
        known.info(12)


def test_bounds_are_numbers() -> None:
    known = settle(When(), GAPPED, live=2, shape=SHAPE)
    assert (known.first, known.last) == (3, 11)
    assert [info.number for info in known.window] == [11, 20]
    nothing_live = settle(When(), GAPPED, live=0, shape=SHAPE)
    assert (nothing_live.first, nothing_live.last) == (3, 21)
    before = settle(When(at_s=19.5), GAPPED, live=2, shape=SHAPE)
    assert [info.number for info in before.window] == [9]  # what came 10 s before is out of it
    assert (before.first, before.last, before.as_of_s) == (3, 9, 19.0)
    of_a_hole = settle(When(between_s=(10.0, 17.0)), GAPPED, live=2, shape=SHAPE)
    assert of_a_hole.first == of_a_hole.last and of_a_hole.window == ()


@given(PASTS, TIMES, TIMES)
def test_touching_is_what_a_look_at_each_chunk_says(
    past: list[ChunkInfo], one_s: float, other_s: float
) -> None:
    start_s, end_s = sorted((one_s, other_s))
    expected = [info for info in past if info.end_s >= start_s and info.start_s <= end_s]
    assert past[touching(past, start_s, end_s)] == expected


@given(PASTS, st.integers(0, 3), st.none() | TIMES, st.none() | st.tuples(TIMES, TIMES))
def test_a_question_knows_what_a_look_at_each_chunk_says(
    past: list[ChunkInfo], live: int, at_s: float | None, between: tuple[float, float] | None
) -> None:
    live = min(live, len(past))
    span = None if between is None else (min(between), max(between))
    known = settle(When(at_s=at_s, between_s=span), past, live, SHAPE)

    def is_between(info: ChunkInfo) -> bool:
        return span is None or (info.end_s >= span[0] and info.start_s <= span[1])

    seen = [info for info in past if at_s is None or info.end_s <= at_s]
    if len(seen) == len(past):
        window = past[len(past) - live :]
    else:  # window_s and window_tokens hold two of these
        window = [info for info in seen if info.start_s > seen[-1].start_s - 4.0]
    beyond = seen[: len(seen) - len(window)]
    recalled = [info for info in past if known.first <= info.number < known.last]
    assert recalled == [info for info in beyond if is_between(info)]
    assert list(known.window) == [info for info in window if is_between(info)]
    assert known.as_of_s == (seen[-1].end_s if seen else 0.0)
    assert list(known.past) == seen
