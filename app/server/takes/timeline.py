"""The whole past of a hosted take: what is held where, gaps, captions, scenes, events."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from longtake.memory.events import Event
    from longtake.server.takes.hosted import Hosted

MOST_SCENES = 200
MOST_CAPTIONS = 500
MOST_EVENTS = 1000  # the newest
MOST_WIDTH = 4000


def timeline_of(
    hosted: Hosted, start_s: float | None, end_s: float | None, width: int
) -> dict[str, Any]:
    """What there is between two times, in at most ``width`` runs.

    Args:
        start_s, end_s: session times; None: the beginning, and now.

    Raises:
        ValueError: if these are not two times in order, or the width makes no sense.
    """
    if not 1 <= width <= MOST_WIDTH:
        raise ValueError(f"width={width}: needs 1 to {MOST_WIDTH}")
    take = hosted.take
    now_s = take.now_s
    begin_s = 0.0 if start_s is None else start_s
    until_s = max(now_s, begin_s) if end_s is None else end_s
    if not (math.isfinite(begin_s) and math.isfinite(until_s) and 0 <= begin_s <= until_s):
        raise ValueError(
            f"from {begin_s:g} to {until_s:g} s: must be two times in order, 0 s or more"
        )
    stats = take.stats()
    captions = take.captions(begin_s, until_s, min(MOST_CAPTIONS, width))
    events = [e for e in take.events(begin_s, until_s) if e.kind in ("alert", "question")]
    return {
        "take": hosted.id,
        "start_s": begin_s,
        "end_s": until_s,
        "now_s": round(now_s, 3),
        "wall_s": hosted.wall_s(begin_s),
        "held": [
            {
                "start_s": run.start_s,
                "end_s": run.end_s,
                "place": run.place,
                "codec": run.codec,
                "chunks": run.chunks,
            }
            for run in take.held(begin_s, until_s, width)
        ],
        "gaps": [
            {
                "start_s": gap.start_s,
                "end_s": gap.end_s,
                "reason": gap.reason,
                "camera": gap.camera,
                "chunks": gap.chunks,
            }
            for gap in stats.gaps
            if gap.start_s <= until_s and gap.end_s >= begin_s
        ],
        "kept": [
            {"start_s": span.start_s, "end_s": span.end_s}
            for span in stats.kept
            if span.start_s <= until_s and span.end_s >= begin_s
        ],
        "captions": [
            {"start_s": c.start_s, "end_s": c.end_s, "text": c.text, "camera": c.camera}
            for c in captions
        ],
        "scenes": take.scenes(begin_s, until_s, min(MOST_SCENES, width)),
        "events": [event_json(hosted, event) for event in events[-MOST_EVENTS:]],
    }


def event_json(hosted: Hosted, event: Event) -> dict[str, Any]:
    """One event of the take's log, with where its picture is: that of its beginning, which is the
    earliest moment that shows it.  By its time: which picture is nearest to that is looked up when
    somebody wants to see it, and not for a thousand events at once."""
    at = {"at_s": f"{max(0.0, event.start_s):.3f}"} | (
        {"camera": event.camera} if event.camera else {}
    )
    picture = f"/v1/takes/{hosted.id}/frames/at.jpg?{urlencode(at)}"
    return {**asdict(event), "picture": picture}
