"""The benchmark of searches measures all of them over the same chunks, and what fits."""

from __future__ import annotations

import pytest

from longtake.bench import memory_search


def test_it_measures_each_search_and_what_the_first_stage_costs() -> None:
    said: list[str] = []
    found = memory_search.rows(1, said.append, chunks=[300, 700], layers=2, width=16)
    by_name = {row.name: row for row in found}
    for count in (300, 700):
        exact = by_name[f"{count} chunks, exact"]
        assert exact.unit == "ms"
        assert exact.value > 0
        for name in ("faiss", "staged"):
            row = by_name[f"{count} chunks, {name}"]
            assert row.reference == exact.name
            assert row.ratio == pytest.approx(row.value / exact.value)
        assert by_name[f"{count} chunks, staged, recall@8"].value == 1.0
        codes = by_name[f"{count} chunks, staged, codes"]
        assert codes.unit == "MB"
        assert count * 2 * 16 <= 1e6 * codes.value < 1.2 * count * 2 * 16
    assert any("700 chunks, staged: run 1 of 1" in text for text in said)


def test_it_takes_as_many_chunks_as_fit_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_search, "free_ram_bytes", lambda: 1_000_000)
    said: list[str] = []
    found = memory_search.rows(1, said.append, chunks=[100_000], layers=4, width=16)
    assert "100000 chunks need" in said[0]
    assert found[0].name == "2790 chunks, exact"


def test_no_repeats_are_refused() -> None:
    with pytest.raises(ValueError, match="repeats=0"):
        memory_search.rows(0, lambda text: None, chunks=[10], layers=1, width=4)
