"""Answers as subtitles: a cue for each moment of evidence.

Cues count from a time that the caller names, so that they fit over the video that it shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from longtake.answer import Answer


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
        f"{number}\n{_time(start_s)} --> {_time(end_s)}\n{_words(answer)}\n"
        for number, (start_s, end_s, answer) in enumerate(cues, 1)
    )


def _words(answer: Answer) -> str:
    return f"{_line(answer.question)}\n{_line(answer.text)}"


def _time(time_s: float) -> str:
    whole_ms = round(time_s * 1000)
    seconds, ms = divmod(whole_ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{ms:03d}"


def _line(text: str) -> str:
    """On one line: an empty one would end the cue."""
    return " ".join(text.split()) or "-"
