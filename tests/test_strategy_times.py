"""Times that a question names: what is read in its words, and which chunks are there."""

from __future__ import annotations

import math
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.memory.chunk import ChunkInfo
from longtake.strategies.phrases import DAY_S, Span, spans
from longtake.strategies.times import Times, extents
from tests.recallable import candidates, chunks

ROOT = Path(__file__).resolve().parents[1]
AS_OF_S = 600.0

# ---------------------------------------------------------------- times, as words

UNDERSTOOD: dict[str, list[tuple[float, float]]] = {
    "at 1:05": [(65, 66)],
    "at 00:01:05": [(65, 66)],
    "at 1:05:30": [(3930, 3931)],
    "at 90 seconds": [(90, 91)],
    "at 1 minute and 30 seconds": [(90, 91)],
    "at 1m30s": [(90, 91)],
    "at the two-minute mark": [(120, 121)],
    "at 1:05, 2:10 and 3:15": [(65, 66), (130, 131), (195, 196)],
    "around 1:05": [(60, 70)],
    "at about 90 s": [(85, 95)],
    "between 2:00 and 3:30": [(120, 210)],
    "between 3:30 and 2:00": [(120, 210)],
    "from 90 s to 2 min": [(90, 120)],
    "from 2:00-3:30": [(120, 210)],
    "in 2:00-3:30": [(120, 210)],
    "between 2 and 3 minutes": [(120, 180)],
    "between one minute and 2 minutes": [(60, 120)],
    "between 5 and 2 minutes ago": [(300, 480)],
    "from the beginning to 1:05": [(0, 65)],
    "from 4:00 to the end": [(240, 600)],
    "after 2:00 and before 3:00": [(120, 180)],
    "before 3:00 but after 2:00": [(120, 180)],
    "in the first 30 seconds": [(0, 30)],
    "in the first minute": [(0, 60)],
    "in the last 5 minutes": [(300, 600)],
    "in the past half hour": [(0, 600)],
    "the final ten seconds": [(590, 600)],
    "after 4:00": [(240, 600)],
    "after 10 seconds": [(10, 600)],
    "since two minutes ago": [(480, 600)],
    "from 4:00 on": [(240, 600)],
    "before 2:10": [(0, 130)],
    "until 2:10": [(0, 130)],
    "just after 2:10": [(130, 140)],
    "right before 2:10": [(120, 130)],
    "30 seconds before 2:10": [(100, 101)],
    "a minute after 2:10": [(190, 191)],
    "in the first 30 seconds after 2:10": [(130, 160)],
    "for a minute before 2:10": [(70, 130)],
    "past 5 minutes ago": [(270, 330)],
    "two minutes ago": [(468, 492)],
    "twenty-five seconds ago": [(572.5, 577.5)],
    "at the beginning": [(0, 30)],
    "at the start of the video": [(0, 30)],
    "at the end": [(570, 600)],
    "at the beginning and at the end": [(0, 30), (570, 600)],
}
NO_TIME = [
    "how many of the 15 red balls are there?",
    "after 15 red balls, what came?",
    "was the score 3:2 at half time?",
    "at 3:2",
    "at 1:65",
    "at 1:05:99",
    "does the clock show 14:05?",
    "what does John 3:16 say?",
    "at 5:00% off",
    "between 2 and 3 balls",
    "between 2 and 3:30",
    "what stood at the end of the street?",
    "what was at the start of the race?",
    "did she win in the end?",
    "after a second ball",
    "the last second ball",
    "every 5 minutes",
    "for 30 seconds",
    "a clip of 30 seconds",
    "in 2 minutes and 3 seconds",
    "20 minutes ago",  # nothing was seen then
    "what is happening now?",
    "what was seen on day two?",
    "at 1234567890123 s",
    "",
]
ON_THE_CLOCK: dict[str, list[tuple[float, float]]] = {
    "at 2 pm": [(14, 14 + 1 / 60)],
    "at 12 am": [(0, 1 / 60)],
    "at 12:30 p.m.": [(12.5, 12.5 + 1 / 60)],
    "at 14:05 o'clock": [(14 + 5 / 60, 14.1)],
    "at 14 o\u2019clock": [(14, 14 + 1 / 60)],
    "between 2 pm and 3:30 pm": [(14, 15.5)],
    "between 11 pm and 1 am": [(23, 25)],
    "after 2 pm": [(14, 24)],
    "before 2 pm": [(0, 14)],
    "around 2 pm": [(14 - 1 / 12, 14 + 1 / 12)],
    "yesterday at 2 pm": [],
    "at 13 pm": [],
    "at 25 o'clock": [],
    "between 2 pm and 3:30": [],  # a clock's time and a session's
}


def ends_of(found: list[Span]) -> list[float]:
    return flat([(span.start_s, span.end_s) for span in found])


def flat(pairs: list[tuple[float, float]]) -> list[float]:
    return [number for pair in pairs for number in pair]


