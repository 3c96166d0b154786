"""Subtitles, as SubRip and WebVTT: answers at the times of their evidence, or lines as they held.

Cues count from a time that the caller names, so that they fit over the video that it shows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from longtake.answer import Answer

VTT_HEAD = "WEBVTT\n\n"


def srt(answers: Sequence[Answer], frame_s: float, begin_s: float = 0.0) -> str:
    """SubRip text; cues are in time order.

    Args:
        frame_s: how long a frame is shown: a moment ends when its last frame does.
        begin_s: session time of the subtitles' own 0; what was before it is left out.
    """
    cues = [
        (max(0.0, moment.start_s - begin_s), moment.end_s + frame_s - begin_s, answer)
        for answer in answers
        for moment in answer.evidence
        if moment.end_s >= begin_s
    ]
    cues.sort(key=lambda cue: cue[:2])
    return "\n".join(
        f"{number}\n{_span(start_s, end_s)}\n{_words(answer)}\n"
        for number, (start_s, end_s, answer) in enumerate(cues, 1)
    )


def srt_cue(number: int, start_s: float, end_s: float, text: str) -> str:
    """One cue of SubRip, with the empty line behind it.  Numbers count from 1."""
    return f"{number}\n{_span(start_s, end_s)}\n{_line(text)}\n\n"


def vtt_cue(start_s: float, end_s: float, text: str) -> str:
    """One cue of WebVTT, with the empty line behind it; `VTT_HEAD` comes before the first."""
    words = _plain(text)
    for letter, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        words = words.replace(letter, name)
    return f"{_span(start_s, end_s).replace(',', '.')}\n{words}\n\n"


def _words(answer: Answer) -> str:
    return f"{_line(answer.question)}\n{_line(answer.text)}"


def _span(start_s: float, end_s: float) -> str:
    """In milliseconds; a cue lasts one at least."""
    start_ms = round(start_s * 1000)
    return f"{_time(start_ms)} --> {_time(max(start_ms + 1, round(end_s * 1000)))}"


def _time(whole_ms: int) -> str:
    seconds, ms = divmod(whole_ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{ms:03d}"


def _line(text: str) -> str:
    """On one line: an empty one would end the cue, and an arrow would begin another."""
    return _plain(text).replace("-->", "->")


def _plain(text: str) -> str:
    """On one line, without control characters: players and terminals would act on them."""
    kept = "".join(c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(kept.split()) or "-"
