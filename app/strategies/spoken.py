"""A single time or length as it is written in a question: patterns, and what they mean in seconds.

``1:05``, ``1:05:30``, ``90 s``, ``two minutes``, ``1h30m``, ``2 pm``, ``14 o'clock``, ``now``.
English only.  What such a time is said for (at it, before it ...) is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen".split()
_ONES += "fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORDS: dict[str, float] = {"half a": 0.5, "half an": 0.5, "a": 1.0, "an": 1.0}
_WORDS |= {word: float(i) for i, word in enumerate(_ONES, 1)}
_WORDS |= {
    tens + (f"-{_ONES[i - 1]}" if i else ""): 20.0 + 10 * t + i
    for t, tens in enumerate(_TENS)
    for i in range(10)
}
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _one_of(words: list[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True)).replace(" ", r"\s+")


_ALONE = r"(?<![\w.:,-])"  # a number that is no part of a longer one
_DIGITS = rf"{_ALONE}\d{{1,6}}(?:\.\d{{1,3}})?"
_WORD = rf"{_ALONE}(?:{_one_of([word for word in _WORDS if word not in ('a', 'an')])})"
_END = r"(?![\w'-])"
AMOUNT = rf"(?:{_DIGITS}|{_WORD})"


def _amount_of(words: str, short: str, single: str = "") -> str:
    """``30 seconds``, ``two minutes``, ``5min``; where it is given, ``an hour``."""
    one = rf"|{_ALONE}{single}" if single else ""
    return rf"(?:{_DIGITS}\s?(?:{words}|{short})|{_WORD}\s+(?:{words}){one}){_END}"


_SECONDS = _amount_of("seconds?", "secs?|s")  # "after a second ball" is no time
_MINUTES = _amount_of("minutes?", "mins?", r"a\s+minute")
_HOURS = _amount_of("hours?", "hrs?|h", r"an\s+hour")
_AND = r"(?:\s*,)?\s+(?:and\s+)?"
LENGTH = (
    rf"(?:{_DIGITS}h\s?\d+m(?:\s?\d+s)?{_END}|{_DIGITS}m\s?\d+s{_END}"
    rf"|{_HOURS}(?:{_AND}{_MINUTES})?(?:{_AND}{_SECONDS})?"
    rf"|{_MINUTES}(?:{_AND}{_SECONDS})?|{_SECONDS})"
)
SPELL = rf"(?:{LENGTH}|(?:half\s+)?(?:minute|hour){_END})"  # behind "the last": one may be left out
AGO = rf"(?:{LENGTH}\s+ago\b)"
_OF_DAY = r"\s*(?:[ap]\.?m\b\.?|o'?clock\b)"
CLOCK = rf"(?:{_ALONE}\d{{1,2}}(?::[0-5]\d){{0,2}}{_OF_DAY})"
SESSION = (
    rf"(?:(?<![\w.:,])\d{{1,3}}:[0-5]\d(?::[0-5]\d)?(?:\.\d+)?(?!:?\d|\.\d)(?!{_OF_DAY})(?![\w%]))"
)
NOW = r"(?:\bnow\b)"
_OF_IT = r"(?:\s+of\s+(?:the|this)\s+(?:video|stream|clip|recording|take|film|movie|footage))?"
_AND_OVER = r"(?=\s*(?:$|[?!.,;:)]|\b(?:and|or|to|until|till|through)\b))"
BEGINNING = rf"(?:\bthe\s+(?:very\s+)?(?:beginning|start){_OF_IT}{_AND_OVER})"
END = rf"(?:\bthe\s+(?:very\s+)?end{_OF_IT}{_AND_OVER})"


@dataclass(frozen=True, slots=True)
class Time:
    """Session seconds, or seconds of a day on the wall's clock."""

    at_s: float
    of_day: bool = False
    is_now: bool = False


def read_time(text: str, as_of_s: float) -> Time | None:
    """What `SESSION`, `CLOCK`, `LENGTH`, `AGO`, `NOW`, `BEGINNING` or `END` matched.

    Returns:
        None where no clock shows such a time (``25 o'clock``), or nothing had begun yet.
    """
    low = text.lower()
    if re.search(_OF_DAY, low):
        return _clock_time(low)
    if ":" in low:
        total = 0.0
        for part in low.split(":"):
            total = total * 60 + float(part)
        return Time(total)
    if re.match(rf"{NOW}|{END}", low):
        return Time(as_of_s, is_now=True)
    if re.match(BEGINNING, low):
        return Time(0.0)
    if re.fullmatch(AGO, low):
        at_s = as_of_s - read_length(low)
        return Time(at_s) if at_s >= 0 else None
    return Time(read_length(low))


def read_length(text: str) -> float:
    """Seconds of what `SPELL` matched: ``1 minute and 30 seconds``, ``2m05s``, ``half hour``."""
    low = text.lower()
    if re.match(r"(?:half\s+)?(?:minute|hour)", low):
        unit = _UNIT_S["h" if "hour" in low else "m"]
        return unit / 2 if low.startswith("half") else unit
    parts = re.findall(rf"(\d+(?:\.\d+)?|{_WORD}|\ban?)[\s-]*([smh])", low)
    return sum(_number(amount) * _UNIT_S[unit] for amount, unit in parts)


def _number(text: str) -> float:
    words = " ".join(text.split())
    return _WORDS[words] if words in _WORDS else float(words)


def _clock_time(text: str) -> Time | None:
    hour, minute, second = ([int(part) for part in re.findall(r"\d+", text)] + [0, 0])[:3]
    if half := re.search(r"([ap])\.?m", text):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[1] == "p" else 0)
    if hour > 23:
        return None
    return Time(hour * 3600.0 + minute * 60 + second, of_day=True)
