"""The chunks that a question may know: those it may have back, and those of the window.

Their scores are as the question wants them, plain or centred, and the same for what is chosen and
for what is evidence.

L layers, G key heads, D head dimension, N candidates, W = G*D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from longtake import scope
from longtake.memory.chunk import summarize
from longtake.memory.ranking import best_of
from longtake.memory.selection import Selection, best_apart, centred
from longtake.windows import Window

if TYPE_CHECKING:
    from longtake.session import Session

# Chunks of each layer that a large memory is asked for.  Of a softmax over chunks the next one has
# less than 1/257 in that layer, whatever is asked.
LOOKED_AT = 256


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of n candidates in some layers."""

    numbers: Tensor  # int64 [n], rising, those of the window last
    scores: Tensor  # float32 [layers, n]; -inf where a layer did not look at the chunk
    archived: int  # how many of the n are not in the window

    @classmethod
    def joined(cls, layers: Sequence[Scored]) -> Scored:
        """Of layers that were scored one by one."""
        first = layers[0]
        if all(each.numbers is first.numbers for each in layers):
            return cls(first.numbers, torch.cat([each.scores for each in layers]), first.archived)
        archived = [each.numbers[: each.archived] for each in layers]
        rows = [each.scores[:, : each.archived] for each in layers]
        live = torch.cat([each.scores[:, each.archived :] for each in layers])
        return cls._over_all(archived, rows, first.numbers[first.archived :], live)

    @classmethod
    def _over_all(
        cls, archived: Sequence[Tensor], rows: Sequence[Tensor], live_numbers: Tensor, live: Tensor
    ) -> Scored:
        """Layers that looked at different chunks, over all that any of them looked at."""
        every = torch.tensor(sorted(set(torch.cat(list(archived)).tolist())), dtype=torch.int64)
        scores = live.new_full((len(rows), len(every)), -torch.inf)
        for row, numbers, found in zip(scores, archived, rows, strict=True):
            row[torch.searchsorted(every, numbers)] = found.flatten().to(row)
        return cls(torch.cat([every, live_numbers]), torch.cat([scores, live], 1), len(every))


class Candidates:
    """The chunks that a question may know, with their search vectors: first the archived ones,
    then those of the window.

    Where the index is large (`Index.is_staged`) and the model's plain recall chooses alone, not
    all of them are scored but each layer's `LOOKED_AT` best, or k where that is more.  What a layer
    chooses for itself is the same.  Shares are then among these and the window: a chunk that a
    layer did not look at has none of that layer; what it would have had, the others share.

    Args:
        known: what the question may know of.
        first: from this chunk number on they are candidates.
        window: as `windows.read_window` gives it.
        selection: how their scores become chosen chunks.
        k: of the best at most so many are chosen in a layer; None: other chunks may be as well,
            so all are scored.
    """

    def __init__(
        self,
        session: Session,
        known: scope.Scope,
        first: int,
        window: Window,
        selection: Selection,
        k: int | None = None,
    ) -> None:
        self._index, self._span, self._known = session.index, (first, known.last), known
        self._selection = selection
        live = [(number, summarize(s.keys)) for number, s in window if s is not None]
        self._live_numbers = torch.tensor([number for number, _ in live], dtype=torch.int64)
        self._live = torch.stack([v for _, v in live], 1).cpu() if live else None  # [L, n, W]
        archived = session.index.numbers(*self._span)
        self.archived = len(archived)
        self.numbers = torch.cat([archived, self._live_numbers])  # int64 [N], rising
        self._looked_at: int | None = None  # in each layer; None: all
        if k is not None and selection.is_plain and session.index.is_staged:
            self._looked_at = max(k, LOOKED_AT)

    def scores(self, query: Tensor) -> Scored:
        """All layers, for ``[L, W]``."""
        if self._looked_at is not None:
            numbers, best = self._index.search(query, self._looked_at, *self._span)
            rows = enumerate(zip(numbers, best, query, strict=True))
            return Scored.joined([self._found(layer, *row) for layer, row in rows])
        found = self._index.scores(query, *self._span)
        if self._live is not None:
            found = torch.cat([found, torch.einsum("lw,lnw->ln", query.to(found), self._live)], 1)
        return Scored(self.numbers, self._centred(found), self.archived)

    def layer_scores(self, layer: int, query: Tensor) -> Scored:
        """One layer, for its ``[W]``, on the CPU."""
        if self._looked_at is not None:
            best = self._index.layer_search(layer, query, self._looked_at, *self._span)
            return self._found(layer, *best, query)
        found = self._index.layer_scores(layer, query, *self._span).cpu()
        if self._live is not None:
            found = torch.cat([found, self._live[layer] @ query.cpu()])
        return Scored(self.numbers, self._centred(found)[None], self.archived)

    def best(self, scored: Scored, rows: Tensor, k: int) -> list[Tensor]:
        """Chunk numbers of the k best of each row, best first; int64 ``[k']``, k' = min(k, n).

        Args:
            rows: float32 ``[rows, n]``, of the first n chunks that were scored.
        """
        apart_s = self._selection.diversity_s
        if not apart_s:
            return [scored.numbers[places.cpu()] for places in best_of(rows, k)]

        def moment(place: int) -> tuple[str, float]:
            info = self._known.info(int(scored.numbers[place]))
            return info.camera, info.start_s

        return [scored.numbers[best_apart(row, k, moment, apart_s)] for row in rows]

    def _found(self, layer: int, numbers: Tensor, scores: Tensor, query: Tensor) -> Scored:
        """One layer's best, and the window."""
        order = numbers.argsort()
        numbers, scores = numbers[order], scores.cpu()[order]
        if self._live is not None:
            scores = torch.cat([scores, self._live[layer] @ query.cpu()])
        return Scored(torch.cat([numbers, self._live_numbers]), scores[None], len(order))

    def _centred(self, scores: Tensor) -> Tensor:
        half = self._selection.half
        return scores if half is None else centred(scores, half, self._cameras)

    @cached_property
    def _cameras(self) -> Tensor | None:
        """Int64 ``[N]``, equal where the camera is; None where there is only one."""
        cameras = {info.number: info.camera for info in self._known.past}
        names: dict[str, int] = {}
        found = [names.setdefault(cameras[n], len(names)) for n in self.numbers.tolist()]
        return torch.tensor(found) if len(names) > 1 else None
