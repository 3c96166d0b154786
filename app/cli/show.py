"""How answers are shown: evidence below the text, pictures, or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from longtake.answer import Answer
from longtake.cli.names import as_text, shown
from longtake.ui.view import clock, span, timeline

if TYPE_CHECKING:
    from longtake.cli.watching import Watched
    from longtake.take import Take
    from longtake.watch import Watch

SCHEMA = "longtake.ask/1"
_TIMELINE_CELLS = 60


class Told(NamedTuple):
    """An answer that was shown, and the paths of its pictures."""

    answer: Answer
    pictures: list[str]


def print_evidence(told: Told, newest_s: float) -> None:
    """Below an answer: when it was, on a timeline, and how long it took."""
    answer, moments = told.answer, told.answer.evidence
    if moments:
        spans = [(m.start_s, m.end_s) for m in moments]
        said = "  ".join(f"{span(m.start_s, m.end_s)} ({m.score:.0%})" for m in moments)
        length_s = max(newest_s, spans[0][1], 1.0)
        print(f"   evidence  {said}")
        print(f"   {timeline(spans, length_s, _TIMELINE_CELLS)}  {clock(newest_s)}")
    for path in told.pictures:
        print(f"   picture   {shown(path)}")
    if answer.coverage < 1:
        print(f"   coverage  {answer.coverage:.0%} of the recalled chunks could be read")
    spent = answer.timings
    print(f"   first token {spent.first_token_s * 1e3:.0f} ms, all {spent.total_s * 1e3:.0f} ms")


def write_pictures(folder: Path | None, number: int, answer: Answer) -> list[str]:
    """Thumbnails of the evidence into an existing folder; returns their paths.

    Args:
        number: of the question, from 0; it is in the names.
    """
    if folder is None:
        return []
    written = []
    for rank, moment in enumerate(answer.evidence, 1):
        if moment.thumbnail is not None:
            when = clock(moment.start_s).replace(":", "-")
            path = folder / f"question{number + 1}_{rank}_{when}.jpg"
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
    elapsed_s = sum(w.elapsed_s for w in watched)
    sources = [_source_json(w.watch) for w in watched]
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


def _source_json(watch: Watch) -> dict[str, Any]:
    report = watch.report
    return {
        "address": as_text(watch.address),
        "kind": watch.kind,
        "offset_s": watch.offset_s,
        "complete": report.complete,
        "started_s": report.started_s,
        "ended_s": report.ended_s,
        "promised_s": report.promised_s,
        "end_reason": report.end_reason,
        "decoded": report.decoded,
        "repairs": report.repairs,
    }


def answer_json(told: Told) -> dict[str, Any]:
    """One answer with its evidence and timings."""
    answer, spent = told.answer, told.answer.timings
    return {
        "question": answer.question,
        "text": answer.text,
        "evidence": [
            {"start_s": m.start_s, "end_s": m.end_s, "score": round(m.score, 4), "camera": m.camera}
            for m in answer.evidence
        ],
        "pictures": [as_text(path) for path in told.pictures],
        "as_of_s": answer.as_of_s,
        "staleness_s": answer.staleness_s,
        "coverage": answer.coverage,
        "partial": answer.partial,
        "timings": {
            "recall_s": round(spent.recall_s, 6),
            "first_token_s": round(spent.first_token_s, 6),
            "total_s": round(spent.total_s, 6),
            "tokens": spent.tokens,
        },
    }
