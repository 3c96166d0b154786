"""Times that a question names in its own words, as spans.

Strict rather than clever: a time counts only behind a word that says what it is for (at, between,
after ...) and in a form that is one (``1:05``, ``90 s``, ``2 pm``).  ``a score of 3:2`` and
``15 red balls`` are none.  The table in docs/recall.md says what is understood.  What was seen at
a time is not known here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from longtake.strategies.spoken import (
    AGO,
    AMOUNT,
    BEGINNING,
    CLOCK,
    END,
    LENGTH,
    NOW,
    SESSION,
    SPELL,
    Time,
    read_length,
    read_time,
)

DAY_S = 86400.0
INSTANT_S = 1.0  # a time that is named to the second
AROUND_S = 5.0  # "around 1:05": so much before and behind it
NEAR_S = 10.0  # "just after 1:05": so much behind it
CLOCK_INSTANT_S, CLOCK_AROUND_S, CLOCK_NEAR_S = 60.0, 300.0, 600.0  # a clock tells minutes
AGO_SHARE = 0.1  # "ten minutes ago": so much of it before and behind; at least an instant
EDGE_SHARE, EDGE_S = 0.1, 30.0  # "at the beginning": so much of what was seen; at most this


@dataclass(frozen=True, slots=True)
class Span:
    """``[start_s, end_s)``: session seconds, or seconds of a day on the wall's clock."""

    start_s: float
    end_s: float
    of_day: bool = False  # an end beyond DAY_S is on the next day

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2


def spans(question: str, as_of_s: float) -> list[Span]:
    """The times that a question names, in the order of its words; [] where it names none.

    Args:
        as_of_s: session time of "now"; what ends now holds it.
    """
    found: list[tuple[int, Span]] = []
    rest = question.replace("\u2019", "'")
    may_be_of_day = _OTHER_DAY.search(rest) is None
    for form, read in _PHRASES:
        for match in list(_pattern(form).finditer(rest)):
            begin, end = match.span()
            found += [(begin, span) for span in read(match, as_of_s)]
            rest = rest[:begin] + _READ * (end - begin) + rest[end:]
    found.sort(key=lambda placed: placed[0])
    return [span for _, span in found if may_be_of_day or not span.of_day]


_READ = "\0"  # stands where something was understood: it is not understood twice
_OTHER_DAY = re.compile(
    r"\b(?:yesterday|tomorrow|last\s+night|days?\s+ago"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)
_TIME = rf"(?:{CLOCK}|{SESSION})"
_POINT = rf"(?:{_TIME}|{LENGTH})"
_BOUND = rf"(?:{_TIME}|{AGO}|{LENGTH})"
_LIMIT = rf"(?:{_BOUND}|{NOW}|{BEGINNING}|{END})"
_TO = r"\s*(?:\b(?:to|until|till|through)\b|-|\u2013|\u2014)\s*"
_ABOUT = r"(?:about|around|approximately|roughly)"

_Read = Callable[[re.Match[str], float], list[Span]]
_PHRASES: list[tuple[str, _Read]] = []  # those that hold others come first


@cache
def _pattern(form: str) -> re.Pattern[str]:
    """Made when times are first looked for: all of them take most of a second."""
    return re.compile(form, re.IGNORECASE)


def _phrase(*forms: str) -> Callable[[_Read], _Read]:
    def register(read: _Read) -> _Read:
        _PHRASES.extend((form, read) for form in forms)
        return read

    return register


@_phrase(
    rf"\bbetween\s+(?P<a>{_LIMIT}|{AMOUNT})(?:\s+and\s+|{_TO})(?P<b>{_LIMIT})",
    rf"\bfrom\s+(?P<a>{_LIMIT}|{AMOUNT}){_TO}(?P<b>{_LIMIT})",
    rf"\b(?:in|during|within)\s+(?P<a>{_TIME}){_TO}(?P<b>{_TIME})",
    rf"\b(?:after|since)\s+(?P<a>{_BOUND}),?\s+(?:(?:and|but)\s+)?(?:before|until|till)\s+(?P<b>{_BOUND})",
    rf"\b(?:before|until|till)\s+(?P<b>{_BOUND}),?\s+(?:and|but)\s+(?:after|since)\s+(?P<a>{_BOUND})",
)
def _range(match: re.Match[str], as_of_s: float) -> list[Span]:
    first, last = match["a"], match["b"]
    if re.fullmatch(AMOUNT, first, re.IGNORECASE):  # "between 2 and 3 minutes"
        unit = re.fullmatch(rf"{AMOUNT}(\s?[a-z]+(?:\s+ago)?)", last, re.IGNORECASE)
        if unit is None:  # "between 2 and 3:30"
            return []
        first += unit[1]
    return _from_to(read_time(first, as_of_s), read_time(last, as_of_s))


@_phrase(
    rf"\b(?:first|last|next|for|within(?:\s+the)?|(?:in|during)\s+the)\s+"
    rf"(?P<length>{LENGTH})\s+(?P<side>before|after)\s+(?P<time>{_TIME})"
)
def _stretch(match: re.Match[str], as_of_s: float) -> list[Span]:
    length_s = read_length(match["length"])
    return _beside(read_time(match["time"], as_of_s), match["side"], length_s)


@_phrase(rf"(?P<length>{LENGTH})\s+(?P<side>before|after)\s+(?P<time>{_TIME})")
def _offset(match: re.Match[str], as_of_s: float) -> list[Span]:
    time = read_time(match["time"], as_of_s)
    shift_s = read_length(match["length"]) * (1 if match["side"].lower() == "after" else -1)
    if time is None or time.at_s + shift_s < 0:
        return []
    return _instant(Time(time.at_s + shift_s, time.of_day))


