"""What ``longtake ask`` shows: evidence under an answer, or everything as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longtake.streaming.report import COUNTERS
from longtake.ui.view import clock, span, timeline

if TYPE_CHECKING:
    from longtake.answer import Answer
    from longtake.models.base import Adapter
    from longtake.take import TakeStats
    from longtake.watch import Watch

SCHEMA = "longtake.ask/1"
_TIMELINE_CELLS = 60


def print_evidence(answer: Answer, pictures: list[str], newest_s: float) -> None:
    moments = answer.evidence
    if moments:
        spans = [(m.start_s, m.end_s) for m in moments]
        said = "  ".join(f"{span(m.start_s, m.end_s)} ({m.score:.0%})" for m in moments)
        print(f"   evidence  {said}")
        print(f"   {timeline(spans, max(newest_s, spans[0][1], 1.0), 60)}  {clock(newest_s)}")
    for path in pictures:
        print(f"   picture   {path}")
    if answer.coverage < 1:
        print(f"   coverage  {answer.coverage:.0%} of the recalled chunks could be read")
    spent = answer.timings
    print(f"   first token {spent.first_token_s * 1e3:.0f} ms, all {spent.total_s * 1e3:.0f} ms")


def as_json(
    adapter: Adapter,
    memory: str | None,
    stats: TakeStats,
    watch: Watch | None,
    elapsed_s: float,
    answers: list[tuple[Answer, list[str]]],
) -> dict[str, Any]:
    """The object that ``--json`` prints; documented in docs/json.md.

    Args:
        elapsed_s: that watching took.
        answers: each with the paths of its pictures.
    """
    return {
        "schema": SCHEMA,
        "model": {"name": adapter.name, "family": adapter.family},
        "memory": memory,
        "source": None if watch is None else _source_json(watch),
        "ingest": {
            "frames": stats.frames,
            "frames_per_s": round(stats.frames / elapsed_s, 3) if elapsed_s else 0.0,
            "chunks": stats.chunks,
            "dropped": dict(stats.dropped),
        },
        "answers": [_answer_json(answer, pictures) for answer, pictures in answers],
    }


def _source_json(watch: Watch) -> dict[str, Any]:
    report = watch.report
    return {
        "address": watch.address,
        "kind": watch.kind,
        "offset_s": watch.offset_s,
        "complete": report.complete,
        "started_s": report.started_s,
        "ended_s": report.ended_s,
        "promised_s": report.promised_s,
        "end_reason": report.end_reason,
        "decoded": report.decoded,
        "repairs": repairs(watch),
    }


def repairs(watch: Watch) -> dict[str, int]:
    """What was wrong with the source and mended, counted; only what happened."""
    counts = {name: getattr(watch.report, name) for name in COUNTERS[2:]}
    return {name.replace("_", " "): count for name, count in counts.items() if count}


def _answer_json(answer: Answer, pictures: list[str]) -> dict[str, Any]:
    spent = answer.timings
    return {
        "question": answer.question,
        "text": answer.text,
        "evidence": [
            {"start_s": m.start_s, "end_s": m.end_s, "score": round(m.score, 4), "camera": m.camera}
            for m in answer.evidence
        ],
        "pictures": pictures,
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
