"""From a question to what it attends to: candidates, scores, the chosen chunks laid out.

What a mode decides, `Reach` says: may chunks be recalled, may those in the window, does the
window itself stand in the context.  A layer's chunks are chosen *blind*, for all layers at once
from a pass that sees no video, or *dependent*, each layer's query having attended to what the
layers below recalled.  Dependent selection happens within the prefill: a layer is laid out when
its first query is known, so nothing is computed twice.

L layers, G key heads, D head dimension, N candidates, W = G*D.
Source: ReKV (arXiv 2503.00540) for recall inside the model; blind, and layers that recall
together, are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from longtake import scope
from longtake.answer import Moment
from longtake.candidates import Candidates, read_window
from longtake.memory.index import best_of
from longtake.memory.layout import Segment, extent
from longtake.memory.recall import BlindQuery, asked_share, mean_query, peaks, shares
from longtake.memory.turn import Turn
from longtake.models.base import Prompt
from longtake.strategies.base import Offered
from longtake.strategies.union import fill
from longtake.turns import put_words

if TYPE_CHECKING:
    from longtake.asked import Asked
    from longtake.session import Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """What of the past a mode lets a question have."""

    recalls: bool = True  # chunks come back from the memory
    recalls_window: bool = False  # those in the window are candidates too
    with_window: bool = True  # the window stands in the context


@dataclass(frozen=True, slots=True)
class Laid:
    """A question's context, ready for its prompt."""

    turn: Turn
    evidence: tuple[Moment, ...]
    coverage: float  # chunks that arrived / chunks selected
    by_layer: Sequence[Sequence[int]]  # chunk numbers that came back, in time order
    logits: Tensor | None = None  # of the first token, where the prompt went through already


