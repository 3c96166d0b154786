"""Fixtures of models: tiny random checkpoint folders, written once a session."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests import checkpoints


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA-OneVision with random weights: fast, and right about nothing."""
    return checkpoints.write("llava_onevision", tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def ending_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with every token an end: its answers are empty, and whole."""
    folder = tmp_path_factory.mktemp("ending") / "model"
    shutil.copytree(tiny_model, folder)
    ends = {"eos_token_id": list(range(checkpoints.VOCABULARY))}
    (folder / "generation_config.json").write_text(json.dumps(ends))
    return folder


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model, to be broken."""
    return shutil.copytree(tiny_model, tmp_path / "copy")
