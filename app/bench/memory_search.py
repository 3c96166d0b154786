"""How long the memory's index takes to find the chunks nearest to a question.

The vectors are drawn: what a search costs depends on their number, and in two stages a little on
how far they lie apart.  All searches look through the same rows.

L layers, N chunks, W width of a search vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from longtake.bench.frame import Row, Say, compared, interleave, median, timed
from longtake.memory.blocks import MOST_ROWS, Blocks
from longtake.memory.chunk_numbers import Pick
from longtake.memory.exact_search import ExactSearch
from longtake.memory.faiss_search import FaissSearch
from longtake.memory.index import Search
from longtake.memory.staged_search import StagedSearch
from longtake.models.room import free_ram_bytes, gib

CHUNKS = (1_000, 10_000, 100_000)
LAYERS, WIDTH = 28, 512  # Qwen2.5-VL-7B: 4 key heads of 128
BEST = 8
_SEED = 5
_CLUSTER = 50  # chunks of one scene, which look alike
_NEAR = 0.3  # how far they lie from its middle, beside 1 from scene to scene
_ROOM = 1.4  # rows, codes, and some to work with


def rows(
    repeats: int,
    say: Say,
    chunks: Sequence[int] = CHUNKS,
    layers: int = LAYERS,
    width: int = WIDTH,
    k: int = BEST,
) -> list[Row]:
    """Search for the k best in all layers, exact, by FAISS, and in two stages.

    A number of chunks that does not fit into free memory is made smaller, which its rows say.

    Args:
        repeats: counted runs of each; the median is told.
        say: is told how far it is.

    Raises:
        ValueError: if there are no repeats.
        ImportError: if FAISS is not installed; the message names the extra.
    """
    found: list[Row] = []
    for wanted in chunks:
        count = _fitting(wanted, layers, width, say)
        found += _of_size(count, layers, width, k, repeats, say)
    return found


def _fitting(count: int, layers: int, width: int, say: Say) -> int:
    free, each = free_ram_bytes(), _ROOM * 4 * layers * width
    if free is None or count * each <= free:
        return count
    fewer = max(1, int(free / each))
    say(f"{count} chunks need {gib(int(count * each))}, {gib(free)} is free: {fewer} chunks")
    return fewer


def _of_size(count: int, layers: int, width: int, k: int, repeats: int, say: Say) -> list[Row]:
    generator = torch.Generator().manual_seed(_SEED)
    say(f"{count} chunks: drawing")
    blocks = _draw(count, layers, width, generator)
    searches: dict[str, Search] = {
        search.name: search for search in (ExactSearch(), FaissSearch(), StagedSearch())
    }
    say(f"{count} chunks: making codes")
    seconds = timed(partial(searches["staged"].prepare, blocks))
    query, pick = torch.randn(layers, width, generator=generator), Pick(0, count)

    def search(name: str) -> tuple[Tensor, Tensor]:
        return searches[name].best(blocks, slice(None), query, k, pick)

    jobs: dict[str, Callable[[], float]] = {
        name: partial(timed, partial(search, name)) for name in searches
    }
    measured = interleave(jobs, repeats, lambda text: say(f"{count} chunks, {text}"))
    exact = Row(f"{count} chunks, exact", 1e3 * median(measured["exact"]), "ms")
    found = [exact]
    for name in ("faiss", "staged"):
        value = 1e3 * median(measured[name])
        found.append(compared(f"{count} chunks, {name}", value, "ms", exact))
    recall = _recall(search("staged")[0], search("exact")[0])
    codes = sum(block.sketch.nbytes for block in blocks.all if block.sketch is not None)
    return [
        *found,
        Row(f"{count} chunks, staged, recall@{k}", recall, ""),
        Row(f"{count} chunks, staged, making its codes", 1e3 * seconds, "ms"),
        Row(f"{count} chunks, staged, codes", codes / 1e6, "MB"),
    ]


def _draw(count: int, layers: int, width: int, generator: torch.Generator) -> Blocks:
    """Scenes of some chunks that look alike, one after the other."""
    blocks = Blocks(layers, width)
    for begin in range(0, count, MOST_ROWS):
        some = min(MOST_ROWS, count - begin)
        vectors = torch.randn(layers, some, width, generator=generator).mul_(_NEAR)
        scenes = torch.randn(layers, -(-some // _CLUSTER), width, generator=generator)
        for n in range(some):
            vectors[:, n] += scenes[:, n // _CLUSTER]
        blocks.append(vectors)
    return blocks


def _recall(found: Tensor, expected: Tensor) -> float:
    """What part of the right chunks was found, over all layers."""
    pairs = zip(found.numpy(), expected.numpy(), strict=True)
    return float(np.mean([np.isin(right, one).mean() for one, right in pairs]))
