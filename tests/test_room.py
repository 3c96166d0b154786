"""How much RAM there is, and how much of it can be had: one answer for whoever asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.doctor import machine
from longtake.models import room

GIB = 1 << 30


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say what the system has: MiB of its fields, and of its container's files."""

    def say(group: dict[str, str], **fields: int) -> None:
        monkeypatch.setattr(room, "_meminfo", lambda: {k: v << 20 for k, v in fields.items()})
        monkeypatch.setattr(room, "_GROUP", tmp_path)
        for name, text in group.items():
            (tmp_path / name).write_text(text)

    return say


def test_what_is_shown_is_what_models_are_refused_by(system: Any) -> None:
    """Swap counts, and so do pages of files, which a container counts as used."""
    system({}, MemTotal=64 << 10, MemAvailable=10 << 10, SwapFree=2 << 10)
    assert machine.ram_bytes() == (64 * GIB, 12 * GIB)
    cached = f"anon 5\nfile {GIB}\n"
    system(
        {
            "memory.max": str(4 * GIB),
            "memory.current": str(3 * GIB),
            "memory.stat": cached,
        },
        MemTotal=64 << 10,
        MemAvailable=10 << 10,
        SwapFree=2 << 10,
    )
    assert machine.ram_bytes() == (4 * GIB, 2 * GIB)
    assert machine.ram_bytes()[1] == room.free_bytes(torch.device("cpu"))
    found = machine.find_machine()
    assert (found.ram_bytes, found.ram_free_bytes) == (4 * GIB, 2 * GIB)


def test_a_container_without_a_limit_has_the_machines(system: Any) -> None:
    group = {"memory.max": "max\n", "memory.current": str(GIB)}
    system(group, MemTotal=8 << 10, MemAvailable=3 << 10)
    assert machine.ram_bytes() == (8 * GIB, 3 * GIB)


def test_a_system_that_does_not_tell_is_not_guessed(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    system({})
    monkeypatch.setattr(room.sys, "platform", "freebsd14")
    assert machine.ram_bytes() == (None, None)
    monkeypatch.setattr(room.sys, "platform", "darwin")
    sizes = {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 16 << 10}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert machine.ram_bytes() == (16 * GIB, None)
