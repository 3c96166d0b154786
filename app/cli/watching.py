"""Open a model and a take, and watch what has to be watched before somebody asks about it.

A file is seen to its end, a live source for a while.  What is asked is not known here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.cli.common import common, say
from longtake.cli.following import LOOK_S, follow
from longtake.cli.groups import Group, Watched, begin, end, status, tell_seen
from longtake.cli.sources import Sources
from longtake.engine import Engine
from longtake.memory.files import MemoryDamaged, MemoryInUse
from longtake.streaming import capture
from longtake.ui.view import clock
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.take import Take

LEAST_S = 3.0  # that a live source is seen before it is asked about, unless one says so

_log = logging.getLogger(__name__)


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
    with (
        _captures_told_once(),
        Engine(
            settings.model,
            device=settings.device,
            dtype=settings.dtype,
            quantize=settings.quantize,
            max_pixels=settings.max_pixels,
        ) as engine,
    ):
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


@contextmanager
def _captures_told_once() -> Iterator[None]:
    """How cameras stand is shown here, and may not be written into a prompt: their own warnings
    are for ``-v``."""
    logger = logging.getLogger(capture.__name__)
    before = logger.level
    if not common().verbose:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _open_take(
    engine: Engine, settings: Settings, memory: Path | None, may_only_read: bool
) -> Take:
    try:
        return engine.open(memory, settings.take)
    except MemoryDamaged:
        raise
    except OSError as error:
        if isinstance(error, MemoryInUse) and not may_only_read:
            raise _in_use(error) from error
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


def _in_use(error: MemoryInUse) -> MemoryInUse:
    """In words of the command line, for a command that would write."""
    folder, (who, *_) = error.filename, str(error.strerror).split("; ")
    return MemoryInUse(
        error.errno,
        f"{who}; ask it meanwhile (longtake ask --memory {folder} QUESTION), end that process, or "
        "choose another folder",
        folder,
    )


def watch_all(take: Take, sources: Sources, for_s: float | None = None) -> list[Watched]:
    """See files to their end, one after the other in session time; live ones together, for a while.

    Args:
        for_s: how long a live source is seen after its first frame; None: the window's length,
            `LEAST_S` at least.  It is watched on until it is stopped, or the take is closed.

    Raises:
        SourceError: if one fails, or no live one shows a picture; what was seen before stays.
        KeyboardInterrupt: after saying how far it came.
    """
    if not sources.addresses and take.stats().chunks == 0:
        raise ValueError("the memory is empty; name a video to fill it")
    watched: list[Watched] = []
    for group in begin(take, sources):
        begun = time.monotonic()
        if group.live:
            for_s = max(LEAST_S, take.pace.window_s) if for_s is None else for_s
            _follow(take, group, for_s, sources.capture.connect_s)
        else:
            _see_whole(take, group)
        spent_s = time.monotonic() - begun
        watched += [Watched(watch, spent_s) for watch in group.watches]
    return watched


def _see_whole(take: Take, group: Group) -> None:
    """To the end of a file."""
    try:
        with status(take, group) as shown:
            while not group.is_over:
                shown.show()
                group.wait(LOOK_S)
    except KeyboardInterrupt:
        tell_seen(take, group)
        raise
    end(group)


def _follow(take: Take, group: Group, for_s: float, connect_s: float) -> None:
    """For a while, until all that came by then is seen."""
    try:
        follow(group.live, for_s, connect_s)
        take.drain()
    except KeyboardInterrupt:
        tell_seen(take, group)
        raise


def _tell_limits(engine: Engine) -> None:
    note = engine.adapter.recipe.note
    if note:
        from longtake.models.loader import FAMILIES

        say(
            f"the {engine.adapter.name} model {note}; for real footage give --model with a "
            f"folder or hub id of {' or '.join(FAMILIES)}"
        )
