"""``longtake memory ls``, ``info`` and ``du``: look at folders, and show what is there.

Nothing is written, and no model is needed; another process may be writing meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from longtake.cli.common import say
from longtake.cli.names import as_text, shown
from longtake.ledger import Entry, Ledger
from longtake.memory.marks import UNSEEN, Gap, Span
from longtake.memory.survey import Survey, is_memory, survey
from longtake.streaming.errors import redact
from longtake.ui.view import bytes_text, clock, span

_COLUMNS = ("name", "length", "chunks", "size", "model", "last change", "state")
_MOST_SPANS = 5  # of one kind, in words


def ls(folders: list[str], as_json: bool) -> None:
    """The memories that these folders are, or hold directly."""
    rows = [_listed(path) for folder in folders for path in _find(Path(folder))]
    if not rows:
        say(f"no memory in {', '.join(shown(f) for f in folders)}; --memory DIR makes one")
    if as_json:
        print(json.dumps({"schema": "longtake.memory.ls/1", "memories": rows}))
    elif rows:
        _print_table([_COLUMNS, *(_cells(row) for row in rows)])


def info(folder: str, as_json: bool) -> None:
    """All about one memory but its chunks."""
    seen = survey(Path(folder))
    described = _described(seen)
    if as_json:
        print(json.dumps(described))
    else:
        _print_info(seen, described)


def du(folders: list[str], exact: bool, as_json: bool) -> None:
    """Bytes of each memory, and of all."""
    seen = [survey(Path(folder)) for folder in folders]
    if as_json:
        total = sum(one.total_nbytes for one in seen)
        memories = [_usage(one) for one in seen]
        print(json.dumps({"schema": "longtake.memory.du/1", "memories": memories, "bytes": total}))
        return
    rows = [row for one in seen for row in _usage_rows(one)]
    if len(seen) > 1:
        rows.append((sum(one.total_nbytes for one in seen), "total"))
    texts = [(f"{count}" if exact else bytes_text(count), label) for count, label in rows]
    width = max(len(size) for size, _ in texts)
    for size, label in texts:
        print(f"{size:>{width}}  {label}")


# -------------------------------------------------------------------- ls


def _find(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: no such folder to look for memories in")
    if is_memory(folder):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        try:
            if path.is_dir() and is_memory(path):
                yield path
        except PermissionError as error:
            say(f"{shown(path)}: left out ({error.strerror})")


def _listed(path: Path) -> dict[str, Any]:
    """One memory for the list; one that cannot be read is listed as damaged, and why."""
    try:
        seen = survey(path)
    except (OSError, ValueError) as error:
        damage = " ".join(str(error).split())
        say(shown(damage))
        blank = dict.fromkeys(("length_s", "chunks", "bytes", "model", "changed_wall_s"))
        return {"memory": as_text(path), **blank, "state": "damaged", "damage": as_text(damage)}
    if seen.damage:
        say(f"{shown(path)}: {seen.damage}")
    return {
        "memory": as_text(path),
        "length_s": seen.length_s,
        "chunks": seen.chunks,
        "bytes": seen.total_nbytes,
        "model": seen.model,
        "changed_wall_s": seen.changed_wall_s,
        "state": _state(seen),
        "damage": seen.damage,
    }


def _state(seen: Survey) -> str:
    if seen.damage:
        return "damaged"
    return "closed" if seen.writer is None else "open"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if row["chunks"] is None:
        return (shown(row["memory"]), "?", "?", "?", "?", "?", row["state"])
    return (
        shown(row["memory"]),
        _length(row["length_s"]),
        str(row["chunks"]),
        bytes_text(row["bytes"]),
        shown(row["model"] or "-"),
        _when(row["changed_wall_s"]),
        row["state"],
    )


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            f"{cell:>{width}}" if 1 <= i <= 3 else f"{cell:<{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def _length(seconds: float) -> str:
    """``h:mm:ss``, so that a column reads well."""
    minutes, whole = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{whole:02}"


def _when(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s).strftime("%Y-%m-%d %H:%M")


# -------------------------------------------------------------------- info


def _described(seen: Survey) -> dict[str, Any]:
    """The object that ``info --json`` prints."""
    return {
        "schema": "longtake.memory.info/1",
        "memory": as_text(seen.path),
        "model": {"name": seen.model, "fingerprint": (seen.fingerprint or "")[:12] or None},
        "format": seen.format,
        "state": _state(seen),
        "writer": _process(seen),
        "damage": seen.damage,
        "lost": seen.lost,
        "chunks": seen.chunks,
        "tokens": seen.tokens,
        "cameras": [as_text(camera) for camera in seen.cameras if camera],
        "first_s": seen.start_s,
        "last_s": seen.end_s,
        "spans": [{"start_s": one.start_s, "end_s": one.end_s} for one in seen.spans],
        "gaps": [{**asdict(gap), "camera": as_text(gap.camera)} for gap in seen.gaps],
        "kept": [{"start_s": one.start_s, "end_s": one.end_s} for one in seen.kept],
        "codecs": _codecs(seen),
        "thumbnails": seen.thumbnails,
        "events": seen.events,
        "changed_wall_s": seen.changed_wall_s,
        "bytes": {**seen.nbytes, "total": seen.total_nbytes},
        "sources": _sources(seen),
    }


def _codecs(seen: Survey) -> list[dict[str, Any]]:
    """Chunks and bytes by rung of the ladder, most chunks first."""
    return [{"codec": r.codec, "chunks": r.chunks, "bytes": r.nbytes} for r in seen.rungs]


def _process(seen: Survey) -> int | None:
    """None also in the moment before a writer has said who it is."""
    return int(seen.writer) if seen.writer and seen.writer.isdigit() else None


def _sources(seen: Survey) -> list[dict[str, Any]]:
    ledger = Ledger(seen)
    return [_source(seen, entry, ledger) for entry in ledger.entries()]


def _source(seen: Survey, entry: Entry, ledger: Ledger) -> dict[str, Any]:
    report = entry.report
    seen_s = ledger.seen_s(entry, seen.end_s or 0.0) if seen.chunks else None
    return {
        "address": as_text(redact(_address(entry.identity))),
        "state": _source_state(seen, entry),
        "complete": report.complete,
        "offset_s": entry.offset_s,
        "seen_s": seen_s,
        "promised_s": report.promised_s,
        "end_reason": report.end_reason,
        "repairs": report.repairs,
    }


def _address(identity: str | None) -> str:
    """An identity ends with its size and range (`ledger.identify`)."""
    return "a stream" if identity is None else identity.rsplit(" ", 2)[0]


def _source_state(seen: Survey, entry: Entry) -> str:
    if entry.is_running:
        return "cut short" if seen.writer is None else "being read"
    return "complete" if entry.done and entry.report.complete else "cut short"


def _print_info(seen: Survey, described: dict[str, Any]) -> None:
    model = described["model"]
    sizes = ", ".join(f"{name} {bytes_text(count)}" for name, count in seen.nbytes.items())
    held = f"{seen.chunks} chunks, {seen.tokens} tokens"
    if seen.start_s is not None and seen.end_s is not None:
        held = f"{clock(seen.start_s)} to {clock(seen.end_s)}, {held}"
    lines = {
        "memory": shown(seen.path),
        "model": f"{shown(model['name'] or '-')} (fingerprint {model['fingerprint'] or '-'})",
        "holds": held,
        "codecs": ", ".join(f"{r.codec} {r.chunks} ({bytes_text(r.nbytes)})" for r in seen.rungs),
        "gaps": _gaps_text(seen.gaps),
        "kept": _spans_text(seen.kept),
        "cameras": shown(", ".join(described["cameras"])),
        "writer": "none" if seen.writer is None else f"process {seen.writer} has it open",
        "damaged": shown(seen.damage or ""),
        "changed": _when(seen.changed_wall_s),
        "size": f"{bytes_text(seen.total_nbytes)}: {sizes}",
        "thumbnails": str(seen.thumbnails),
        "events": str(seen.events or ""),
    }
    for name, text in lines.items():
        if text:
            print(f"{name:<11} {text}")
    for source in described["sources"]:
        print(f"{'source':<11} {_source_line(source)}")


def _gaps_text(gaps: Sequence[Gap]) -> str:
    """``12 chunks dropped (0:10-0:12, 1:05), 3 forgotten (2:00), 2 times offline (3:00)``."""
    texts: list[str] = []
    has_unit = False
    for reason in dict.fromkeys(gap.reason for gap in gaps):
        those = [gap for gap in gaps if gap.reason == reason]
        if reason in UNSEEN:
            often = "once" if len(those) == 1 else f"{len(those)} times"
            texts.append(f"{often} {shown(reason)} ({_spans_text(those)})")
            continue
        count = sum(gap.chunks for gap in those)
        unit = "" if has_unit else " chunks"
        has_unit = True
        texts.append(f"{count}{unit} {shown(reason)} ({_spans_text(those)})")
    return ", ".join(texts)


def _spans_text(spans: Sequence[Gap | Span]) -> str:
    """The first of them."""
    texts = [span(one.start_s, one.end_s) for one in spans[:_MOST_SPANS]]
    more = len(spans) - _MOST_SPANS
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def _source_line(source: dict[str, Any]) -> str:
    words = [source["state"]]
    if source["seen_s"] is not None:
        promised = source["promised_s"]
        words.append(
            f"seen to {clock(source['seen_s'])}" + (f" of {clock(promised)}" if promised else "")
        )
    words += [f"{count} {name}" for name, count in source["repairs"].items()]
    return f"{shown(source['address'])}: {', '.join(words)}"


# -------------------------------------------------------------------- du


def _usage(seen: Survey) -> dict[str, Any]:
    return {
        "memory": as_text(seen.path),
        "bytes": {**seen.nbytes, "total": seen.total_nbytes},
        "bytes_per_h": _bytes_per_h(seen),
        "codecs": _codecs(seen),
        "hours": [{"hour": h.hour, "chunks": h.chunks, "bytes": h.nbytes} for h in seen.hours],
    }


def _bytes_per_h(seen: Survey) -> int | None:
    """What an hour of this stream takes; None before there is a length."""
    return round(seen.total_nbytes * 3600 / seen.length_s) if seen.length_s > 0 else None


def _usage_rows(seen: Survey) -> Iterator[tuple[int, str]]:
    name = shown(seen.path)
    for part, count in seen.nbytes.items():
        yield count, f"{name}: {part}"
    for rung in seen.rungs:
        yield rung.nbytes, f"{name}: chunks in {rung.codec}"
    for h in seen.hours:
        hours = f"{_length(h.hour * 3600)} to {_length((h.hour + 1) * 3600)}"
        yield h.nbytes, f"{name}: chunks of {hours}"
    rate = _bytes_per_h(seen)
    if rate is not None:
        yield rate, f"{name}: for an hour of stream, at this rate"
    yield seen.total_nbytes, name
