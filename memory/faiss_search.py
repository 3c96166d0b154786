"""The same search by FAISS, over the rows where they lie: nothing is copied.

FAISS is imported with the first search that is made.

l layers asked, k chunks wanted, n rows, W = H*D width of a search vector.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from longtake.memory.blocks import Blocks
from longtake.memory.chunk_numbers import Pick
from longtake.memory.exact_search import ExactSearch
from longtake.memory.ranking import order_of


class FaissSearch:
    """Looks at every row once and keeps the best on the way: faster than a product on one core.

    On the CPU; for rows on a device, and for a choice of chunks, `ExactSearch` is as good.  Scores
    may differ from its in the last bits, and so may the order of chunks whose scores differ by no
    more than that; of equal ones at the end any may be left out.

    Raises:
        ImportError: if FAISS is not installed; the message names the extra.
    """

    name = "faiss"
    is_staged = False

    def __init__(self) -> None:
        self._faiss = import_faiss("faiss")
        self._exact = ExactSearch()

    def prepare(self, blocks: Blocks) -> None:
        """Nothing is kept beside the rows."""

    def best(
        self, blocks: Blocks, layers: slice, query: Tensor, k: int, pick: Pick
    ) -> tuple[Tensor, Tensor]:
        """See `ExactSearch.best`."""
        if pick.at is not None or not k or blocks.device.type != "cpu":
            return self._exact.best(blocks, layers, query, k, pick)
        rows = floats(query)
        asked = range(blocks.layers)[layers]
        with one_thread(self._faiss):
            found = [
                self._of_layer(blocks, at, rows[i : i + 1], k, pick) for i, at in enumerate(asked)
            ]
        places = torch.stack([at for at, _ in found])
        scores = torch.stack([of for _, of in found])
        if bool((places < 0).any()):  # FAISS leaves out what is not a number
            return self._exact.best(blocks, layers, query, k, pick)
        order = order_of(places, scores)[:, :k]
        return places.gather(1, order), scores.gather(1, order)

    def _of_layer(
        self, blocks: Blocks, layer: int, query: Tensor, k: int, pick: Pick
    ) -> tuple[Tensor, Tensor]:
        """The k best of each block, ``[n]`` places, -1 for none, and their scores."""
        places, scores = [], []
        for cut in blocks.cuts(pick):
            rows = cut.block.rows[layer, cut.low : cut.high]
            most = min(k, len(rows))
            of, at = self._faiss.knn(
                query.numpy(), rows.numpy(), most, metric=self._faiss.METRIC_INNER_PRODUCT
            )
            here = torch.from_numpy(at[0])
            places.append(torch.where(here < 0, -1, here + cut.begin + cut.low))
            scores.append(torch.from_numpy(of[0]))
        return torch.cat(places), torch.cat(scores)


def import_faiss(index: str) -> Any:
    """Raises ImportError: names the extra, for the index of that name."""
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise ImportError(
            f"the index {index!r} needs FAISS: pip install 'longtake[cpu]'; "
            "or choose the index 'exact', which gives the same answers"
        ) from error


@contextmanager
def one_thread(faiss: Any) -> Iterator[None]:
    """A single query is bound by memory: FAISS's threads only wait for each other (28 layers of
    10,000 chunks on two busy cores: 0.4 s with two threads, 0.05 s with one)."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def floats(tensor: Tensor) -> Tensor:
    """float32 on the CPU, as FAISS reads it."""
    return tensor.detach().to("cpu", torch.float32).contiguous()
