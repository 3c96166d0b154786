"""Times, spans and sizes as a person reads them: pure text, made from plain numbers.

What the numbers mean, and where the text is shown, is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

EMPTY_CELL = "\u2500"  # a thin line
MARKED_CELL = "\u2588"  # a full block


def clock(seconds: float) -> str:
    """`12.9` as ``0:12``, `3723` as ``1:02:03``, `-5` as ``-0:05``: whole seconds that have passed.

    Raises:
        ValueError: if `seconds` is not finite.
    """
    if not math.isfinite(seconds):
        raise ValueError(f"seconds={seconds}: needs a finite time")
    minutes, whole = divmod(int(abs(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds <= -1 else ""
    return f"{sign}{hours}:{minutes:02}:{whole:02}" if hours else f"{sign}{minutes}:{whole:02}"


def wall_clock(wall_s: float) -> str:
    """Unix seconds as the clock on the wall shows them, here: ``2026-11-21 14:03:22``."""
    return datetime.fromtimestamp(wall_s).strftime("%Y-%m-%d %H:%M:%S")


def span(start_s: float, end_s: float) -> str:
    """``0:12-0:15``; one time alone where both read the same.

    Raises:
        ValueError: if it ends before it starts.
    """
    if end_s < start_s:
        raise ValueError(f"end_s={end_s}: before start_s={start_s}")
    start, end = clock(start_s), clock(end_s)
    return start if start == end else f"{start}-{end}"


def timeline(spans: Iterable[tuple[float, float]], total_s: float, width: int = 60) -> str:
    """One line of `width` cells from 0 to `total_s`; every cell a span touches is a block.

    A span marks at least one cell, however short; what lies outside 0 to `total_s` is left out.

    Raises:
        ValueError: if `width` or `total_s` is not positive.
    """
    if width < 1:
        raise ValueError(f"width={width}: needs at least one cell")
    if not (math.isfinite(total_s) and total_s > 0):
        raise ValueError(f"total_s={total_s}: needs a positive number of seconds")
    cells = [EMPTY_CELL] * width
    for start_s, end_s in spans:
        if end_s < 0 or start_s > total_s:
            continue
        first = min(width - 1, int(max(0.0, start_s) / total_s * width))
        last = min(width, math.ceil(min(total_s, end_s) / total_s * width))
        for cell in range(first, max(first + 1, last)):
            cells[cell] = MARKED_CELL
    return "".join(cells)


def bytes_text(count: int) -> str:
    """`1536` as ``1.5 KiB``; below a kibibyte to the byte, above with one decimal.

    Raises:
        ValueError: if `count` is negative.
    """
    if count < 0:
        raise ValueError(f"count={count}: a size is not negative")
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if round(size, 1) < 1024:
            return f"{size:.1f} {unit}"
    return f"{size:.1f} TiB"
