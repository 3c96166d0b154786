"""`longtake bench memory` at sizes of seconds: every part has its rows, and compares them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longtake import cli
from longtake.bench import memory, memory_cost
from longtake.bench.model import Model
from tests.test_bench import silent, untrained

__all__ = ["untrained"]


def test_all_parts_come_in_one_object(
    untrained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(memory_cost, "MINUTES", 0.5)
    memory.run(
        Model(str(untrained)),
        memory.PARTS,
        1,
        tmp_path,
        True,
        silent,
        chunks=2,
        searched=(60,),
        opened=100,
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["bench"]) == ("longtake.bench/1", "memory")
    rows = {row["name"]: row for row in found["rows"]}
    assert len(rows) == len(found["rows"]), "names tell rows apart"
    for row in rows.values():
        assert row["reference"] is None or row["reference"] in rows
    for part in ("kivi4", "cold", "staged", "with the store", "opening"):
        assert any(part in name for name in rows), part
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_parts_that_do_not_exist_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "memory", "--only", "codecs,disc"]) == cli.USAGE
    assert "--only disc: must be some of codecs, disk" in capsys.readouterr().err
