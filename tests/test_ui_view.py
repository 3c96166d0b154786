"""What a person reads: times, spans, timelines, sizes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.ui.view import EMPTY_CELL, MARKED_CELL, bytes_text, clock, span, timeline


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (12.99, "0:12"),
        (60, "1:00"),
        (3599.9, "59:59"),
        (3723, "1:02:03"),
        (360_000, "100:00:00"),
        (-5, "-0:05"),
        (-0.4, "0:00"),
    ],
)
def test_a_clock_shows_whole_seconds_that_have_passed(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
def test_a_clock_refuses_what_is_no_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        clock(seconds)


def test_a_span_within_one_second_is_one_time() -> None:
    assert span(68.2, 71) == "1:08-1:11"
    assert span(68.2, 68.9) == "1:08"
    with pytest.raises(ValueError, match="before start_s"):
        span(2, 1)


@pytest.mark.parametrize(
    ("spans", "marks"),
    [
        ([], "----------"),
        ([(0, 100)], "##########"),
        ([(0, 10)], "#---------"),
        ([(10, 30), (85, 86)], "-##-----#-"),
        ([(100, 100)], "---------#"),
        ([(5, 5)], "#---------"),
        ([(-20, 5), (95, 400)], "#--------#"),
        ([(-20, -1), (101, 400)], "----------"),
        ([(40, 60), (50, 70)], "----###---"),
    ],
)
def test_a_timeline_marks_the_cells_a_span_touches(
    spans: list[tuple[float, float]], marks: str
) -> None:
    expected = marks.replace("-", EMPTY_CELL).replace("#", MARKED_CELL)
    assert timeline(spans, total_s=100, width=10) == expected


@given(
    start=st.floats(0, 1e6),
    length=st.floats(0, 1e6),
    total=st.floats(1, 1e6),
    width=st.integers(1, 200),
)
def test_a_timeline_is_as_wide_as_asked_and_shows_every_span_inside(
    start: float, length: float, total: float, width: int
) -> None:
    line = timeline([(start, start + length)], total, width)
    assert len(line) == width
    assert (MARKED_CELL in line) == (start <= total)


@pytest.mark.parametrize(("total_s", "width"), [(0, 10), (math.nan, 10), (10, 0)])
def test_a_timeline_needs_room_and_time(total_s: float, width: int) -> None:
    with pytest.raises(ValueError, match="needs"):
        timeline([], total_s, width)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (4 << 30, "4.0 GiB"),
        (5000 << 40, "5000.0 TiB"),
    ],
)
def test_sizes_read_in_binary_units(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        bytes_text(-1)