@_phrase(rf"\b(?:just|right|shortly|immediately|soon)\s+(?P<side>before|after)\s+(?P<time>{_TIME})")
def _near(match: re.Match[str], as_of_s: float) -> list[Span]:
    time = read_time(match["time"], as_of_s)
    near_s = CLOCK_NEAR_S if time is not None and time.of_day else NEAR_S
    return _beside(time, match["side"], near_s)


@_phrase(
    rf"\bafter\s+(?P<time>{_BOUND})",
    rf"\bsince\s+(?P<time>{_TIME}|{AGO})",
    rf"\b(?:from|starting\s+(?:at|from))\s+(?P<time>{_TIME})\s+on(?:wards?)?\b",
)
def _after(match: re.Match[str], as_of_s: float) -> list[Span]:
    time = read_time(match["time"], as_of_s)
    if time is None or (not time.of_day and time.at_s > as_of_s):
        return []
    return _from_to(time, Time(DAY_S, True) if time.of_day else Time(as_of_s, is_now=True))


@_phrase(
    rf"\b(?:before|until|till|up\s+to|prior\s+to)\s+(?P<time>{_BOUND})",
    rf"\bby\s+(?P<time>{_TIME})",
)
def _before(match: re.Match[str], as_of_s: float) -> list[Span]:
    time = read_time(match["time"], as_of_s)
    return [] if time is None else _from_to(Time(0.0, time.of_day), time)


@_phrase(rf"(?P<ago>{AGO})")
def _ago(match: re.Match[str], as_of_s: float) -> list[Span]:
    time = read_time(match["ago"], as_of_s)
    if time is None:
        return []
    slack_s = max(INSTANT_S, AGO_SHARE * (as_of_s - time.at_s))
    end_s = min(time.at_s + slack_s, _just_behind(as_of_s))
    return [Span(max(0.0, time.at_s - slack_s), end_s)]


@_phrase(rf"\b(?:first|opening|initial)\s+(?P<length>{SPELL})")
def _first(match: re.Match[str], as_of_s: float) -> list[Span]:
    return [Span(0.0, read_length(match["length"]))]


@_phrase(rf"\b(?:last|past|previous|final|closing)\s+(?P<length>{SPELL})")
def _last(match: re.Match[str], as_of_s: float) -> list[Span]:
    return [Span(max(0.0, as_of_s - read_length(match["length"])), _just_behind(as_of_s))]


@_phrase(rf"\b(?:at|in|near|towards?)\s+{BEGINNING}")
def _beginning(match: re.Match[str], as_of_s: float) -> list[Span]:
    return [Span(0.0, _edge_s(as_of_s))]


@_phrase(rf"\b(?:at|near|towards?)\s+{END}")  # not in: "did she win in the end?"
def _end(match: re.Match[str], as_of_s: float) -> list[Span]:
    return [Span(max(0.0, as_of_s - _edge_s(as_of_s)), _just_behind(as_of_s))]


@_phrase(rf"\bat\s+{_ABOUT}\s+(?P<time>{_POINT})", rf"\b(?:{_ABOUT}|near)\s+(?P<time>{_TIME})")
def _around(match: re.Match[str], as_of_s: float) -> list[Span]:
    time = read_time(match["time"], as_of_s)
    slack_s = CLOCK_AROUND_S if time is not None and time.of_day else AROUND_S
    return _widened(time, slack_s, slack_s)


@_phrase(
    rf"\bat\s+the\s+(?P<times>{AMOUNT}-(?:second|minute|hour)(?=\s+mark\b))",
    rf"(?:\bat\b|@)\s*(?:exactly\s+)?(?:the\s+)?(?:(?:time|timestamp)\s+)?"
    rf"(?P<times>{_POINT}(?:(?:\s*,\s*|,?\s+(?:and|or)\s+)(?:at\s+)?{_POINT})*)",
)
def _at(match: re.Match[str], as_of_s: float) -> list[Span]:
    times = re.findall(_POINT, match["times"], re.IGNORECASE) or [match["times"]]
    return [span for text in times for span in _instant(read_time(text, as_of_s))]


def _from_to(start: Time | None, end: Time | None) -> list[Span]:
    """From one to the other, in whatever order they are; none from a clock to a session time."""
    if start is None or end is None or start.of_day != end.of_day:
        return []
    if start.of_day:
        over_midnight_s = DAY_S if end.at_s < start.at_s else 0.0
        return [Span(start.at_s, end.at_s + over_midnight_s, True)]
    first, last = sorted((start, end), key=lambda time: time.at_s)
    return [Span(first.at_s, _just_behind(last.at_s) if last.is_now else last.at_s)]


def _instant(time: Time | None) -> list[Span]:
    return _widened(time, 0.0, CLOCK_INSTANT_S if time is not None and time.of_day else INSTANT_S)


def _widened(time: Time | None, before_s: float, behind_s: float) -> list[Span]:
    if time is None:
        return []
    return [Span(max(0.0, time.at_s - before_s), time.at_s + behind_s, time.of_day)]


def _beside(time: Time | None, side: str, length_s: float) -> list[Span]:
    is_after = side.lower() == "after"
    return _widened(time, 0.0 if is_after else length_s, length_s if is_after else 0.0)


def _edge_s(as_of_s: float) -> float:
    return max(INSTANT_S, min(EDGE_S, EDGE_SHARE * as_of_s))


def _just_behind(as_of_s: float) -> float:
    """Spans are open at their end; one that ends now holds what is seen now."""
    return math.nextafter(as_of_s, math.inf)
