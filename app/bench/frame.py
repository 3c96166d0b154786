"""What every benchmark shares: rows of results, fair repeats, how they are shown.

Knows nothing of what is measured.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

from longtake.hardware import machine

SCHEMA = "longtake.bench/1"

Say = Callable[[str], None]  # is told how far a benchmark is


@dataclass(frozen=True, slots=True)
class Row:
    """One result.  ``ratio`` is the value divided by that of the row named ``reference``."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    reference: str | None = None


def compared(name: str, value: float, unit: str, reference: Row) -> Row:
    """A row with its ratio to another one in the same unit."""
    if unit != reference.unit:
        raise ValueError(f"{name} is in {unit}, {reference.name} in {reference.unit}: no ratio")
    return Row(name, value, unit, value / reference.value, reference.name)


def check_repeats(repeats: int) -> None:
    """Raises ValueError for a number of runs that makes no sense."""
    if repeats < 1:
        raise ValueError(f"repeats={repeats}: must be at least 1")


def interleave(
    jobs: Mapping[str, Callable[[], float]], repeats: int, say: Say
) -> dict[str, list[float]]:
    """Run jobs in turn, A B A B ..., so that what else the machine does meets all alike.

    Args:
        jobs: each returns what it measured.  A first run of each is thrown away.
        repeats: counted runs of each.
        say: is told how far it is.
    """
    check_repeats(repeats)
    measured: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(-1, repeats):
        for name, job in jobs.items():
            say(f"{name}: {'warm-up' if turn < 0 else f'run {turn + 1} of {repeats}'}")
            value = job()
            if turn >= 0:
                measured[name].append(value)
    return measured


def timed(job: Callable[[], object]) -> float:
    """Seconds that a job takes."""
    begun = time.perf_counter()
    job()
    return time.perf_counter() - begun


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def show(bench: str, sizes: Mapping[str, object], rows: list[Row], as_json: bool) -> None:
    """Print one result: a table, or one JSON object with a schema."""
    if as_json:
        found = {"schema": SCHEMA, "bench": bench, "machine": machine(), "sizes": dict(sizes)}
        print(json.dumps(found | {"rows": [asdict(row) for row in rows]}))
        return
    for name, value in {**machine(), **sizes}.items():
        print(f"{name + ':':<14}{value}")
    print()
    width = max(len(row.name) for row in rows)
    for row in rows:
        beside = "" if row.ratio is None else f"  = {row.ratio:.3g} x {row.reference}"
        print(f"{row.name:<{width}}  {row.value:>10.4g} {row.unit}{beside}")
