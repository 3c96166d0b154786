"""Follow live sources for a while: until each has shown enough, or will not come.

What is asked or told about them is not known here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from longtake.cli.common import say
from longtake.cli.live_line import live_line, state_of
from longtake.streaming.errors import SourceError, SourceTimeout
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.live_watch import LiveWatch
    from longtake.streaming.capture import CaptureStats

LOOK_S = 0.1  # how often what is shown is brought up to date


def follow(watches: Sequence[LiveWatch], for_s: float, connect_s: float) -> None:
    """Return when each has been seen for ``for_s`` after its first frame, or is over.

    One that shows nothing within ``for_s + connect_s`` is not waited for any longer.

    Raises:
        SourceError: if none of them showed a picture; why.
    """
    begun = time.monotonic()
    firsts: dict[int, float] = {}
    with live_line(watches) as line:
        while waiting := _waiting(watches, firsts, begun, for_s, connect_s):
            line.show()
            waiting[0].is_seen(LOOK_S)
        line.show()
    tell_missing(watches, for_s + connect_s)


def _waiting(
    watches: Sequence[LiveWatch],
    firsts: dict[int, float],
    begun: float,
    for_s: float,
    connect_s: float,
) -> list[LiveWatch]:
    """Those that need more time; ``firsts``, when each showed its first frame, is kept up."""
    now, waiting = time.monotonic(), []
    for number, watch in enumerate(watches):
        if watch.was_live:
            firsts.setdefault(number, now)
        left_s = firsts.get(number, begun + connect_s) + for_s - now
        if left_s > 0 and not watch.is_seen():
            waiting.append(watch)
    return waiting


def was_whole(stats: CaptureStats) -> bool:
    """It was reached, and never went away."""
    return stats.seen > 0 and not stats.outages and state_of(stats) in ("live", "ended")


def tell_missing(watches: Sequence[LiveWatch], waited_s: float) -> None:
    """Say of those that never showed a picture why.  Raises SourceError where all are such."""
    missing = [watch for watch in watches if not watch.was_live]
    if missing and len(missing) == len(watches):
        raise why_missing(missing[0], waited_s)
    for watch in missing:
        say(one_line(why_missing(watch, waited_s)))


def why_missing(watch: LiveWatch, waited_s: float) -> SourceError:
    """The last thing that went wrong with a source that never showed a picture."""
    return watch.error or SourceTimeout(
        f"{watch.address}: no picture within {waited_s:.3g} s; is the camera on?"
    )
