"""What a server tells as JSON, as the objects that a take on this machine gives.

Numbers that JSON cannot hold come as null and are NaN here.  Pictures are left where they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from longtake.alerts.event import AlertEvent
from longtake.answer import Answer, Choice, Moment, Timings
from longtake.memory.events import Event
from longtake.memory.marks import Gap
from longtake.moments import Found, Picture

Told = Mapping[str, Any]
_SPOKEN = ("max_tokens", "temperature", "top_p", "repetition_penalty", "seed")


def answer_of(told: Told) -> Answer:
    spent = told["timings"]
    return Answer(
        question=told["question"],
        text=told["text"],
        evidence=tuple(moment_of(each) for each in told["evidence"]),
        as_of_s=_number(told["as_of_s"]),
        staleness_s=_number(told["staleness_s"]),
        coverage=_number(told["coverage"]),
        partial=told["partial"],
        timings=Timings(
            _number(spent["recall_s"]),
            _number(spent["first_token_s"]),
            _number(spent["total_s"]),
            spent["tokens"],
        ),
        choices=tuple(Choice(each["text"], each["probability"]) for each in told["choices"]),
        mass=told["mass"],
        gaps=tuple(
            Gap(each["start_s"], each["end_s"], 0, each["reason"], each["camera"])
            for each in told["gaps"]
        ),
    )


def moment_of(told: Told) -> Moment:
    return Moment(
        start_s=told["start_s"],
        end_s=told["end_s"],
        score=_number(told["score"]),
        camera=told["camera"],
        wall_s=told["wall_s"],
        number=told["number"],
    )


def found_of(told: Told) -> Found:
    return Found(
        start_s=told["start_s"],
        end_s=told["end_s"],
        score=_number(told["score"]),
        camera=told["camera"],
        matched=tuple(told["matched"]),
        caption=told["caption"],
        number=told["number"],
    )


def picture_of(told: Told) -> Picture:
    return Picture(
        number=told["number"],
        start_s=told["start_s"],
        end_s=told["end_s"],
        camera=told["camera"],
        caption=told["caption"],
    )


def event_of(told: Told) -> Event:
    names = ("start_s", "end_s", "kind", "name", "text", "camera", "wall_s", "score", "number")
    return Event(**{name: told[name] for name in names})


def alert_event_of(told: Told) -> AlertEvent:
    """Of an event of kind ``alert``; the log holds no evidence of it."""
    return AlertEvent(
        number=told["number"],
        name=told["name"],
        condition=told["text"],
        at_s=told["start_s"],
        fired_s=told["end_s"],
        wall_s=told["wall_s"],
        probability=_number(told["score"]),
        camera=told["camera"],
    )


def speaking(decoding: object) -> dict[str, Any]:
    """A `Decoding`, or a dict with some of its fields, as a server wants it."""
    if isinstance(decoding, Mapping):
        return dict(decoding)
    return {name: getattr(decoding, name) for name in _SPOKEN}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
