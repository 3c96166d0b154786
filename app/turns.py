"""Put words, or a step, behind a turn: one forward of the decoder each."""

from __future__ import annotations

from torch import Tensor

from longtake.memory.turn import Turn
from longtake.models.base import Adapter, Step


def put_words(adapter: Adapter, turn: Turn, ids: Tensor) -> Tensor:
    """Int64 ``[T]`` -> hidden ``[T, C]``."""
    turn.begin(len(ids))
    hidden = adapter.decode_step(adapter.embed(ids), turn, {})
    turn.commit()
    return hidden


def put_step(adapter: Adapter, turn: Turn, step: Step) -> Tensor:
    """Frames with their wrapping -> hidden ``[T, C]``."""
    turn.begin(step.positions)
    hidden = adapter.decode_step(step.embeds, turn, step.extra)
    turn.commit()
    return hidden


def next_logits(adapter: Adapter, turn: Turn, ids: Tensor) -> Tensor:
    """Put words behind the turn; logits ``[V]`` of what follows them."""
    return adapter.logits(put_words(adapter, turn, ids)[-1:])[0]
