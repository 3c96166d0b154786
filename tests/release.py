"""One release of transformers from the inside: what it writes, and what streams become under it.

`tests/test_versions.py` starts pytest on this file and on the laws in a process whose PYTHONPATH
begins with an older release, and compares with the one that is installed.  Alone it tests nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from longtake.models.loader import EMBEDDED, load
from tests import checkpoints
from tests.conformance import hear

FOLDER, FAMILIES = "RELEASE_WRITES_TO", "RELEASE_FAMILIES"  # environment variables


def environment(packages: Path, folder: Path, families: Sequence[str]) -> dict[str, str]:
    """For a process under the release that lies in ``packages``; one thread is fastest here."""
    paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        FOLDER: str(folder),
        FAMILIES: ",".join(families),
    }


def become(name: str) -> dict[str, Any]:
    """What a small stream becomes: the embeddings of its steps, the logits of a question."""
    heard = hear(load(name, device="cpu"), 24, top_k=3)
    return {
        "embeds": torch.cat([part.embeds for part in heard.parts]),
        "logits": torch.cat(heard.logits),
    }


@pytest.fixture
def written() -> Path:
    return Path(os.environ[FOLDER])


def test_the_release_is_the_one_that_was_asked_for(written: Path) -> None:
    assert transformers.__version__ == written.name


@pytest.mark.parametrize("family", os.environ.get(FAMILIES, "").split(","))
def test_checkpoints_are_written_and_become_streams(family: str, written: Path) -> None:
    checkpoint = checkpoints.write(family, written / family)
    torch.save(become(str(checkpoint)), written / f"{family}.pt")


def test_the_model_that_ships_becomes_a_stream(written: Path) -> None:
    torch.save(become(EMBEDDED), written / f"{EMBEDDED}.pt")
