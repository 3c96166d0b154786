"""Every index finds what a loop over all chunks finds, whatever was added and removed before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longtake.memory.auto_search import AutoSearch, Crossovers
from longtake.memory.base import Index
from longtake.memory.index import ChunkIndex, make_index, realign
from longtake.memory.ranking import best_of

NAMES = ["exact", "faiss", "staged", "auto"]
CLOSE = 1e-4  # float32 products of up to 12 numbers around 1, summed in any order


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def make(name: str, layers: int, width: int) -> Index:
    """An index that changes its search, if it is "auto", with 3 chunks and with 9."""
    row = 4 * layers * width
    if name == "auto":
        return ChunkIndex(AutoSearch(Crossovers(row * 2, row * 8)), layers, width)
    return make_index(name, layers, width)


def expected_scores(vectors: Tensor, query: Tensor) -> Tensor:
    """``[L, N, W]`` and ``[L, W]`` to ``[L, N]``, in float64, one product at a time."""
    layers, count, _ = vectors.shape
    found = torch.zeros(layers, count, dtype=torch.float64)
    for layer in range(layers):
        for n in range(count):
            found[layer, n] = (vectors[layer, n].double() * query[layer].double()).sum()
    return found


def check_search(
    index: Index,
    vectors: Tensor,
    numbers: list[int],
    query: Tensor,
    k: int,
    first: int,
    last: int | None,
    only: list[int] | None = None,
) -> None:
    """`index` finds the best in range, up to chunks whose scores are as good as equal."""
    chosen = None if only is None else torch.tensor(only, dtype=torch.int64)
    inside = [
        at
        for at, n in enumerate(numbers)
        if n >= first and (last is None or n < last) and (only is None or n in only)
    ]
    scores = expected_scores(vectors[:, inside], query)
    known = [numbers[at] for at in inside]
    assert index.numbers(first, last, chosen).tolist() == known
    dense = index.scores(query, first, last, chosen)
    torch.testing.assert_close(dense.double(), scores, atol=CLOSE, rtol=0)
    for layer in range(len(query)):
        one = index.layer_scores(layer, query[layer], first, last, chosen)
        torch.testing.assert_close(one.double(), scores[layer], atol=CLOSE, rtol=0)
    found, found_scores = index.search(query, k, first, last, chosen)
    count = min(k, len(known))
    assert found.shape == found_scores.shape == (len(query), count)
    assert found.dtype == torch.int64
    best = scores.sort(dim=1, descending=True).values[:, :count]
    for layer in range(len(query)):
        row = found[layer].tolist()
        assert len(set(row)) == count
        assert set(row) <= set(known)
        true = torch.stack([scores[layer, known.index(n)] for n in row]) if row else best[layer]
        assert (true - best[layer]).abs().le(CLOSE).all()
        assert (found_scores[layer].double() - true).abs().le(CLOSE).all()
        alone, alone_scores = index.layer_search(layer, query[layer], k, first, last, chosen)
        assert alone.shape == alone_scores.shape == (count,)
        torch.testing.assert_close(alone_scores.double(), best[layer], atol=CLOSE, rtol=0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_index_finds_what_a_loop_finds(data: st.DataObject) -> None:
    layers, width = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 12))
    numbers = sorted(data.draw(st.sets(st.integers(0, 60), max_size=40)))
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 1 << 30)))
    vectors = torch.randn(layers, len(numbers), width, generator=random)
    query = torch.randn(layers, width, generator=random)
    k = data.draw(st.integers(0, 45))
    first = data.draw(st.integers(0, 65))
    last = data.draw(st.none() | st.integers(0, 65))
    only = data.draw(st.none() | st.sets(st.integers(0, 65), max_size=65))
    split = data.draw(st.integers(0, len(numbers)))
    for name in NAMES:
        index = make(name, layers, width)
        index.extend(numbers[:split], vectors[:, :split])
        for at in range(split, len(numbers)):
            index.add(numbers[at], vectors[:, at])
        assert len(index) == len(numbers)
        chosen = None if only is None else sorted(only)
        check_search(index, vectors, numbers, query, k, first, last, chosen)


@settings(max_examples=40, deadline=None)
@given(
    scores=st.lists(
        st.lists(st.sampled_from([-1.0, 0.0, 0.5, float("-inf")]), min_size=9, max_size=9),
        min_size=1,
        max_size=3,
    ),
    k=st.integers(0, 12),
)
def test_of_equal_scores_the_oldest_win(scores: list[list[float]], k: int) -> None:
    expected = [
        sorted(range(9), key=lambda at, row=row: (-row[at], at))[:k]  # type: ignore[misc]
        for row in scores
    ]
    assert best_of(torch.tensor(scores), k).tolist() == expected


def test_a_score_that_is_not_a_number_is_the_worst() -> None:
    scores = torch.tensor([[float("nan"), 1.0, float("nan"), 2.0, float("-inf")]])
    assert best_of(scores, 2).tolist() == [[3, 1]]
    assert best_of(scores, 5).tolist()[0][:2] == [3, 1]


@pytest.mark.parametrize("name", NAMES)
def test_equal_chunks_come_oldest_first(name: str) -> None:
    index = make(name, 1, 2)
    index.extend([3, 5, 8, 9], torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]]))
    numbers, scores = index.search(torch.tensor([[1.0, 0.0]]), 4)
    assert numbers.tolist() == [[3, 8, 5, 9]]
    assert scores.tolist() == [[1.0, 1.0, 0.0, 0.0]]


@pytest.mark.parametrize("name", NAMES)
def test_a_chunk_that_is_not_a_number_is_the_worst_and_hides_no_other(name: str) -> None:
    vectors = torch.ones(1, 600, 2) * torch.arange(600)[None, :, None]
    vectors[0, 7] = float("nan")
    vectors[0, 599] = float("inf")
    index = make(name, 1, 2)
    index.extend(range(600), vectors)
    found, _ = index.search(torch.ones(1, 2), 600)
    assert found[0, :4].tolist() == [599, 598, 597, 596]
    assert found[0, -1] == 7
    assert index.search(torch.ones(1, 2), 3)[0].tolist() == [[599, 598, 597]]


# -------------------------------------------------------------------- removal


@pytest.mark.parametrize("name", NAMES)
def test_what_was_removed_is_not_found_and_the_rest_is(name: str) -> None:
    vectors, query = torch.randn(2, 50, 6), torch.randn(2, 6)
    index = make(name, 2, 6)
    index.extend(range(50), vectors)
    gone = [77, 0, 31, 8, 7, 49]
    index.remove(gone)
    kept = [n for n in range(50) if n not in gone]
    assert len(index) == len(kept)
    check_search(index, vectors[:, kept], kept, query, 9, 0, None)
    check_search(index, vectors[:, kept], kept, query, 9, 8, 32)
    more = torch.randn(2, 6)
    index.add(50, more)
    grown = torch.cat((vectors[:, kept], more[:, None]), 1)
    check_search(index, grown, [*kept, 50], query, 60, 0, None)
    index.remove(range(60))
    assert len(index) == 0
    assert index.search(query, 3)[0].shape == (2, 0)
    index.add(60, more)
    check_search(index, more[:, None], [60], query, 3, 0, None)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_an_index_that_lived_equals_one_made_anew(data: st.DataObject) -> None:
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 1 << 30)))
    name = data.draw(st.sampled_from(NAMES))
    lived = make(name, 2, 5)
    numbers: list[int] = []
    rows = torch.empty(2, 0, 5)
    newest = 0
    for _ in range(data.draw(st.integers(1, 8))):
        if data.draw(st.booleans()) or not numbers:
            count = data.draw(st.sampled_from([1, 3, 60, 150, 400]))
            new = list(range(newest, newest + 2 * count, 2))
            newest = new[-1] + 1
            vectors = torch.randn(2, count, 5, generator=random)
            lived.extend(new, vectors)
            numbers, rows = numbers + new, torch.cat((rows, vectors), 1)
        else:
            low = data.draw(st.integers(0, len(numbers) - 1))
            step = data.draw(st.integers(1, 3))
            gone = set(numbers[low : low + data.draw(st.integers(1, 300)) : step])
            lived.remove(list(gone))
            kept = [at for at, number in enumerate(numbers) if number not in gone]
            numbers, rows = [numbers[at] for at in kept], rows[:, kept]
    new_one = make(name, 2, 5)
    new_one.extend(numbers, rows)
    assert lived.numbers().tolist() == new_one.numbers().tolist() == numbers
    query = torch.randn(2, 5, generator=random)
    torch.testing.assert_close(lived.scores(query), new_one.scores(query), atol=CLOSE, rtol=0)
    found, expected = lived.search(query, 12), new_one.search(query, 12)
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], atol=CLOSE, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_vectors_that_were_removed_are_nowhere_in_its_memory(name: str) -> None:
    index = make_index(name, 1, 4)
    index.extend(range(300), torch.randn(1, 300, 4))
    index.add(300, torch.full((1, 4), 1234.5))
    index.extend(range(301, 600), torch.randn(1, 299, 4))
    index.remove([300, *range(590, 600)])
    assert isinstance(index, ChunkIndex)
    for block in index._blocks.all:
        assert not (block.rows == 1234.5).any()
        assert not block.rows[:, block.count :].any() or block is index._blocks.all[-1]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_realigned_with_the_records(name: str) -> None:
    vectors, query = torch.randn(2, 400, 3), torch.randn(2, 3)
    asked: list[int] = []

    def read(first: int, last: int | None) -> tuple[Tensor, Tensor]:
        asked.append(first)
        here = [n for n in recorded if n >= first and (last is None or n < last)]
        return torch.tensor(here, dtype=torch.int64), vectors[:, here]

    index = make_index(name, 2, 3)
    steps: list[tuple[list[int], list[int], bool]] = [
        (list(range(0, 300)), [0], True),  # from nothing
        (list(range(0, 300)), [], False),  # nothing to do
        (list(range(50, 300)), [], True),  # the oldest went
        ([*range(50, 100), *range(200, 350)], [300], True),  # some went, some came
        ([20, *range(50, 100), *range(200, 350)], [20], True),  # one came back: all anew
        ([], [], True),
        ([5, 7], [5], True),
    ]
    for recorded, expected_reads, is_changed in steps:
        asked.clear()
        assert realign(index, recorded, read) is is_changed
        assert asked == expected_reads
        assert index.numbers().tolist() == recorded
        check_search(index, vectors[:, recorded], recorded, query, 5, 0, None)


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", NAMES)
def test_wrong_shapes_and_numbers_are_refused_and_change_nothing(name: str) -> None:
    index = make(name, 2, 6)
    index.extend([1, 4, 6], torch.randn(2, 3, 6))
    query = torch.randn(2, 6)
    wrong: list[Callable[[], object]] = [
        lambda: index.add(6, torch.randn(2, 6)),
        lambda: index.add(5, torch.randn(2, 6)),
        lambda: index.add(7, torch.randn(2, 5)),
        lambda: index.add(7, torch.randn(3, 6)),
        lambda: index.extend([7, 9, 8], torch.randn(2, 3, 6)),
        lambda: index.extend([7], torch.randn(2, 2, 6)),
        lambda: index.search(torch.randn(2, 5), 1),
        lambda: index.search(query, -1),
        lambda: index.layer_search(0, query[0], -1),
        lambda: index.layer_search(0, torch.randn(5), 1),
        lambda: index.layer_search(2, query[0], 1),
        lambda: index.layer_scores(-1, query[0]),
        lambda: index.scores(torch.randn(1, 6)),
        lambda: index.scores(query, only=torch.tensor([4, 1])),
        lambda: index.search(query, 1, only=torch.tensor([4, 4])),
        lambda: index.numbers(only=torch.tensor([True, False, True])),
    ]
    for call in wrong:
        with pytest.raises(
            ValueError,
            match=r"expected \[|must increase|k=-1|layer=.*there are 2|must be int64 \[n\]",
        ):
            call()
    assert index.numbers().tolist() == [1, 4, 6]
    with pytest.raises(ValueError, match="must be positive"):
        make_index(name, 0, 6)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_index_finds_nothing(name: str) -> None:
    index = make_index(name, 2, 3)
    numbers, scores = index.search(torch.randn(2, 3), 4)
    assert numbers.shape == scores.shape == (2, 0)
    assert index.scores(torch.randn(2, 3)).shape == (2, 0)
    assert index.layer_search(1, torch.randn(3), 4)[0].shape == (0,)
    assert index.nbytes == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_may_grow_and_shrink_inside_and_outside_of_inference_mode(name: str) -> None:
    index = make_index(name, 1, 2)
    with torch.inference_mode():
        index.add(0, torch.ones(1, 2))
    index.add(1, torch.ones(1, 2) * 2)
    with torch.inference_mode():
        index.extend(range(2, 200), torch.zeros(1, 198, 2))
        index.remove([5])
    index.remove([6])
    index.extend(range(200, 700), torch.zeros(1, 500, 2))
    index.add(700, torch.ones(1, 2) * 3)
    with torch.inference_mode():
        assert index.search(torch.ones(1, 2), 3)[0].tolist() == [[700, 1, 0]]
    assert index.search(torch.ones(1, 2), 3)[0].tolist() == [[700, 1, 0]]


# -------------------------------------------------------------------- which search


def test_auto_changes_its_search_with_its_bytes_and_goes_back_at_half() -> None:
    index = ChunkIndex(AutoSearch(Crossovers(20 * 8, 400 * 8)), 1, 2)
    index.extend(range(20), torch.randn(1, 20, 2))
    assert "auto: exact" in repr(index)
    index.extend(range(20, 400), torch.randn(1, 380, 2))
    assert "auto: faiss" in repr(index)
    assert not index.is_staged
    index.add(400, torch.randn(1, 2))
    assert "auto: staged" in repr(index)
    assert index.is_staged
    assert any(block.sketch is not None for block in index._blocks.all)
    index.remove(range(200))
    assert "auto: staged" in repr(index)
    index.remove(range(202))
    assert "auto: faiss" in repr(index)
    assert all(block.sketch is None for block in index._blocks.all)
    index.clear()
    assert "auto: exact" in repr(index)


def test_auto_stays_exact_where_faiss_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtake.memory.auto_search.find_spec", lambda name: None)
    index = ChunkIndex(AutoSearch(Crossovers(8, 16)), 1, 2)
    index.extend([0, 1, 2], torch.randn(1, 3, 2))
    assert "auto: exact" in repr(index)


@pytest.mark.parametrize("name", ["faiss", "staged"])
def test_without_faiss_the_error_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=rf"{name}.*pip install 'longtake\[cpu\]'"):
        make_index(name, 1, 2)


def test_an_unknown_index_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="'annoy' is not known; there is auto, exact, faiss, staged"
    ):
        make_index("annoy", 1, 2)


def test_importing_the_room_does_not_import_faiss() -> None:
    code = (
        "import sys, longtake.memory, longtake.memory.index, longtake.memory.store;"
        "sys.exit('faiss' in sys.modules)"
    )
    from tests.test_memory_crash import ROOT

    start = f"import runpy; runpy.run_path({str(ROOT / 'tests' / 'conftest.py')!r});"
    assert subprocess.run([sys.executable, "-c", start + code], check=False).returncode == 0
