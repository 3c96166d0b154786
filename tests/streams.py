"""Small streams for tests: an adapter that listens, frames from a seed, sessions over them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.answer import Answer
from longtake.answering import answer as answer_pieces
from longtake.asked import Asked
from longtake.memory.config import MemoryConfig
from longtake.memory.index import make_index
from longtake.memory.store import Store
from longtake.models.base import Adapter, Step
from longtake.models.decode import Decoding
from longtake.session import Session
from longtake.settings import TakeConfig
from longtake.streaming.frame import Frame
from tests import dense

ONE_TOKEN = Decoding(max_tokens=1)


class Listening:
    """An adapter that keeps what went through it: steps by chunk, hidden states, answers."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.seen: list[Step] = []
        self.hidden: list[Tensor] = []  # of each decoder call
        self.last_logits: Tensor | None = None
        self.answered: list[int] = []  # token ids of the last answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def steps(self, *args: Any, **kwargs: Any) -> list[Step]:
        made = self._adapter.steps(*args, **kwargs)
        self.seen += made
        return made

    def decode_step(self, *args: Any) -> Tensor:
        hidden = self._adapter.decode_step(*args)
        self.hidden.append(hidden)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        self.last_logits = self._adapter.logits(hidden)
        return self.last_logits

    def text(self, ids: Sequence[int]) -> str:
        self.answered = list(ids)
        return self._adapter.text(ids)


class Tracked:
    """A rotation that remembers the greatest position it was asked for."""

    def __init__(self, rotary: Any) -> None:
        self._rotary = rotary
        self.greatest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rotary, name)

    def table(self, positions: Tensor) -> Any:
        self.greatest = max(self.greatest, int(positions.max()))
        return self._rotary.table(positions)


def frames(count: int, seed: int = 0, height: int = 20, width: int = 28) -> list[Frame]:
    """One a second, of noise."""
    rng = np.random.default_rng(seed)
    return [
        Frame(float(t), rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for t in range(count)
    ]


@contextmanager
def session(
    adapter: Any,
    *,
    folder: Path | None = None,
    window_s: float | None = 4.0,
    index: str = "exact",
    ram_bytes: int = 1 << 30,
    **changes: Any,
) -> Iterator[Session]:
    """A session whose window is ``window_s`` at one frame a second; closed at the end."""
    memory = MemoryConfig(index=index, commit_s=0.0, ram_bytes=ram_bytes)
    config = TakeConfig(**{"fps": 1.0, "window_s": window_s, "memory": memory, **changes})
    sizes = adapter.shape
    searcher = make_index(
        index, layers=sizes.layers, width=sizes.kv_heads * sizes.head_dim, device="cpu"
    )
    with Store.open(
        folder, model=adapter.name, fingerprint=adapter.fingerprint, config=config.memory
    ) as store:
        one = Session(adapter, store, searcher, config)
        yield one
        one.close()


def answer(one: Session, asked: Asked | str) -> Answer:
    """Run an answer to its end."""
    whole = Asked(question=asked) if isinstance(asked, str) else asked
    clock = itertools.count()
    pieces = answer_pieces(one, whole, lambda: float(next(clock)))
    while True:
        try:
            next(pieces)
        except StopIteration as stop:
            result: Answer = stop.value
            return result


def state(one: Session) -> list[Tensor]:
    """Everything a stream's future depends on, as copies; lines and previous text too."""
    window: Any = one.window
    segments = window.context() if hasattr(window, "context") else window.segments()
    return [t.clone() for s in (window.sink, *segments) for t in (s.keys, s.values, s.positions)]


def worst(a: Tensor, b: Tensor) -> float:
    """Greatest difference; shapes must agree."""
    assert a.shape == b.shape, f"{list(a.shape)} and {list(b.shape)}"
    return float((a - b).abs().max())


def part_of(step: Step) -> dense.Part:
    """A step as a part of a dense pass, in float32."""
    visual, deepstack = (step.extra.get(n) for n in ("visual_pos_masks", "deepstack_visual_embeds"))
    return dense.Part(
        step.embeds.clone().float(),
        step.positions,
        None if visual is None else visual.flatten(),
        [] if deepstack is None else [added.float() for added in deepstack],
    )


def parts_of(adapter: Any, steps: Sequence[Step]) -> list[dense.Part]:
    """Sink and steps as parts of a dense pass."""
    with torch.inference_mode():
        return [part_of(step) for step in (adapter.sink(), *steps)]
