"""Methods that shorten a chunk are held to their word, and what they leave can be kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from longtake.memory.chunk import Chunk
from longtake.memory.config import MemoryConfig
from longtake.memory.store import Store
from longtake.memory.thinning import thin
from tests.chunks import MODEL, assert_same, make_chunk, vectors_of


def taken(chunk: Chunk, places: torch.Tensor, weights: torch.Tensor) -> Chunk:
    positions = chunk.positions[:, places]
    return Chunk(
        replace(chunk.info, tokens=len(places)),
        chunk.keys[:, :, places],
        chunk.values[:, :, places],
        positions - positions.amin(1, keepdim=True),
        weights,
    )


class Dropping:
    """Every n-th token stands for its neighbours."""

    name = "dropping"

    def thin(self, chunk: Chunk, tokens: int) -> Chunk:
        places = torch.linspace(0, chunk.tokens - 1, tokens).long()
        old = torch.ones(chunk.tokens) if chunk.weights is None else chunk.weights
        stands = torch.searchsorted(places, torch.arange(chunk.tokens), right=True) - 1
        return taken(chunk, places, torch.zeros(tokens).index_add(0, stands, old))


class Merging:
    """Neighbours become their mean."""

    name = "merging"

    def thin(self, chunk: Chunk, tokens: int) -> Chunk:
        groups = torch.arange(chunk.tokens) * tokens // chunk.tokens
        first = torch.searchsorted(groups, torch.arange(tokens))
        old = torch.ones(chunk.tokens) if chunk.weights is None else chunk.weights
        weights = torch.zeros(tokens).index_add(0, groups, old)
        short = taken(chunk, first, weights)
        each = old / weights[groups]
        keys, values = (
            torch.zeros_like(to).index_add(2, groups, of * each[:, None])
            for to, of in ((short.keys, chunk.keys), (short.values, chunk.values))
        )
        return Chunk(short.info, keys, values, short.positions, weights)


@pytest.mark.parametrize("method", [Dropping(), Merging()])
@pytest.mark.parametrize("axes", [1, 3])
def test_what_is_left_weighs_what_there_was_and_is_kept(
    tmp_path: Path, method: Dropping | Merging, axes: int
) -> None:
    plain = make_chunk(0, tokens=30, axes=axes)
    plain = Chunk(plain.info, torch.randn(2, 2, 30, 4), torch.randn(2, 2, 30, 4), plain.positions)
    once = thin(method, plain, 12)
    twice = thin(method, once, 5)
    for chunk, tokens in ((once, 12), (twice, 5)):
        assert chunk.tokens == tokens
        assert chunk.weights is not None and float(chunk.weights.sum()) == pytest.approx(30.0)
    assert thin(method, twice, 5) is twice
    with Store.open(tmp_path, **MODEL) as store:
        store.put(twice, vectors_of(twice))
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(ram_bytes=0)) as store:
        assert_same(store.read(0), twice)


def spoil(change: Callable[[Chunk], Chunk]) -> Dropping:
    class Spoiled(Dropping):
        def thin(self, chunk: Chunk, tokens: int) -> Chunk:
            return change(super().thin(chunk, tokens))

    return Spoiled()


def longer(chunk: Chunk) -> Chunk:
    both = torch.cat((torch.arange(chunk.tokens), torch.arange(chunk.tokens)))
    return taken(chunk, both, torch.ones(len(both)))


def heavier(chunk: Chunk) -> Chunk:
    assert chunk.weights is not None
    return replace(chunk, weights=chunk.weights * 1.1)


def unordered(chunk: Chunk) -> Chunk:
    return replace(chunk, positions=chunk.positions.flip(1))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (longer, "at most 4 tokens"),
        (lambda chunk: replace(chunk, info=replace(chunk.info, number=9)), "the same chunk"),
        (lambda chunk: replace(chunk, keys=chunk.keys[:1], values=chunk.values[:1]), "must stay"),
        (heavier, "sum must stay 9"),
        (lambda chunk: replace(chunk, weights=None), "sum must stay 9"),
        (unordered, "in their order"),
    ],
)
def test_a_method_that_breaks_its_word_is_refused(
    change: Callable[[Chunk], Chunk], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        thin(spoil(change), make_chunk(0, tokens=9), 4)
    with pytest.raises(ValueError, match="at least 1"):
        thin(Dropping(), make_chunk(0), 0)