class Recalling:
    """One question's recall, over a session that is only read."""

    def __init__(
        self,
        session: Session,
        asked: Asked,
        prompt: Prompt,
        known: scope.Scope,
        reach: Reach,
        fixed: Sequence[Segment] | None = None,  # in place of sink and window
    ) -> None:
        if not reach.recalls and (asked.plan is not None or asked.select_by is not None):
            raise ValueError(
                f"recall, select_by: mode {session.mode.name} recalls nothing; leave them out"
            )
        self._session, self._asked, self._prompt, self._known = session, asked, prompt, known
        window = read_window(session, known) if asked.with_window else []
        # Where nothing comes back nothing archived is a candidate.
        first = known.first if reach.recalls else known.last
        self._candidates = candidates = Candidates(session, first, known.last, window)
        self._live = {number: segment for number, segment in window if segment is not None}
        self._in_context = window if reach.with_window else []
        self._fixed = fixed
        self._recallable = len(candidates.numbers) if reach.recalls_window else candidates.archived
        self._wanted = self._arrived = 0
        self._chosen: list[Sequence[int]] = []
        self._others: Sequence[Sequence[int]] | None = None

    def lay(self) -> Laid:
        """Choose, bring and lay out; the prompt too goes through where that is how to choose."""
        session = self._session
        is_blind = (self._asked.select_by or session.pace.select) == "blind"
        if is_blind or self._asked.select is not None or not self._recallable:
            return self._lay_blind()
        return self._lay_dependent(self._prompt.ids, self._prompt.asked, is_prompt=True)

    def lay_dependent_on(self, ids: Tensor) -> Laid:
        """Choose by these tokens alone, all of them asked; they are forgotten afterwards."""
        return self._lay_dependent(ids, torch.ones(len(ids), dtype=torch.bool), is_prompt=False)

    # ---------------------------------------------------------------- blind

    def _lay_blind(self) -> Laid:
        session, asked = self._session, self._asked
        blind = blind_vectors(session, self._prompt)
        scores = self._candidates.scores(blind)
        if asked.select is not None:
            by_layer = [sorted(row) for row in asked.select(self._known, len(blind))]
        else:
            by_layer = self._choose_blind(blind, scores)
        sizes = session.adapter.shape
        turn = Turn.over(
            session.adapter.rotary,
            [self._segments(layer, numbers) for layer, numbers in enumerate(by_layer)],
            self._room(len(self._prompt.ids)),
            sizes.axes,
        )
        return Laid(turn, self._evidence(scores), self._coverage, self._chosen)

    def _choose_blind(self, blind: Tensor, scores: Tensor) -> list[list[int]]:
        recipe = self._session.adapter.recipe
        offered = scores[:, : self._recallable]
        if recipe.recall == "together" and self._recallable:
            share = shares(offered, self._session.adapter.shape.head_dim, recipe.sharpness)
            best = share.topk(min(self._top_k, self._recallable)).indices[None]
            return [self._fill(best[0])] * len(blind)
        return [self._fill(best) for best in best_of(offered, self._top_k)]

    # ---------------------------------------------------------------- dependent

    def _lay_dependent(self, ids: Tensor, asked: Tensor, *, is_prompt: bool) -> Laid:
        session, adapter = self._session, self._session.adapter
        sizes, share = adapter.shape, asked_share(asked)
        scores: list[Tensor] = []

        def choose(layer: int, query: Tensor) -> list[Segment]:
            vector = mean_query(query, share, sizes.kv_heads)
            found = self._candidates.layer_scores(layer, vector)
            scores.append(found)
            best = best_of(found[None, : self._recallable], self._top_k)[0]
            return self._segments(layer, self._fill(best))

        turn = Turn(
            adapter.rotary,
            session.window.sink.keys,
            sizes.axes,
            self._most_tokens(),
            self._room(max(len(ids), len(self._prompt.ids))),
            choose=choose,
        )
        hidden = put_words(adapter, turn, ids)
        evidence = self._evidence(torch.stack(scores))
        if is_prompt:
            logits = adapter.logits(hidden[-1:])[0]
            return Laid(turn, evidence, self._coverage, self._chosen, logits)
        turn.rewind()
        return Laid(turn, evidence, self._coverage, self._chosen)

    # ---------------------------------------------------------------- both

    @property
    def _top_k(self) -> int:
        plan = self._asked.plan
        if plan is not None and not plan.has_model:
            return 0
        return self._asked.top_k or self._session.pace.top_k

    def _fill(self, best: Tensor) -> list[int]:
        """Places among the candidates, best first -> chunk numbers in time order, together with
        what other strategies chose."""
        ranked = self._candidates.numbers[best.cpu()].tolist()
        budget = self._asked.recall_tokens
        if not self._offers and budget is None:
            return sorted(ranked)
        return fill([ranked, *self._offers], lambda n: self._known.info(n).tokens, budget)

    @property
    def _offers(self) -> Sequence[Sequence[int]]:
        """What strategies beside the model's own choose, for all layers the same."""
        if self._others is None:
            plan, session = self._asked.plan, self._session
            numbers = self._candidates.numbers[: self._recallable].tolist()
            offered = Offered(
                self._asked.question,
                [self._known.info(number) for number in numbers] if plan else [],
                self._asked.top_k or session.pace.top_k,
                self._known.as_of_s,
                session.thumbnail,
                self._asked.is_over,
            )
            self._others = [s.rank(offered) for s in plan.strategies] if plan else []
        return self._others

    def _segments(self, layer: int, numbers: Sequence[int]) -> list[Segment]:
        """``[sink | recalled | window]`` of one layer."""
        session = self._session
        self._chosen.append(numbers)
        if self._fixed is not None:
            return [segment.layer(layer) for segment in self._fixed]
        segments = [session.window.sink.layer(layer)]
        self._wanted += len(numbers) + len(self._in_context)
        for number in numbers:
            if number in self._live:
                segments.append(self._live[number].layer(layer))
                continue
            try:
                segments.append(session.layer(number, layer))
            except (LookupError, OSError):  # told by the coverage
                continue
        segments += [s.layer(layer) for _, s in self._in_context if s is not None]
        self._arrived += len(segments) - 1
        self._check_length(segments)
        return segments

    @property
    def _coverage(self) -> float:
        return self._arrived / self._wanted if self._wanted else 1.0

    def _room(self, prompt_tokens: int) -> int:
        decoding = self._asked.decoding or self._session.config.decoding
        return prompt_tokens + decoding.max_tokens

    def _most_tokens(self) -> int:
        """A bound of a layer's context, before it is known."""
        chosen = self._top_k + sum(map(len, self._offers))
        if chosen < self._recallable:
            recalled = chosen * self._session.adapter.step_tokens
        else:  # all there are
            numbers = self._candidates.numbers[: self._recallable].tolist()
            recalled = sum(self._known.info(number).tokens for number in numbers)
        live = sum(s.tokens for _, s in self._in_context if s is not None)
        return self._session.window.sink.tokens + recalled + live

    def _check_length(self, segments: Sequence[Segment]) -> None:
        trained = self._session.adapter.shape.trained_tokens
        room = self._room(len(self._prompt.ids))
        flags = "--top-k or --window"
        if self._asked.plan is not None:
            flags = f"the numbers of --recall, --recall-tokens, {flags}"
        if sum(extent(s.positions) for s in segments) + room > trained:
            raise ValueError(
                f"{sum(s.tokens for s in segments)} tokens of context and {room} of question and "
                f"answer: the model was trained for {trained}. Lower {flags}"
            )

    def _seen(self) -> set[int]:
        """Candidates that some layer's context holds."""
        if self._fixed is not None:
            return set(self._live)
        return {
            *chain.from_iterable(self._chosen),
            *(n for n, s in self._in_context if s is not None),
        }

    def _evidence(self, scores: Tensor) -> tuple[Moment, ...]:
        """The moments that stand out over all layers, of ``[L, N]``, among those in a context."""
        session = self._session
        if not len(self._candidates.numbers):
            return ()
        share = shares(scores, session.adapter.shape.head_dim, session.adapter.recipe.sharpness)
        numbers = torch.tensor(sorted(self._seen()), dtype=torch.int64)
        known = self._candidates.numbers
        places = torch.searchsorted(known, numbers).clamp(max=len(known) - 1)
        places = places[known[places] == numbers]  # `select` may give others
        found = peaks(known[places], share[places.to(share.device)], session.config.evidence)
        return tuple(_moment(session, peak.first, peak.last, peak.score) for peak in found)


def blind_vectors(session: Session, prompt: Prompt) -> Tensor:
    """The question's mean queries ``[L, G*D]``, from a forward that sees no video."""
    adapter, sizes = session.adapter, session.adapter.shape
    words = int(prompt.asked.nonzero()[-1]) + 1
    listener = BlindQuery(prompt.asked[:words], sizes.layers, sizes.kv_heads)
    sink = [session.window.sink.layer(layer) for layer in range(sizes.layers)]
    turn = Turn.over(adapter.rotary, [[s] for s in sink], words, sizes.axes, listener)
    put_words(adapter, turn, prompt.ids[:words])
    return listener.vectors().cpu()


def _moment(session: Session, first: int, last: int, score: float) -> Moment:
    begin, end = session.info(first), session.info(last)
    return Moment(begin.start_s, end.end_s, score, begin.camera, session.thumbnail(first))
