"""What of a source is still to be seen: all of it, the rest, or nothing.

The ledger knows what was seen before; here that becomes a source that is open at the right place,
and its offset in session time.  Who reads it is not known here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from longtake.ledger import Entry, Ledger, identify
from longtake.session import Session
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import BeyondEnd
from longtake.streaming.files import END_TOLERANCE_S
from longtake.streaming.report import SourceReport
from longtake.streaming.sampler import FixedRate
from longtake.streaming.sources import Source, open_source

_ROUNDING_S = 0.001  # of time stamps


@dataclass(frozen=True, slots=True)
class Admitted:
    """A source that is open, and where it stands."""

    source: Source
    identity: str | None  # None: it cannot be known again
    offset_s: float  # added to its own times to make session time
    seen_s: float | None = None  # its own time of the last frame seen in an earlier run
    goes_on: bool = False  # it was cut short before
    tick_s: float = 0.0  # frames are kept this far apart
    finished: Entry | None = None  # it was seen to its end before: nothing is to be read


@dataclass(frozen=True, slots=True)
class Wish:
    """A source as it was asked for; times are its own."""

    address: str | os.PathLike[str]
    start_s: float = 0.0
    stop_s: float | None = None
    capture: CaptureConfig = field(default_factory=CaptureConfig)  # of what lies in a network


def admit(wish: Wish, ledger: Ledger, session: Session, offset_s: float) -> Admitted:
    """Open a source where it is to be read from.

    Args:
        offset_s: session time at which a source begins that was never seen.

    Raises:
        SourceError: if it cannot be opened.
    """
    identity = identify(os.fspath(wish.address), wish.start_s, wish.stop_s)
    known = None if identity is None else ledger.find(identity)
    if known is None:
        source = _open(wish, session, wish.start_s)
        return Admitted(source, identity, offset_s)
    tick_s = 1 / session.pace.fps
    seen_s = None if session.seen_s is None else ledger.seen_s(known, session.seen_s)
    if known.done and not _is_lost(known, seen_s):
        return _finished(wish, session, known)
    if seen_s is None:
        source = _open(wish, session, wish.start_s)
        return Admitted(source, identity, offset_s, goes_on=True)
    begin_s = max(wish.start_s, FixedRate(session.pace.fps, wish.start_s).next_s(seen_s))
    try:
        if wish.stop_s is not None and begin_s >= wish.stop_s:
            raise BeyondEnd(str(wish.address), begin_s, wish.stop_s)
        source = _open(wish, session, begin_s)
    except BeyondEnd:  # it was cut just behind its last frame
        admitted = _finished(wish, session, replace(known, done=True, is_running=False))
        settle(known.report, seen_s, admitted.source.promised_s, tick_s)
        assert admitted.finished is not None
        ledger.record(admitted.finished)
        return admitted
    is_newest = abs(seen_s + known.offset_s - session.newest_s) < _ROUNDING_S
    offset_s = known.offset_s if is_newest else offset_s - begin_s
    return Admitted(source, identity, offset_s, seen_s, goes_on=True, tick_s=tick_s)


def _is_lost(known: Entry, held_s: float | None) -> bool:
    """Whether the end of what was seen is in the memory no more: its files were cut."""
    if known.seen_s is None:
        return False
    return held_s is None or held_s < known.seen_s - _ROUNDING_S


def settle(
    report: SourceReport, seen_s: float | None, promised_s: float | None, tick_s: float
) -> None:
    """Say how a source ended whose last run could not: it was cut behind its last frame.

    Args:
        seen_s: its own time of the last frame that was seen; up to a tick more may lie behind it.
    """
    if seen_s is None:
        return
    report.ended_s, report.promised_s = seen_s, promised_s
    if promised_s is None or seen_s + tick_s + END_TOLERANCE_S >= promised_s:
        report.complete, report.end_reason = True, "end of file"
    else:
        report.end_reason = f"stops at {seen_s:.1f} of {promised_s:.1f} s"


def _finished(wish: Wish, session: Session, known: Entry) -> Admitted:
    source = _open(wish, session, 0.0)
    return Admitted(source, known.identity, known.offset_s, finished=known)


def _open(wish: Wish, session: Session, start_s: float) -> Source:
    return open_source(
        wish.address,
        fps=session.pace.fps,
        start_s=start_s,
        stop_s=wish.stop_s,
        ticks_from_s=wish.start_s,
        max_side=max(session.adapter.frame_side, session.config.memory.thumbnail_px),
        capture=wish.capture,
    )
