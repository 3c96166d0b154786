"""Flags of commands that follow live sources: names of cameras, how long, and until when."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

from longtake.cli.flags import seconds

_DURATION = re.compile(
    r"(?:(?P<d>{0})d)?(?:(?P<h>{0})h)?(?:(?P<m>{0})m)?(?:(?P<s>{0})s)?|(?P<bare>{0})".format(
        r"(?:\d+(?:\.\d*)?|\.\d+)"
    ),
    re.IGNORECASE | re.ASCII,
)
_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "bare": 1.0}
LONGEST_FOR_S = 86400.0

CameraOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="name of a source, in their order; repeatable [default: camera1, camera2 ... where "
        "several are live]",
    ),
]
ForOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="S",
        help="see a live source for so long (10 or 10s, 1:30, 2m) after its first frame, then ask; "
        "a day at most [default: the window's length, at least 3 s]",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN", help="end after so long (10 or 10s, 5m, 1h30m), or at a time (18:30)"
    ),
]


@dataclass(frozen=True, slots=True)
class Until:
    """When a command ends by itself."""

    text: str  # as it was typed
    duration_s: float | None = None  # from when watching begins
    at_wall_s: float | None = None  # or at this time, in Unix seconds

    def left_s(self, running_s: float, wall_s: float) -> float:
        """What is left of it; 0 or less when it is over."""
        if self.duration_s is not None:
            return self.duration_s - running_s
        assert self.at_wall_s is not None
        return self.at_wall_s - wall_s


def until(text: str | None, now: datetime) -> Until | None:
    """``10s``, ``5m``, ``1h30m`` or ``90``: a duration; ``18:30``: the next time a clock shows
    that; ``24:00``: the next midnight.

    Raises:
        ValueError: names the forms that are understood.
    """
    if text is None:
        return None
    if clock := re.fullmatch(r"(\d{1,2}):(\d\d)", text.strip(), re.ASCII):
        hour, minute = int(clock[1]), int(clock[2])
        if minute <= 59 and (hour <= 23 or (hour, minute) == (24, 0)):
            return Until(text, at_wall_s=_next(now, hour % 24, minute).timestamp())
    length_s = _duration_s(text)
    if length_s is None or not length_s > 0:
        raise ValueError(
            f"--until {text}: must be a duration (10 or 10s, 5m, 1h30m) or a time of day (18:30)"
        )
    return Until(text, duration_s=length_s)


def for_s(text: str | None) -> float | None:
    """``10``, ``10s``, ``2m``, ``1h30m`` or ``1:30`` -> seconds.

    Raises:
        ValueError: names the forms and the limits.
    """
    if text is None:
        return None
    length_s = _duration_s(text)
    try:
        length_s = seconds("--for", text.strip()) if length_s is None else length_s
    except ValueError:
        length_s = None
    if length_s is None or not 0 < length_s <= LONGEST_FOR_S:
        raise ValueError(
            f"--for {text}: must be more than 0 and at most a day: seconds (10 or 10s), 2m, 1h30m "
            "or 1:30"
        )
    return length_s


def _duration_s(text: str) -> float | None:
    """None where it is none."""
    found = _DURATION.fullmatch(text.strip())
    given = {} if found is None else {unit: n for unit, n in found.groupdict().items() if n}
    total_s = sum(float(count) * _UNITS_S[unit] for unit, count in given.items())
    return total_s if given and math.isfinite(total_s) else None


def _next(now: datetime, hour: int, minute: int) -> datetime:
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
