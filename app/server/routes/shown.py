"""Things of a take as JSON: answers, moments, pictures, events.

Numbers that JSON cannot hold become null; pictures become addresses of this server.
"""

from __future__ import annotations

import math
from dataclasses import asdict, is_dataclass
from typing import Any

from longtake.answer import Answer, Moment
from longtake.memory.events import Event
from longtake.memory.marks import Gap
from longtake.moments import Found, Picture
from longtake.server.takes import timeline
from longtake.server.takes.hosted import Hosted


def picture_url(take: str, number: int | None) -> str | None:
    """Where a chunk's picture is."""
    return None if number is None else f"/v1/takes/{take}/frames/{number}.jpg"


def plain(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists, NaN and infinity as null: fit for JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def answer_json(take: str, answer: Answer) -> dict[str, Any]:
    """An answer to a question."""
    spent = answer.timings
    said: dict[str, Any] = plain(
        {
            "take": take,
            "question": answer.question,
            "text": answer.text,
            "evidence": [moment_json(take, moment) for moment in answer.evidence],
            "as_of_s": answer.as_of_s,
            "staleness_s": answer.staleness_s,
            "coverage": answer.coverage,
            "partial": answer.partial,
            "gaps": [gap_json(gap) for gap in answer.gaps],
            "choices": [{"text": c.text, "probability": c.probability} for c in answer.choices],
            "mass": answer.mass,
            "timings": {
                "recall_s": spent.recall_s,
                "first_token_s": spent.first_token_s,
                "total_s": spent.total_s,
                "tokens": spent.tokens,
            },
        }
    )
    return said


def moment_json(take: str, moment: Moment) -> dict[str, Any]:
    has_picture = moment.thumbnail is not None
    return {
        "start_s": moment.start_s,
        "end_s": moment.end_s,
        "score": moment.score,
        "camera": moment.camera,
        "wall_s": moment.wall_s,
        "number": moment.number,
        "picture": picture_url(take, moment.number) if has_picture else None,
    }


def gap_json(gap: Gap) -> dict[str, Any]:
    said = {"start_s": gap.start_s, "end_s": gap.end_s}
    return {**said, "camera": gap.camera, "reason": gap.reason}


def found_json(take: str, found: Found) -> dict[str, Any]:
    has_picture = found.thumbnail is not None
    said: dict[str, Any] = plain(
        {
            "start_s": found.start_s,
            "end_s": found.end_s,
            "score": found.score,
            "camera": found.camera,
            "matched": found.matched,
            "caption": found.caption,
            "number": found.number,
            "picture": picture_url(take, found.number) if has_picture else None,
        }
    )
    return said


def frame_json(take: str, picture: Picture) -> dict[str, Any]:
    return {
        "number": picture.number,
        "start_s": picture.start_s,
        "end_s": picture.end_s,
        "camera": picture.camera,
        "caption": picture.caption,
        "picture": picture_url(take, picture.number) if picture.jpeg is not None else None,
    }


def event_json(hosted: Hosted, event: Event) -> dict[str, Any]:
    """As a timeline has it."""
    said: dict[str, Any] = plain(timeline.event_json(hosted, event))
    return said


def info_json(hosted: Hosted) -> dict[str, Any]:
    """A take in a list of takes."""
    take, settings, pace = hosted.take, hosted.settings, hosted.take.pace
    memory = settings.memory
    said: dict[str, Any] = plain(
        {
            "id": hosted.id,
            "model": hosted.model,
            "opened_wall_s": hosted.opened_wall_s,
            "now_s": take.now_s,
            "frames": take.stats().frames,
            "settings": {
                "fps": pace.fps,
                "window_s": pace.window_s,
                "top_k": pace.top_k,
                "mode": settings.mode,
                "ram_bytes": memory.ram_bytes,
                "disk_bytes": memory.disk_bytes,
                "ladder": memory.ladder,
            },
        }
    )
    return said
