"""Fixtures of models: a tiny random checkpoint folder, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import checkpoints


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA-OneVision with random weights: fast, and right about nothing."""
    return checkpoints.write("llava_onevision", tmp_path_factory.mktemp("tiny") / "model")
