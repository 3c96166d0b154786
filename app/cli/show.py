"""How answers are shown: evidence below the text, pictures, or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from longtake.answer import Answer, Moment
from longtake.cli.live_line import state_of
from longtake.cli.names import as_text, shown
from longtake.live_watch import LiveWatch
from longtake.ui.view import clock, span, timeline, wall_clock

if TYPE_CHECKING:
    from longtake.cli.groups import Watched
    from longtake.memory.marks import Gap
    from longtake.streaming.capture import CaptureStats
    from longtake.take import Take

SCHEMA = "longtake.ask/1"
MOST_GAPS = 3  # shown below an answer, the newest; JSON has more
_TIMELINE_CELLS = 60


class Told(NamedTuple):
    """An answer that was shown, and the paths of its pictures."""

    answer: Answer
    pictures: list[str]


def print_evidence(told: Told, newest_s: float, *, is_live: bool = False) -> None:
    """Below an answer: when it was, on a timeline, how long it took, and of when it is."""
    answer, moments = told.answer, told.answer.evidence
    if moments:
        spans = [(m.start_s, m.end_s) for m in moments]
        said = "  ".join(map(moment_words, moments))
        length_s = max(newest_s, spans[0][1], 1.0)
        print(f"   evidence  {said}")
        print(f"   {timeline(spans, length_s, _TIMELINE_CELLS)}  {clock(newest_s)}")
        if moments[0].wall_s is not None:
            print(f"   seen on   {wall_clock(moments[0].wall_s)}")
    for path in told.pictures:
        print(f"   picture   {shown(path)}")
    if answer.coverage < 1:
        print(f"   coverage  {answer.coverage:.0%} of the recalled chunks could be read")
    print_times(answer, is_live)
    spent = answer.timings
    print(f"   first token {spent.first_token_s * 1e3:.0f} ms, all {spent.total_s * 1e3:.0f} ms")


def moment_words(moment: Moment) -> str:
    """``0:14-0:20 door (53%)``."""
    camera = f" {shown(moment.camera)}" if moment.camera else ""
    return f"{span(moment.start_s, moment.end_s)}{camera} ({moment.score:.0%})"


def print_times(answer: Answer, is_live: bool) -> None:
    """Of a live source how new the answer is; of any, when it was not seen."""
    if is_live:
        print(f"   as of {clock(answer.as_of_s)}, {answer.staleness_s:.1f} s behind")
    shown_gaps = answer.gaps[-MOST_GAPS:]
    for gap in shown_gaps:
        print(f"   gap {gap_words(gap)}")
    if len(answer.gaps) > len(shown_gaps):
        print(f"   and {len(answer.gaps) - len(shown_gaps)} earlier gaps")


def gap_words(gap: Gap) -> str:
    """``0:14-0:20 (door: offline)``."""
    whose = f"{shown(gap.camera)}: " if gap.camera else ""
    return f"{span(gap.start_s, gap.end_s)} ({whose}{gap.reason})"


def write_pictures(
    folder: Path | None, number: int, evidence: Sequence[Moment], what: str = "question"
) -> list[str]:
    """Thumbnails of the evidence into an existing folder; returns their paths.

    Args:
        number: of the question, from 0; it is in the names.
        what: they begin with.
    """
    if folder is None:
        return []
    written = []
    for rank, moment in enumerate(evidence, 1):
        if moment.thumbnail is not None:
            when = clock(moment.start_s).replace(":", "-")
            path = folder / f"{what}{number + 1}_{rank}_{when}.jpg"
            path.write_bytes(moment.thumbnail)
            written.append(str(path))
    return written


def as_json(
    take: Take,
    memory: Path | None,
    watched: Sequence[Watched],
    told: Sequence[Told],
    is_complete: bool,
) -> dict[str, Any]:
    """The object that ``--json`` prints; documented in docs/json.md."""
    adapter, stats = take.adapter, take.stats()
    elapsed_s = sum(w.elapsed_s for w in watched if not w.is_live)
    elapsed_s += max((w.elapsed_s for w in watched if w.is_live), default=0.0)  # all at once
    sources = [_source_json(w) for w in watched]
    return {
        "schema": SCHEMA,
        "model": {"name": adapter.name, "family": adapter.family},
        "memory": None if memory is None else as_text(memory),
        "complete": is_complete,
        "source": sources[0] if sources else None,
        "sources": sources,
        "ingest": {
            "frames": stats.frames,
            "frames_per_s": round(stats.frames / elapsed_s, 3) if elapsed_s else 0.0,
            "chunks": stats.chunks,
            "dropped": dict(stats.dropped),
        },
        "answers": [answer_json(t) for t in told],
    }


def _source_json(watched: Watched) -> dict[str, Any]:
    watch, report = watched.watch, watched.watch.report
    told = {
        "address": as_text(watch.address),
        "kind": watch.kind,
        "camera": watch.camera,
        "offset_s": watch.offset_s,
        "complete": watched.is_whole,
        "started_s": report.started_s,
        "ended_s": report.ended_s,
        "promised_s": report.promised_s,
        "end_reason": report.end_reason,
        "decoded": report.decoded,
        "repairs": report.repairs,
    }
    return told | camera_json(watch.stats()) if isinstance(watch, LiveWatch) else told


def camera_json(stats: CaptureStats) -> dict[str, Any]:
    """What is known of a live source beside what is known of any."""
    return {
        "state": state_of(stats),
        "error": stats.error or None,
        "stats": {
            "size": None if stats.size is None else list(stats.size),
            "fps": round(stats.fps, 3),
            "seen": stats.seen,
            "kept": stats.kept,
            "dropped": dict(stats.dropped),
            "bad_packets": stats.bad_packets,
            "corrupt": stats.corrupt,
            "jumps": stats.jumps,
            "reconnects": stats.reconnects,
            "outages": stats.outages,
            "lag_s": round(stats.lag_s, 3),
            "clock": stats.clock,
            "options": dict(stats.options),
        },
    }


def answer_json(told: Told) -> dict[str, Any]:
    """One answer with its evidence and timings."""
    answer, spent = told.answer, told.answer.timings
    return {
        "question": answer.question,
        "text": answer.text,
        "evidence": evidence_json(answer.evidence),
        "pictures": [as_text(path) for path in told.pictures],
        "as_of_s": answer.as_of_s,
        "staleness_s": answer.staleness_s,
        "coverage": answer.coverage,
        "partial": answer.partial,
        "gaps": [
            {"start_s": g.start_s, "end_s": g.end_s, "camera": g.camera, "reason": g.reason}
            for g in answer.gaps
        ],
        "timings": {
            "recall_s": round(spent.recall_s, 6),
            "first_token_s": round(spent.first_token_s, 6),
            "total_s": round(spent.total_s, 6),
            "tokens": spent.tokens,
        },
    }


def evidence_json(evidence: Sequence[Moment]) -> list[dict[str, Any]]:
    return [
        {
            "start_s": m.start_s,
            "end_s": m.end_s,
            "wall_s": m.wall_s,
            "score": round(m.score, 4),
            "camera": m.camera,
        }
        for m in evidence
    ]
