"""``longtake bench memory``: what it costs to keep the past, in bytes and in time.

Four parts, each in a file of its own: the codecs, the log on disk, the search, and what a stream
notices of all that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from longtake.bench import memory_codecs, memory_cost, memory_reads, memory_search
from longtake.bench.frame import Row, Say, check_repeats, show
from longtake.bench.model import Model

PARTS = ("codecs", "disk", "search", "stream")


def run(
    model: Model,
    parts: Sequence[str],
    repeats: int,
    folder: Path | None,
    as_json: bool,
    say: Say,
    *,
    chunks: int = 64,
    searched: Sequence[int] = memory_search.CHUNKS,
    opened: int = 1_000_000,
) -> None:
    """Measure some parts, or all.

    Args:
        parts: some of PARTS.
        folder: on the disk that is measured; None: among the system's temporary files.
        chunks: of 7.3 MB, that are written and read back.
        searched: numbers of chunks that are searched.
        opened: chunks of the memory that is opened.

    Raises:
        ValueError: for an unknown part, or a number of repeats that makes no sense.
    """
    check_repeats(repeats)
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"--only {part}: must be some of {', '.join(PARTS)}")
    with TemporaryDirectory(prefix="longtake-bench-", dir=folder) as home:
        place = Path(home)
        sizes = memory_reads.Sizes(chunks=chunks)
        jobs: dict[str, Callable[[], list[Row]]] = {
            "codecs": lambda: memory_codecs.rows(repeats, say),
            "disk": lambda: memory_reads.rows(repeats, say, place, sizes),
            "search": lambda: memory_search.rows(repeats, say, searched),
            "stream": lambda: memory_cost.rows(model, repeats, opened, say),
        }
        found = [row for part in PARTS if part in parts for row in jobs[part]()]
        file_system = memory_reads.file_system(place)
    about = {
        "parts": ", ".join(part for part in PARTS if part in parts),
        "repeats": f"{repeats}, interleaved; medians",
        "threads": torch.get_num_threads(),
        "disk": f"{file_system}; files dropped from the cache before each cold read",
        "chunks": f"{sizes.layers} layers, {sizes.heads} key heads of {sizes.dim}, "
        f"{sizes.tokens} tokens, 16 bits: {sizes.nbytes / chunks / 1e6:.1f} MB, {chunks} of them",
        "model": f"{model.name} (part stream)",
    }
    show("memory", about, found, as_json)
