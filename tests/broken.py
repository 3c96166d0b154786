"""Broken checkpoints for tests: a tiny one with one thing wrong, and what loading says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from longtake.models import intact
from longtake.models.base import ModelError
from longtake.models.loader import load

Change = Callable[[Path], None]
CPU = torch.device("cpu")
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    MemoryError(),
]


def refusal(folder: Path, **given: Any) -> str:
    """What loading says; one line that names the folder."""
    with pytest.raises(ModelError) as caught:
        load(str(folder), **{"device": "cpu", **given})
    said = str(caught.value)
    assert said.startswith(f"{folder}: ") and "\n" not in said
    return said


def edit(path: Path, **changes: Any) -> None:
    """Set fields of a JSON file; None takes one out."""
    whole = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in whole.items() if v is not None}))


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Rewrite all weights as a single file."""
    held: dict[str, torch.Tensor] = {}
    for file in intact.weight_files(folder):
        held |= load_file(file)
        file.unlink()
    (folder / intact.INDEX).unlink()
    change(held)
    save_file(held, folder / intact.SINGLE)
