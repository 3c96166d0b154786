"""FAISS and exact search agree; both find what a loop over all chunks finds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longtake.memory import index as index_module
from longtake.memory.base import Index
from longtake.memory.index import AutoIndex, ExactIndex, FaissIndex, best_of, make_index

NAMES = ["exact", "faiss", "auto"]
CLOSE = 1e-4  # float32 products of up to 12 numbers around 1, summed in any order


def make(name: str, layers: int, width: int) -> Index:
    """An index that has moved to FAISS, if it is "auto", as soon as it holds 3 chunks."""
    if name == "auto":
        return AutoIndex(layers, width, crossover_chunks=2)
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
) -> None:
    """`index` finds the best in range, up to chunks whose scores are as good as equal."""
    inside = [at for at, n in enumerate(numbers) if n >= first and (last is None or n < last)]
    scores = expected_scores(vectors[:, inside], query)
    known = [numbers[at] for at in inside]
    assert index.numbers(first, last).tolist() == known
    assert (
        (index.scores(query, first, last).double() - scores).abs().max().item() < CLOSE
        if inside
        else index.scores(query, first, last).shape == (len(query), 0)
    )
    found, found_scores = index.search(query, k, first, last)
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
    split = data.draw(st.integers(0, len(numbers)))
    for name in NAMES:
        index = make(name, layers, width)
        index.extend(numbers[:split], vectors[:, :split])
        for at in range(split, len(numbers)):
            index.add(numbers[at], vectors[:, at])
        assert len(index) == len(numbers)
        check_search(index, vectors, numbers, query, k, first, last)


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
def test_what_was_removed_is_not_found_and_the_rest_is(name: str) -> None:
    vectors, query = torch.randn(2, 50, 6), torch.randn(2, 6)
    index = make(name, 2, 6)
    index.extend(range(50), vectors)
    gone = [0, 7, 8, 31, 49, 77]
    index.remove(gone)
    kept = [n for n in range(50) if n not in gone]
    assert len(index) == len(kept)
    check_search(index, vectors[:, kept], kept, query, 9, 0, None)
    check_search(index, vectors[:, kept], kept, query, 9, 8, 32)
    more = torch.randn(2, 6)
    index.add(50, more)
    grown = torch.cat((vectors[:, kept], more[:, None]), 1)
    check_search(index, grown, [*kept, 50], query, 60, 0, None)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_shapes_and_numbers_are_refused_and_change_nothing(name: str) -> None:
    index = make(name, 2, 6)
    index.extend([1, 4, 6], torch.randn(2, 3, 6))
    wrong: list[Callable[[], object]] = [
        lambda: index.add(6, torch.randn(2, 6)),
        lambda: index.add(5, torch.randn(2, 6)),
        lambda: index.add(7, torch.randn(2, 5)),
        lambda: index.add(7, torch.randn(3, 6)),
        lambda: index.extend([7, 9, 8], torch.randn(2, 3, 6)),
        lambda: index.extend([7], torch.randn(2, 2, 6)),
        lambda: index.search(torch.randn(2, 5), 1),
        lambda: index.search(torch.randn(2, 6), -1),
        lambda: index.scores(torch.randn(1, 6)),
    ]
    for call in wrong:
        with pytest.raises(ValueError, match=r"expected \[2|must increase|k=-1"):
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


@pytest.mark.parametrize("name", NAMES)
def test_it_may_grow_inside_and_outside_of_inference_mode(name: str) -> None:
    index = make(name, 1, 2)
    with torch.inference_mode():
        index.add(0, torch.ones(1, 2))
    index.add(1, torch.ones(1, 2) * 2)
    with torch.inference_mode():
        index.extend(range(2, 200), torch.zeros(1, 198, 2))
    index.add(200, torch.ones(1, 2) * 3)
    assert index.search(torch.ones(1, 2), 3)[0].tolist() == [[200, 1, 0]]


def test_auto_moves_to_faiss_once_it_is_large() -> None:
    index = AutoIndex(1, 2, crossover_chunks=3)
    index.extend([0, 1, 2], torch.randn(1, 3, 2))
    assert "ExactIndex" in repr(index)
    index.add(3, torch.randn(1, 2))
    assert "FaissIndex(4" in repr(index)


def test_auto_stays_exact_where_faiss_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "find_spec", lambda name: None)
    index = AutoIndex(1, 2, crossover_chunks=1)
    index.extend([0, 1, 2], torch.randn(1, 3, 2))
    assert "ExactIndex" in repr(index)


def test_without_faiss_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install 'longtake\[cpu\]'"):
        make_index("faiss", 1, 2)


def test_an_unknown_index_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'annoy' is not known; there is auto, exact, faiss"):
        make_index("annoy", 1, 2)


def test_the_bytes_of_an_index_are_its_vectors() -> None:
    exact, faiss = ExactIndex(2, 3), FaissIndex(2, 3)
    for index in (exact, faiss):
        index.extend(range(100), torch.randn(2, 100, 3))
    assert faiss.nbytes == 100 * 2 * 3 * 4
    assert faiss.nbytes <= exact.nbytes <= 2 * faiss.nbytes


def test_importing_the_room_does_not_import_faiss() -> None:
    code = (
        "import sys, longtake.memory, longtake.memory.index, longtake.memory.store;"
        "sys.exit('faiss' in sys.modules)"
    )
    from tests.test_memory_crash import ROOT

    start = f"import runpy; runpy.run_path({str(ROOT / 'tests' / 'conftest.py')!r});"
    assert subprocess.run([sys.executable, "-c", start + code], check=False).returncode == 0
