"""Two stages find exactly what one finds, whatever the vectors are like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake.memory import staged_search
from longtake.memory.blocks import Block, Blocks
from longtake.memory.chunk_numbers import Pick
from longtake.memory.exact_search import ExactSearch
from longtake.memory.index import ChunkIndex, make_index
from longtake.memory.scout import Scout
from longtake.memory.staged_search import StagedSearch

LAYERS, CHUNKS, WIDTH = 2, 6000, 48
ROUNDING = 2e-6  # of the greatest score: float32 sums of 48 numbers in another order


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def random_rows(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


def vectors_of(kind: str) -> tuple[Tensor, Tensor]:
    """``[L, N, W]`` and a query ``[L, W]`` that is not easy to answer."""
    g = torch.Generator().manual_seed(7)
    rows, query = random_rows(g, LAYERS, CHUNKS, WIDTH), random_rows(g, LAYERS, WIDTH)
    if kind == "random":
        return rows, query
    if kind == "clustered":
        centres = random_rows(g, 60, WIDTH)
        at = torch.randint(60, (LAYERS, CHUNKS), generator=g)
        return centres[at] + 0.15 * rows, centres[:LAYERS] + 0.3 * query
    if kind == "all but equal":
        return random_rows(g, 1, 1, WIDTH) + 1e-4 * rows, query
    if kind == "slowly moving":
        return (0.05 * rows).cumsum(1), query
    if kind == "with a bias":
        bias = random_rows(g, WIDTH)
        bias[:3] = 100.0
        return 0.5 * rows + bias, query
    if kind == "with outliers":
        rows[:, CHUNKS // 2 :: 97] *= 1000
        return rows, query
    if kind == "equal":
        return rows[:, :7][:, torch.randint(7, (CHUNKS,), generator=g)], query
    assert kind == "constant channels"
    rows[..., ::2] = 3.0
    return rows, query


KINDS = [
    "random",
    "clustered",
    "all but equal",
    "slowly moving",
    "with a bias",
    "with outliers",
    "equal",
    "constant channels",
]


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest) -> tuple[Blocks, Tensor]:
    """Blocks with codes, as they come to be a chunk at a time, and the query."""
    rows, query = vectors_of(request.param)
    blocks, search = Blocks(LAYERS, WIDTH), StagedSearch()
    for n in range(0, 700):
        blocks.append(rows[:, n : n + 1])
        search.prepare(blocks)
    blocks.append(rows[:, 700:])
    search.prepare(blocks)
    return blocks, query


@pytest.mark.parametrize("k", [1, 8, 64, 700])
def test_two_stages_find_what_one_finds(both: tuple[Blocks, Tensor], k: int) -> None:
    blocks, query = both
    every = np.arange(0, CHUNKS, 3)
    for pick in (Pick(0, CHUNKS), Pick(100, 4711), Pick(50, CHUNKS, every[every >= 50])):
        expected = ExactSearch().best(blocks, slice(None), query, k, pick)
        places, scores = StagedSearch().best(blocks, slice(None), query, k, pick)
        near = ROUNDING * float(expected[1].abs().max()) + 1e-6
        torch.testing.assert_close(scores, expected[1], atol=near, rtol=0)
        dense = blocks.scores(slice(None), query, Pick(0, CHUNKS))
        torch.testing.assert_close(dense.gather(1, places), scores, atol=near, rtol=0)
        for row in places:
            assert len(row.unique()) == k
            assert bool(((row >= pick.low) & (row < pick.high)).all())
            assert pick.at is None or bool((row % 3 == 0).all())


@pytest.mark.parametrize("kind", ["random", "clustered", "slowly moving"])
def test_nearly_all_of_the_best_are_the_same_chunks(kind: str) -> None:
    rows, _ = vectors_of(kind)
    exact, staged = make_index("exact", LAYERS, WIDTH), make_index("staged", LAYERS, WIDTH)
    for index in (exact, staged):
        index.extend(range(CHUNKS), rows)
    same = asked = 0
    g = torch.Generator().manual_seed(3)
    for _ in range(40):
        query = random_rows(g, LAYERS, WIDTH)
        found, expected = staged.search(query, 64)[0], exact.search(query, 64)[0]
        for one, other in zip(found.tolist(), expected.tolist(), strict=True):
            same, asked = same + len(set(one) & set(other)), asked + 64
    assert same / asked >= 0.999


def test_of_equal_chunks_the_oldest_are_found() -> None:
    rows, query = vectors_of("equal")
    index = make_index("staged", LAYERS, WIDTH)
    index.extend(range(CHUNKS), rows)
    found, _ = index.search(query, 30)
    for layer in range(LAYERS):
        best = rows[layer, int(found[layer, 0])]
        alike = (rows[layer] == best).all(1).nonzero()[:30, 0]
        assert found[layer].tolist() == alike.tolist()


def test_a_first_look_reads_codes_and_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, query = vectors_of("random")
    index = make_index("staged", LAYERS, WIDTH)
    index.extend(range(CHUNKS), rows)
    read: list[int] = []
    plain = staged_search._Part.score

    def counted(part: object, i: int, rows: np.ndarray, query: Tensor) -> np.ndarray:
        read.append(len(rows))
        return plain(part, i, rows, query)  # type: ignore[arg-type]

    monkeypatch.setattr(staged_search._Part, "score", counted)
    index.search(query, 8)
    assert 8 * LAYERS <= sum(read) < 0.02 * CHUNKS * LAYERS


@pytest.mark.parametrize("kind", KINDS)
def test_no_score_by_codes_is_further_off_than_it_says(kind: str) -> None:
    rows, query = vectors_of(kind)
    scout = Scout(rows[:, :1000])
    scout.add(rows[:, 1000:1500])
    aim = scout.aim(slice(None), query)
    true = torch.einsum("lnw,lw->ln", rows[:, :1500].double(), query.double()).numpy()
    for layer in range(LAYERS):
        places, guesses = aim.best(layer, 1500, 0, 1500, None)
        assert sorted(places) == list(range(1500))
        off = np.abs(guesses - true[layer, places]).max()
        assert off <= aim.errors[layer]
        least = float(np.median(guesses))
        above = aim.above(layer, least, 0, 1500, None)
        assert set(places[guesses > least]) <= set(above)
        some = np.array([3, 700, 1499])
        assert set(aim.best(layer, 3, 0, 1500, some)[0]) == {3, 700, 1499}


def test_the_error_of_codes_is_small_where_rows_stay_in_their_range() -> None:
    rows, query = vectors_of("random")
    errors = Scout(rows).aim(slice(None), query).errors
    scores = torch.einsum("lnw,lw->ln", rows, query)
    assert (errors < 0.25 * scores.std(1).numpy()).all()


def test_blocks_that_become_one_keep_their_codes_and_their_chunks() -> None:
    rows, query = vectors_of("random")
    index = make_index("staged", LAYERS, WIDTH)
    for n in range(0, 1024, 64):
        index.extend(range(n, n + 64), rows[:, n : n + 64])
    assert isinstance(index, ChunkIndex)
    before = len(index._blocks.all)
    kept = [n for n in range(1024) if n % 4 == 1]
    index.remove([n for n in range(1024) if n % 4 != 1])
    assert len(index._blocks.all) < before
    assert any(block.sketch is not None for block in index._blocks.all)
    anew = make_index("exact", LAYERS, WIDTH)
    anew.extend(kept, rows[:, kept])
    assert torch.equal(index.search(query, 40)[0], anew.search(query, 40)[0])


def test_codes_are_made_anew_where_rows_outgrow_them() -> None:
    block = Block(torch.empty(1, 1024, 4))
    small = torch.rand(1, 512, 4, generator=torch.Generator().manual_seed(0))
    block.rows[:, :512], block.count = small, 512
    staged_search._cover(block)
    first = block.sketch
    assert isinstance(first, Scout)
    block.rows[:, 512:800], block.count = small[:, :288], 800
    staged_search._cover(block)
    assert block.sketch is first
    assert first.count == 800
    block.rows[:, 800:], block.count = 1000 * small[:, :224], 1024
    staged_search._cover(block)
    assert isinstance(block.sketch, Scout)
    assert block.sketch is not first
    assert block.sketch.count == 1024
    assert not block.sketch.is_outgrown


def test_products_that_overflow_are_left_to_the_exact_search() -> None:
    rows = torch.ones(1, 600, 4) * torch.linspace(-1, 1, 600)[:, None] * 3e38
    index = make_index("staged", 1, 4)
    index.extend(range(600), rows)
    numbers, scores = index.search(torch.full((1, 4), 0.1), 3)
    assert numbers.tolist() == [[599, 598, 597]]
    assert scores[0, 0] == pytest.approx(4 * 3e37, rel=1e-5)
    rows /= 3e20
    rows[:, ::2, 0] *= -1  # products of both signs that are infinite: not a number
    index.clear()
    index.extend(range(600), rows)
    numbers, scores = index.search(torch.full((1, 4), 1e22), 600)
    assert sorted(numbers[0].tolist()) == list(range(600))
    assert scores.isnan().any()
    assert index.search(torch.full((1, 4), float("inf")), 2)[1].tolist() == [[float("inf")] * 2]


def test_its_bytes_are_rows_and_a_quarter_for_codes() -> None:
    exact, staged = make_index("exact", 2, 64), make_index("staged", 2, 64)
    for index in (exact, staged):
        index.extend(range(4096), torch.randn(2, 4096, 64))
    codes = 4096 * 2 * 64
    assert isinstance(staged, ChunkIndex)
    assert exact.nbytes == 4 * codes
    assert 5 * codes <= staged.nbytes < 5.01 * codes
