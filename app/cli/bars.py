"""A bar on stderr for work whose length is known; nothing where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from longtake.cli.common import common

Step = Callable[[int, int], None]  # so far, in all


@contextmanager
def bar(label: str, *, is_bytes: bool = False) -> Iterator[Step]:
    """Within the block, a call shows how far it is."""
    if common().quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    shown = Progress(
        TextColumn(label),
        BarColumn(),
        DownloadColumn(binary_units=True) if is_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    )
    task = shown.add_task("", total=None)
    with shown:
        yield lambda done, total: shown.update(task, completed=done, total=total)
