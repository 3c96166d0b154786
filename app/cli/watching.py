"""Open a model and a take, and watch what has to be watched, while people see how far it is.

What is asked afterwards is not known here.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.cli.common import common, say
from longtake.engine import Engine
from longtake.memory.files import MemoryDamaged, MemoryInUse
from longtake.memory.folder import CATALOG
from longtake.memory.survey import is_memory
from longtake.streaming.pipe import is_stdin
from longtake.streaming.sources import find_path
from longtake.ui.view import clock
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.take import Take
    from longtake.watch import Watch

_log = logging.getLogger(__name__)
_LOOK_S = 0.1  # how often the progress is shown anew


@dataclass(frozen=True, slots=True)
class Watched:
    """A source at its end."""

    watch: Watch
    elapsed_s: float


@contextmanager
def opened(
    settings: Settings, memory: Path | None, *, may_only_read: bool = False
) -> Iterator[Take]:
    """A take on a model of its own; both are closed at the end.

    Args:
        may_only_read: nothing will be watched: a memory that cannot be written, or that another
            process is writing, will do.
    """
    begun = time.monotonic()
    with Engine(
        settings.model,
        device=settings.device,
        dtype=settings.dtype,
        quantize=settings.quantize,
        max_pixels=settings.max_pixels,
    ) as engine:
        adapter = engine.adapter
        _log.info(
            "%s (%s) on %s in %s, loaded in %.1f s",
            *(adapter.name, adapter.family, adapter.device, adapter.dtype),
            time.monotonic() - begun,
        )
        _tell_limits(engine)
        with _open_take(engine, settings, memory, may_only_read) as take:
            pace, stats = take.pace, take.stats()
            _log.info(
                "%g frames/s, a window of %g s (%d tokens), %d chunks recalled a layer",
                *(pace.fps, pace.window_s, pace.window_tokens, pace.top_k),
            )
            if memory is not None:
                _log.info("%s: %d chunks, to %s", memory, stats.chunks, clock(stats.newest_s))
            yield take


def _open_take(
    engine: Engine, settings: Settings, memory: Path | None, may_only_read: bool
) -> Take:
    try:
        return engine.open(memory, settings.take)
    except MemoryDamaged:
        raise
    except OSError as error:
        if not may_only_read or memory is None:
            raise
        take = engine.open(memory, settings.take, read_only=True)
        if isinstance(error, MemoryInUse):
            durable = clock(take.stats().newest_s)
            say(
                f"{memory}: another process writes to it; answers are as of {durable}, what it has "
                "on disk, and of more as more is"
            )
        else:
            say(f"{memory}: can only be read ({one_line(error)})")
        return take


def check_sources(
    addresses: Sequence[str], memory: Path | None, start_s: float | None, stop_s: float | None
) -> None:
    """Refuse what cannot work before anything is loaded or seen.

    Raises:
        ValueError: if there is nothing to watch and no memory, or a range for several sources.
        SourceError: if a source is missing.
    """
    if start_s is not None and stop_s is not None and stop_s <= start_s:
        raise ValueError(f"--to {stop_s:g}: must be later than --from {start_s:g} (seconds)")
    if len(addresses) > 1 and (start_s is not None or stop_s is not None):
        raise ValueError(
            f"--from and --to bound one video, and there are {len(addresses)}: watch them one by "
            "one into the same --memory"
        )
    if addresses.count("-") > 1:
        raise ValueError("- stands twice: standard input can be read once")
    if not addresses and memory is None:
        raise ValueError("no video: name a file or folder first, or a --memory that has one")
    is_new = memory is not None and not (memory / CATALOG).is_file()
    if memory is not None and is_new and not addresses and not is_memory(memory):
        raise ValueError(
            f"--memory {memory}: there is no memory yet, and no video to make one from"
        )
    for address in addresses:
        if not is_stdin(address):
            find_path(address)


def watch_all(
    take: Take, addresses: Sequence[str], start_s: float | None, stop_s: float | None
) -> list[Watched]:
    """See every source to its end, one after the other in session time.

    Raises:
        SourceError: if one fails; what was seen before stays.
        KeyboardInterrupt: after saying how far it came.
    """
    if not addresses and take.stats().chunks == 0:
        raise ValueError("the memory is empty; name a video to fill it")
    count = len(addresses)
    return [
        _watch(take, address, start_s or 0.0, stop_s, f"{i} of {count}  " if count > 1 else "")
        for i, address in enumerate(addresses, 1)
    ]


def _watch(take: Take, address: str, start_s: float, stop_s: float | None, number: str) -> Watched:
    begun = time.monotonic()
    watch = take.watch(address, start_s=start_s, stop_s=stop_s)
    try:
        with progress(watch, take, number) as show:
            while not watch.is_seen():
                show()
                watch.is_seen(_LOOK_S)
    except KeyboardInterrupt:
        say(f"{watch.address}: seen to {clock(_seen_s(watch, take))}")
        raise
    watch.wait()
    tell(watch)
    return Watched(watch, time.monotonic() - begun)


def _seen_s(watch: Watch, take: Take) -> float:
    return max(0.0, take.stats().newest_s - watch.offset_s)


def tell(watch: Watch) -> None:
    report = watch.report
    if watch.is_known:
        say(f"{watch.address}: seen before; answering from memory")
    if not report.complete:
        promised = f" of {clock(report.promised_s)}" if report.promised_s else ""
        say(f"{watch.address}: {report.end_reason}; seen to {clock(report.ended_s or 0)}{promised}")
    if report.repairs:
        mended = ", ".join(f"{count} {name}" for name, count in report.repairs.items())
        say(f"{watch.address}: {mended}")


@contextmanager
def progress(watch: Watch, take: Take, number: str) -> Iterator[Callable[[], None]]:
    """A bar on stderr where that is a terminal; nothing elsewhere."""
    if common().quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn(f"watching {number}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=watch.promised_s)
    begun, frames_before = time.monotonic(), take.stats().frames

    def show() -> None:
        stats = take.stats()
        frames = stats.frames - frames_before
        rate = frames / max(1e-6, time.monotonic() - begun)
        seen_s = _seen_s(watch, take)
        words = f"{clock(seen_s)}  {frames} frames  {rate:.0f}/s  {stats.chunks} chunks"
        bar.update(task, completed=seen_s, description=words)

    with bar:
        yield show


def _tell_limits(engine: Engine) -> None:
    note = engine.adapter.recipe.note
    if note:
        from longtake.models.loader import FAMILIES

        say(
            f"the {engine.adapter.name} model {note}; for real footage give --model with a "
            f"folder or hub id of {' or '.join(FAMILIES)}"
        )
