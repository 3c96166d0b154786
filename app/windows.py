"""The newest part of the stream as a question may know it, and how long reading it may take.

Of a moment that is past, the chunks that stood in the window then are read back whole.

L layers, G key heads, T tokens, D head dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from longtake import scope
from longtake.memory.layout import Segment

if TYPE_CHECKING:
    from longtake.asked import Asked
    from longtake.session import Session

SHARE = 0.5  # of the time that is left for an answer may go into waiting for the disk

Window = list[tuple[int, Segment | None]]  # chunk numbers, and the chunks that can be read


@dataclass(slots=True)
class Patience:
    """What one question may still wait for the disk; all its reads share it."""

    left_s: float | None = None  # None: any time
    is_over: Callable[[], bool] = lambda: False

    @classmethod
    def of(cls, asked: Asked) -> Patience:
        """For a question whose recall begins now."""
        left_s = asked.left_s()
        return cls(None if left_s is None else SHARE * left_s, asked.is_over)


def read_window(session: Session, known: scope.Scope, patience: Patience | None = None) -> Window:
    """The chunks that stand in the context without being recalled, ``[L, G, T, D]`` each on the
    device; None for one that cannot be read, or does not come in time."""
    live = {info.number for info in session.window.infos}
    numbers = [info.number for info in known.window]
    away = [number for number in numbers if number not in live]
    came = dict(zip(away, _read(session, away, patience or Patience()), strict=True))
    return [(n, session.segment(n) if n in live else came[n]) for n in numbers]


def _read(session: Session, numbers: Sequence[int], patience: Patience) -> list[Segment | None]:
    """All layers of chunks that are not in the window."""
    if not numbers:
        return []
    layers, device = session.adapter.shape.layers, session.adapter.device
    parts: list[list[Segment]] = [[] for _ in numbers]
    with session.fetch(
        [numbers] * layers, patience_s=patience.left_s, is_over=patience.is_over
    ) as fetch:
        for layer in range(layers):
            for part, found in zip(parts, fetch.layer(layer), strict=True):
                if found is not None:
                    keys, values = (t.to(device, copy=True) for t in found[:2])
                    part.append(Segment(keys, values, found.positions))
        patience.left_s = fetch.patience_s
    return [_stacked(part) if len(part) == layers else None for part in parts]


def _stacked(layers: Sequence[Segment]) -> Segment:
    keys, values, positions = zip(*layers, strict=True)
    return Segment(torch.stack(keys), torch.stack(values), positions[0])
