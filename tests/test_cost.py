"""What a forward may cost beside the model's own work, counted: tables, rotations, copies.

Times are in benchmarks/engine_overhead.py.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from longtake.asked import Asked
from longtake.models.decode import Decoding
from longtake.models.loader import load
from tests import checkpoints, streams
from tests.streams import Listening


class Counting:
    """A rotation that counts its tables, and the tokens that it turns."""

    def __init__(self, rotary: Any) -> None:
        self._rotary = rotary
        self.tables, self.turned = 0, Counter[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rotary, name)

    def table(self, positions: torch.Tensor) -> Any:
        self.tables += 1
        return self._rotary.table(positions)

    def rotate(self, x: torch.Tensor, table: Any) -> Any:
        self.turned[x.shape[-2]] += 1
        return self._rotary.rotate(x, table)


class Joined(TorchFunctionMode):
    """Tokens of the longest tensor that was made by joining."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in (torch.cat, torch.concat, torch.stack) and made.dim() > 2:
            self.longest = max(self.longest, made.shape[-2])
        return made


@pytest.fixture(scope="module", params=["llava_onevision", "qwen2_5_vl"])
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("cost") / request.param
    return load(str(checkpoints.write(request.param, folder)), device="cpu")


@pytest.fixture
def counted(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    listening = Listening(adapter)
    rotary = Counting(adapter.rotary)
    monkeypatch.setattr(adapter, "rotary", rotary)
    return listening, rotary


def test_a_step_makes_one_table_and_copies_no_window(counted: Any) -> None:
    adapter, rotary = counted
    each, layers = adapter.recipe.frames_per_step, adapter.shape.layers
    shown = streams.frames(10 * each)
    with streams.session(adapter, window_s=24.0) as one:
        one.see(shown[: 9 * each])
        rotary.tables, rotary.turned = 0, Counter()
        with Joined() as joined:
            one.see(shown[9 * each :])
        step = one.window.infos[-1].tokens
        assert rotary.tables == 1
        assert rotary.turned == {step: layers}
        assert joined.longest <= 2 * step < one.window.tokens // 4  # no more than the step


def test_an_answer_turns_its_context_once(counted: Any) -> None:
    adapter, rotary = counted
    layers, spoken = adapter.shape.layers, 5
    with streams.session(adapter) as one:
        one.see(streams.frames(24))
        for name in ("dependent", "blind"):
            rotary.tables, rotary.turned = 0, Counter()
            asked = Asked(
                question="what?", select_by=name, decoding=Decoding(max_tokens=spoken), top_k=2
            )
            streams.answer(one, asked)
            prompt = len(adapter.prompt("what?").ids)
            assert rotary.turned[1] == (spoken - 1) * layers  # each new token, in each layer
            assert rotary.turned[prompt] == layers
            sink = one.window.sink.positions.shape[1]  # the blind pass has no more
            context = [n for n in rotary.turned.elements() if n > max(prompt, sink)]
            assert len(context) == layers, "each layer's context once"


def test_tables_are_shared_by_layers_whose_context_is_as_long(counted: Any) -> None:
    """One for the context of each layer, and one a forward for all."""
    adapter, rotary = counted
    with streams.session(adapter) as one:
        one.see(streams.frames(24))
        rotary.tables = 0
        spoken = 4
        asked = Asked(question="what?", select_by="dependent", decoding=Decoding(max_tokens=spoken))
        streams.answer(one, asked)
        assert rotary.tables == adapter.shape.layers + spoken
