"""The benchmark of reads reads everything, and compares like with like."""

from __future__ import annotations

from pathlib import Path

from longtake.bench.memory_reads import NEEDED_MB_S, Sizes, file_system, rows


def test_every_way_to_read_is_beside_plain_reads(tmp_path: Path) -> None:
    """A read that misses bytes would raise."""
    said: list[str] = []
    sizes = Sizes(chunks=3, layers=2, heads=2, tokens=70, dim=128)
    found = {row.name: row for row in rows(1, said.append, tmp_path, sizes)}
    writes = [row for name, row in found.items() if name.startswith("write: ")]
    reads = [row for name, row in found.items() if name.startswith("read cold: ")]
    assert len(writes) == 4 and len(reads) == 3
    assert {row.reference for row in reads} == {"plain random preads, 8 threads"}
    assert all(row.ratio == row.value / NEEDED_MB_S for row in writes)
    assert {row.unit for row in found.values()} == {"MB/s"}
    assert file_system(tmp_path) in said[0]
    assert not list(tmp_path.iterdir())


def test_sizes_are_those_of_the_model_it_names() -> None:
    assert Sizes().layer_nbytes == 256 << 10
    assert Sizes().nbytes == 64 * 28 * (256 << 10)
