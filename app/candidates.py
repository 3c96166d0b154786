"""The chunks that a question may know: those it may have back, and those of the window.

L layers, G key heads, D head dimension, N candidates, W = G*D.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from longtake import scope
from longtake.memory.chunk import summarize
from longtake.memory.layout import Segment

if TYPE_CHECKING:
    from longtake.session import Session

Window = list[tuple[int, Segment | None]]  # chunk numbers, and the chunks that can be read


def read_window(session: Session, known: scope.Scope) -> Window:
    """The chunks that stand in the context without being recalled."""
    found: Window = []
    for info in known.window:
        try:
            found.append((info.number, session.segment(info.number)))
        except (LookupError, OSError):  # told by the coverage
            found.append((info.number, None))
    return found


class Candidates:
    """The chunks that a question may know, with their search vectors: first the archived ones,
    then those of the window."""

    def __init__(self, session: Session, first: int, last: int, window: Window) -> None:
        self._index, self._span = session.index, (first, last)
        live = [(number, summarize(s.keys)) for number, s in window if s is not None]
        numbers = torch.tensor([number for number, _ in live], dtype=torch.int64)
        archived = session.index.numbers(*self._span)
        self.archived = len(archived)
        self.numbers = torch.cat([archived, numbers])  # int64 [N], rising
        self._live = torch.stack([v for _, v in live], 1).cpu() if live else None  # [L, n, W]

    def scores(self, query: Tensor) -> Tensor:
        """Float32 ``[L, N]`` for ``[L, W]``."""
        found = self._index.scores(query, *self._span)
        if self._live is None:
            return found
        return torch.cat([found, torch.einsum("lw,lnw->ln", query.to(found), self._live)], 1)

    def layer_scores(self, layer: int, query: Tensor) -> Tensor:
        """Float32 ``[N]`` for one layer's ``[W]``, on the CPU."""
        found = self._index.layer_scores(layer, query, *self._span).cpu()
        if self._live is None:
            return found
        return torch.cat([found, self._live[layer] @ query.cpu()])