@pytest.mark.parametrize("words", UNDERSTOOD)
@pytest.mark.parametrize(
    "question", ["{}", "What was seen {}?", "{}: what was there", "WAS IT {}."]
)
def test_times_are_read(words: str, question: str) -> None:
    found = spans(question.format(words), AS_OF_S)
    assert ends_of(found) == pytest.approx(flat(UNDERSTOOD[words]))
    assert not any(span.of_day for span in found)


@pytest.mark.parametrize("words", ON_THE_CLOCK)
def test_times_of_the_clock_are_read(words: str) -> None:
    found = spans(f"What was seen {words}?", AS_OF_S)
    hours = [seconds / 3600 for seconds in ends_of(found)]
    assert hours == pytest.approx(flat(ON_THE_CLOCK[words]))
    assert all(span.of_day for span in found)


@pytest.mark.parametrize("question", NO_TIME)
def test_what_is_no_time_is_none(question: str) -> None:
    assert spans(question, AS_OF_S) == []


def test_what_ends_now_holds_now() -> None:
    for words in ("in the last 5 minutes", "at the end", "after 1:00", "from 1:00 to the end"):
        (span,) = spans(words, AS_OF_S)
        assert AS_OF_S < span.end_s < AS_OF_S + 1e-9


def written(seconds: int, form: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, of_hour = divmod(minutes, 60)
    return (
        f"{minutes}:{rest:02}" if minutes < 1000 else f"{seconds} s",
        f"{hours}:{of_hour:02}:{rest:02}",
        f"{seconds} seconds",
        f"{minutes} minutes and {rest} seconds" if minutes else f"{rest} sec",
        f"{hours}h{of_hour}m{rest}s" if hours else f"{seconds}s",
    )[form]


@given(at=st.integers(0, 359_999), form=st.integers(0, 4))
def test_a_time_means_the_same_in_every_form(at: int, form: int) -> None:
    (span,) = spans(f"what was there at {written(at, form)}?", 0.0)
    assert (span.start_s, span.end_s) == (at, at + 1)


@given(a=st.integers(0, 7200), b=st.integers(0, 7200), forms=st.tuples(*[st.integers(0, 4)] * 2))
def test_a_range_lies_between_its_times(a: int, b: int, forms: tuple[int, int]) -> None:
    first, last = written(a, forms[0]), written(b, forms[1])
    for words in (f"between {first} and {last}", f"from {first} to {last}"):
        (span,) = spans(f"what was seen {words}?", 0.0)
        assert (span.start_s, span.end_s) == (min(a, b), max(a, b))


WORDS = st.sampled_from(
    "at between and from to after before first last the a in ago minutes second 1:05 3:2 2 pm now "
    "o'clock half end beginning of video , ? - 90 s 2m03s seconds 99:99".split()
)


@settings(max_examples=400)
@given(
    st.one_of(
        st.text(alphabet=string.printable, max_size=60),
        st.lists(WORDS, max_size=14).map(" ".join),
    ),
    st.floats(0, 1e7),
)
def test_any_text_gives_spans_that_make_sense(text: str, as_of_s: float) -> None:
    for span in spans(text, as_of_s):
        assert 0 <= span.start_s <= span.end_s < math.inf
        assert not span.of_day or span.end_s <= 2 * DAY_S


@given(st.lists(st.sampled_from("the red ball 15 3:2 1:05 was seen two second it".split())))
def test_no_time_is_found_without_a_word_that_says_what_it_is_for(words: list[str]) -> None:
    assert spans(" ".join(words), AS_OF_S) == []


def test_reading_a_long_question_takes_no_time() -> None:
    for piece in ("at 1:05, ", "between 2 minutes and ", "1 hour and ", "in the last ", "1:05:"):
        spans(piece * 400, AS_OF_S)  # would not end if a pattern looked back too far


def test_the_documentation_shows_what_is_understood() -> None:
    text = (ROOT / "docs" / "recall.md").read_text()
    known = {*UNDERSTOOD, *ON_THE_CLOCK}
    section = text.partition("## Times")[2].partition("\n## ")[0]
    table = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    examples = [word for cell in table for word in cell.split("`")[1::2]]
    assert len(examples) > 25
    assert [example for example in examples if example not in known] == []


# ---------------------------------------------------------------- times, as chunks


def test_a_named_time_gives_the_chunk_that_shows_it() -> None:
    infos = chunks(60)  # each 2 s, the second between its last frame and the next one too
    assert Times().rank(candidates(infos, "what was there at 0:31?")) == [15]
    assert Times().rank(candidates(infos, "what was there at 0:32?")) == [16]
    assert Times().rank(candidates(infos, "what was there at 9:00?")) == []
    assert Times().rank(candidates(infos, "what was there?")) == []


def test_of_a_span_the_nearest_to_its_middle_comes_first() -> None:
    infos = chunks(60)
    ranked = Times(20).rank(candidates(infos, "between 0:10 and 0:20"))
    assert ranked == [7, 6, 8, 5, 9]


def test_a_long_span_is_sampled_evenly() -> None:
    infos = chunks(60)
    ranked = Times(4).rank(candidates(infos, "between 0:10 and 1:50"))
    assert sorted(ranked) == [5, 21, 38, 54]
    assert ranked[:2] == [38, 21] or ranked[:2] == [21, 38]
    assert Times(1).rank(candidates(infos, "between 0:10 and 1:50")) == [29]


def test_several_times_take_turns() -> None:
    infos = chunks(60)
    assert Times(3).rank(candidates(infos, "at 0:50, 0:20 and 0:30")) == [25, 10, 15]
    assert Times(2).rank(candidates(infos, "at 0:50, 0:20 and 0:30")) == [25, 10]


def test_the_last_minutes_reach_to_the_newest_chunk_even_of_one_frame() -> None:
    infos = chunks(60, every_s=1.0, lasts_s=0.0)
    assert sorted(Times(9).rank(candidates(infos, "in the last 3 seconds"))) == [56, 57, 58, 59]


def test_a_chunk_is_not_shown_for_the_time_its_camera_was_off() -> None:
    early, late = (
        chunks(10),
        [ChunkInfo(10 + i, 500 + 2 * i, 501 + 2 * i, tokens=1) for i in range(10)],
    )
    infos = [*early, *late]
    assert extents(infos)[8:11] == [(16, 18), (18, 20), (500, 502)]
    assert Times().rank(candidates(infos, "at 4:00")) == []


def test_chunks_last_until_the_next_one_of_their_own_camera() -> None:
    infos = [
        ChunkInfo(2 * i + c, 5.0 * i, 5.0 * i, camera=name, tokens=1)
        for i in range(6)
        for c, name in enumerate(("door", "yard"))
    ]
    assert extents(infos)[:4] == [(0, 5), (0, 5), (5, 10), (5, 10)]
    assert sorted(Times().rank(candidates(infos, "at 0:08"))) == [2, 3]


@settings(max_examples=200)
@given(
    start=st.integers(0, 130),
    length=st.integers(1, 60),
    count=st.integers(1, 12),
    every=st.sampled_from([0.5, 1.0, 2.0, 7.0]),
)
def test_ranked_chunks_overlap_what_was_named(
    start: int, length: int, count: int, every: float
) -> None:
    infos = chunks(40, every, every / 2)
    words = f"from {start} s to {start + length} s"
    ranked = list(Times(count).rank(candidates(infos, words)))
    extent = dict(enumerate(extents(infos)))
    inside = {n for n, (a, b) in extent.items() if a < start + length and b > start}
    middle = start + length / 2
    assert len(ranked) == len(set(ranked)) == min(count, len(inside)) and set(ranked) <= inside
    away = [abs(sum(extent[n]) / 2 - middle) for n in ranked]
    assert away == sorted(away)
    if count == 1 and inside:
        assert away[0] == min(abs(sum(extent[n]) / 2 - middle) for n in inside)


ZONE = ZoneInfo("Europe/Berlin")


def day_long(days: int = 1) -> list[ChunkInfo]:
    """One every ten minutes from 10:00 on, the 25th of October 2025; clocks go back at night."""
    begin = datetime(2025, 10, 25, 8, tzinfo=UTC)
    return [
        ChunkInfo(
            i,
            600.0 * i,
            600.0 * i + 1,
            "",
            (begin + timedelta(minutes=10 * i)).timestamp(),
            tokens=1,
        )
        for i in range(days * 144)
    ]


def test_a_time_of_the_clock_is_that_of_the_newest_day_that_saw_it() -> None:
    infos = day_long(2)
    shown = {
        info.number: datetime.fromtimestamp(info.wall_s or 0, ZONE).strftime("%d %H:%M")
        for info in infos
    }
    for words, expected in {
        "at 2 pm": ["26 14:00"],
        "at 8 am": ["27 08:00"],
        "between 11:50 pm and 0:10 o'clock": ["26 23:50", "27 00:00"],
        "at 14:05 o'clock": ["26 14:00"],
    }.items():
        ranked = Times(zone=ZONE).rank(candidates(infos, f"What was seen {words}?"))
        assert sorted(shown[number] for number in ranked) == expected, words


def test_without_wall_times_the_clock_says_nothing() -> None:
    assert Times().rank(candidates(chunks(5000, 10.0), "at 2 pm and at 14:05 o'clock")) == []
    wild = [ChunkInfo(0, 0.0, 1.0, "", 1e300, tokens=1), ChunkInfo(1, 2.0, 3.0, "", -5.0, tokens=1)]
    assert Times().rank(candidates(wild, "at 2 pm")) == []


def test_without_a_word_of_the_clock_a_time_is_of_the_session() -> None:
    infos = day_long()
    assert Times(zone=ZONE).rank(candidates(infos, "at 14:05")) == [1]
