"""What tests of modes share: twins of three families, and an adapter that was trained for more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor

from longtake.asked import Asked
from tests import checkpoints, streams
from tests.conformance import QUESTION, Twins
from tests.streams import ONE_TOKEN, Listening


@pytest.fixture(scope="session", params=["llava_onevision", "qwen2_5_vl", "qwen3_vl"])
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    folder = tmp_path_factory.mktemp("modes") / request.param
    return Twins.load(checkpoints.write(request.param, folder))


@pytest.fixture
def adapter(twins: Twins) -> Listening:
    return Listening(twins.adapter)


def logits_of(one: Any, **asked: Any) -> Tensor:
    """Of the first answer token."""
    streams.answer(one, Asked(question=QUESTION, decoding=ONE_TOKEN, **asked))
    found: Tensor = one.adapter.last_logits[-1].clone()
    return found


class Roomy:
    """An adapter that says it was trained for so many tokens."""

    def __init__(self, adapter: Any, tokens: int) -> None:
        self._adapter = adapter
        self.shape = replace(adapter.shape, trained_tokens=tokens)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)
