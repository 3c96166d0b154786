"""What a look at a source found, in a few lines for a person: what it is, its rate, what is odd.

From the JSON of `look`, so that the page and programs are told the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def told_look(found: dict[str, Any]) -> str:
    """Lines, the first with the address."""
    return "\n".join(_lines(found))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    measured = found["measured"]
    yield str(found["address"])
    codec = next((s["codec"] for s in found["streams"] if s["index"] == found["chosen"]), "")
    width, height = measured["size"]
    over = f" over {found['transport']}" if found["transport"] else ""
    yield f"{'live' if found['is_live'] else 'recorded'}, {codec}, {width}x{height}{over}"
    fps = measured["fps_by_arrival"] or measured["fps_by_stamps"]
    rate = "too few frames to tell a rate" if fps is None else f"{fps:.1f} frames a second"
    yield f"{rate}; first picture after {found['first_frame_s']:.1f} s"
    if measured["corrupt"]:
        yield f"{measured['corrupt']} of {measured['frames']} frames are damaged"
    if found["ended"]:
        yield f"it ended: {found['ended']}"
    for warning in found.get("warnings", ()):
        yield str(warning)
