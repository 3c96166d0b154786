"""Flags of commands that follow live sources: names of cameras, how long, and until when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

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
        help="see a live source for so long after its first frame, then ask [default: the "
        "window's length, at least 3 s]",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="end after so long (10s, 5m, 2h), or at a time (18:30)"),
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
    """``10s``, ``5m``, ``2h`` or ``90``: a duration; ``18:30``: the next time a clock shows that.

    Raises:
        ValueError: names the forms that are understood.
    """
    if text is None:
        return None
    rule = f"--until {text}: must be a duration (10s, 5m, 2h) or a time of day (18:30)"
    if clock := re.fullmatch(r"(\d{1,2}):(\d\d)", text):
        hour, minute = int(clock[1]), int(clock[2])
        if hour > 23 or minute > 59:
            raise ValueError(rule)
        return Until(text, at_wall_s=_next(now, hour, minute).timestamp())
    duration = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)([smhd]?)", text)
    if duration is None or not float(duration[1]) > 0:
        raise ValueError(rule)
    return Until(text, duration_s=float(duration[1]) * _UNITS_S[duration[2]])


def _next(now: datetime, hour: int, minute: int) -> datetime:
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
