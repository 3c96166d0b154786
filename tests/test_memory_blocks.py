"""Blocks of rows never move, keep within their bound, and give back what was put in."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.memory.blocks import MOST_ROWS, Block, Blocks
from longtake.memory.chunk_numbers import Pick
from longtake.memory.exact_search import ExactSearch
from longtake.memory.index import ChunkIndex, make_index


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def rows_in(blocks: Blocks) -> torch.Tensor:
    """``[L, N, W]``."""
    return torch.cat([block.rows[:, : block.count] for block in blocks.all], 1)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_what_is_kept_comes_back_in_order(data: st.DataObject) -> None:
    blocks, held = Blocks(2, 3), torch.empty(2, 0, 3)
    for _ in range(data.draw(st.integers(1, 8))):
        if data.draw(st.booleans()) or not held.shape[1]:
            new = torch.randn(2, data.draw(st.sampled_from([1, 2, 64, 65, 200])), 3)
            blocks.append(new)
            held = torch.cat((held, new), 1)
        else:
            count = held.shape[1]
            gone = sorted(data.draw(st.sets(st.integers(0, count - 1), max_size=count)))
            blocks.remove(torch.tensor(gone, dtype=torch.int64).numpy())
            held = held[:, [n for n in range(count) if n not in set(gone)]]
    assert len(blocks) == held.shape[1] <= blocks.capacity
    if held.shape[1]:
        assert torch.equal(rows_in(blocks), held)
        low, high = 0, held.shape[1]
        query = torch.randn(2, 3)
        torch.testing.assert_close(
            blocks.scores(slice(None), query, Pick(low, high)),
            torch.einsum("lnw,lw->ln", held, query),
        )


def test_growing_copies_nothing() -> None:
    blocks = Blocks(1, 2)
    places: dict[int, int] = {}
    for n in range(3000):
        blocks.append(torch.full((1, 1, 2), float(n)))
        for i, block in enumerate(blocks.all):
            assert places.setdefault(i, block.rows.data_ptr()) == block.rows.data_ptr()
    assert len(blocks) <= blocks.capacity <= 2 * len(blocks)


def test_no_block_is_larger_than_the_largest() -> None:
    blocks = Blocks(1, 1)
    blocks.append(torch.zeros(1, 3 * MOST_ROWS + 1, 1))
    assert max(block.rows.shape[1] for block in blocks.all) == MOST_ROWS
    assert blocks.capacity <= 4 * MOST_ROWS


def test_old_rows_that_go_one_by_one_give_their_room_back() -> None:
    blocks = Blocks(1, 1)
    most = 0
    for n in range(2000):
        blocks.append(torch.full((1, 1, 1), float(n)))
        if n >= 300:
            blocks.remove(torch.tensor([0]).numpy())
            most = max(most, blocks.capacity)
    assert rows_in(blocks)[0, :, 0].tolist() == list(range(1700, 2000))
    assert most <= 4 * 300


@pytest.mark.parametrize("at_once", [1, 7, 40])
def test_the_bound_on_a_device_is_kept_while_growing(
    at_once: int, caplog: pytest.LogCaptureFixture
) -> None:
    row = 2 * 3 * 4
    bound = 150 * row + 5
    index = ChunkIndex(ExactSearch(), 2, 3, "cpu", bound)
    rows = torch.randn(2, 400, 3)
    with caplog.at_level(logging.INFO, logger="longtake"):
        for n in range(0, 150 - at_once, at_once):
            index.extend(range(n, n + at_once), rows[:, n : n + at_once])
            assert index.nbytes <= bound
        assert not caplog.records
        begin = len(index)
        for n in range(begin, 400):
            index.add(n, rows[:, n])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert f"index_device_bytes={bound}" in messages[0]
    assert 150 - at_once <= int(messages[0].split(" chunks")[0].split()[-1]) <= 150
    assert index.nbytes > bound
    assert torch.equal(rows_in(index._blocks), rows)


def test_an_index_that_is_too_large_at_once_never_begins_on_the_device() -> None:
    bound = 100 * 4
    blocks = Blocks(1, 1, "cpu", bound)
    blocks.append(torch.arange(500.0).view(1, 500, 1))
    assert rows_in(blocks)[0, :, 0].tolist() == list(range(500))
    assert [block.rows.shape[1] for block in blocks.all] == [500]


def test_a_row_that_fits_nowhere_on_the_device_goes_to_ram() -> None:
    blocks = Blocks(4, 8, "cpu", 1)
    blocks.append(torch.ones(4, 1, 8))
    assert len(blocks) == 1


def test_a_refused_allocation_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    index = make_index("exact", 1, 2)
    index.extend(range(64), torch.ones(1, 64, 2))
    plain = torch.empty

    def refuse(*sizes: int, **how: object) -> torch.Tensor:
        if sizes == (1, 64, 2):
            raise RuntimeError("out of memory")
        return plain(*sizes, **how)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(torch, "empty", refuse)
    with pytest.raises(RuntimeError, match="out of memory"):
        index.add(64, torch.ones(1, 2))
    monkeypatch.undo()
    assert len(index) == 64
    index.add(64, torch.full((1, 2), 2.0))
    assert index.search(torch.ones(1, 2), 1)[0].tolist() == [[64]]


def test_vectors_lie_in_ram_unless_bytes_are_given_on_a_device() -> None:
    assert "cpu)" in repr(make_index("auto", 1, 2, "cuda"))
    assert "cuda)" in repr(make_index("auto", 1, 2, "cuda", 1 << 20))
    assert "cuda)" in repr(make_index("exact", 1, 2, "cuda", 1 << 20))
    assert "cpu)" in repr(make_index("staged", 1, 2, "cuda", 1 << 20))


def test_a_block_forgets_what_is_no_longer_in_use() -> None:
    block = Block(torch.arange(1.0, 13.0).view(1, 6, 2).clone())
    block.count = 5
    block.remove(torch.tensor([0, 3]).numpy())
    assert block.rows[0, :, 0].tolist() == [3.0, 5.0, 9.0, 0.0, 0.0, 11.0]
