"""From a question to what it attends to: candidates, scores, the chosen chunks laid out.

What a mode decides, `Reach` says: may chunks be recalled, may those in the window, does the
window itself stand in the context.  A layer's chunks are chosen *blind*, for all layers at once
from a pass that sees no video, or *dependent*, each layer's query having attended to what the
layers below recalled.  Either way a layer is laid out when the prompt reaches it: what was chosen
blind is read ahead meanwhile, and what is chosen by its first query is computed only once.

L layers, G key heads, D head dimension, N candidates, W = G*D.
Source: ReKV (arXiv 2503.00540) for recall inside the model; blind, and layers that recall
together, are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from longtake import scope
from longtake.answer import Moment
from longtake.bringing import Bringing
from longtake.candidates import Candidates, Scored
from longtake.memory.layout import Segment, extent
from longtake.memory.recall import BlindQuery, asked_share, mean_query, peaks, shares
from longtake.memory.selection import Selection
from longtake.memory.turn import Choose, Turn
from longtake.models.base import Prompt
from longtake.strategies.base import Offered
from longtake.strategies.union import fill
from longtake.turns import next_logits, put_words
from longtake.windows import Patience, read_window

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
    logits: Tensor | None = None  # of the first token, where the prompt has gone through


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
        given = (asked.plan, asked.select_by, asked.scores, asked.diversity_s)
        if not reach.recalls and given != (None,) * len(given):
            raise ValueError(
                f"recall, select_by, scores, diversity_s: mode {session.mode.name} recalls "
                "nothing; leave them out"
            )
        self._session, self._asked, self._prompt, self._known = session, asked, prompt, known
        self._reach = reach
        self._patience = Patience.of(asked)
        window = read_window(session, known, self._patience) if asked.with_window else []
        # Where nothing comes back nothing archived is a candidate.
        first = known.first if reach.recalls else known.last
        chosen_alone = asked.plan is None and asked.select is None
        k = self._top_k if chosen_alone else None
        selection = selection_of(session, asked)
        self._candidates = candidates = Candidates(session, known, first, window, selection, k)
        self._window, self._fixed = window, fixed
        self._recallable = len(candidates.numbers) if reach.recalls_window else candidates.archived
        self._chosen: list[Sequence[int]] = []
        self._others: Sequence[Sequence[int]] | None = None

    def lay(self) -> Laid:
        """Choose, bring and lay out, while the prompt goes through."""
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
        scored = self._candidates.scores(blind)
        if asked.select is not None:
            by_layer = [sorted(row) for row in asked.select(self._known, len(blind))]
        else:
            by_layer = self._choose_blind(scored)
        with self._bringing(by_layer) as bringing:
            turn, logits = self._put(
                self._prompt.ids,
                max(map(self._tokens, by_layer)),
                lambda layer, query: self._laid_out(bringing, layer, by_layer[layer]),
            )
        return Laid(turn, self._evidence(scored), bringing.coverage, self._chosen, logits)

    def _choose_blind(self, scored: Scored) -> list[list[int]]:
        recipe, layers = self._session.adapter.recipe, len(scored.scores)
        offered = self._offered(scored)
        if recipe.recall == "together" and self._recallable:
            share = shares(offered, self._session.adapter.shape.head_dim, recipe.sharpness)
            (best,) = self._candidates.best(scored, share[None], self._top_k)
            return [self._fill(best)] * layers
        return [self._fill(best) for best in self._candidates.best(scored, offered, self._top_k)]

    def _offered(self, scored: Scored) -> Tensor:
        """Scores of the chunks that may be recalled."""
        return scored.scores if self._reach.recalls_window else scored.scores[:, : scored.archived]

    # ---------------------------------------------------------------- dependent

    def _lay_dependent(self, ids: Tensor, asked: Tensor, *, is_prompt: bool) -> Laid:
        session, share = self._session, asked_share(asked)
        scored: list[Scored] = []

        with self._bringing() as bringing:

            def choose(layer: int, query: Tensor) -> list[Segment]:
                vector = mean_query(query, share, session.adapter.shape.kv_heads)
                found = self._candidates.layer_scores(layer, vector)
                scored.append(found)
                (best,) = self._candidates.best(found, self._offered(found), self._top_k)
                return self._laid_out(bringing, layer, self._fill(best))

            turn, logits = self._put(ids, self._most_tokens(), choose)
        laid = Laid(turn, self._evidence(Scored.joined(scored)), bringing.coverage, self._chosen)
        if is_prompt:
            return replace(laid, logits=logits)
        turn.rewind()
        return laid

    # ---------------------------------------------------------------- both

    @property
    def _top_k(self) -> int:
        plan = self._asked.plan
        if plan is not None and not plan.has_model:
            return 0
        return self._asked.top_k or self._session.pace.top_k

    def _fill(self, best: Tensor) -> list[int]:
        """Chunk numbers, best first -> in time order, together with what other strategies chose."""
        ranked = best.tolist()
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

    def _bringing(self, by_layer: Sequence[Sequence[int]] | None = None) -> Bringing:
        bringing = Bringing(
            self._session,
            self._patience,
            self._window,
            with_window=self._reach.with_window,
            fixed=self._fixed,
            by_layer=by_layer,
        )
        self._chosen = bringing.chosen
        return bringing

    def _laid_out(self, bringing: Bringing, layer: int, numbers: Sequence[int]) -> list[Segment]:
        segments = bringing.layer(layer, numbers)
        self._check_length(segments)
        return segments

    def _put(self, ids: Tensor, context_tokens: int, choose: Choose) -> tuple[Turn, Tensor]:
        """Words behind a context that is laid out layer by layer, and logits ``[V]`` of what
        follows them.

        Args:
            context_tokens: the most that a layer's context may have.
        """
        adapter = self._session.adapter
        turn = Turn(
            adapter.rotary,
            self._session.window.sink.keys,
            adapter.shape.axes,
            context_tokens,
            self._room(max(len(ids), len(self._prompt.ids))),
            choose=choose,
        )
        return turn, next_logits(adapter, turn, ids)

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
        return recalled + self._fixed_tokens

    def _tokens(self, numbers: Sequence[int]) -> int:
        """Of a layer's context that holds these chunks."""
        return self._fixed_tokens + sum(map(self._tokens_of, numbers))

    def _tokens_of(self, number: int) -> int:
        try:
            return self._known.info(number).tokens
        except LookupError:  # `select` may give others
            return self._session.adapter.step_tokens

    @property
    def _fixed_tokens(self) -> int:
        """Of what every layer's context has."""
        if self._fixed is not None:
            return sum(segment.tokens for segment in self._fixed)
        live = sum(s.tokens for _, s in self._window if s is not None)
        return self._session.window.sink.tokens + (live if self._reach.with_window else 0)

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
        live = {number for number, segment in self._window if segment is not None}
        if self._fixed is not None:
            return live
        return {*chain.from_iterable(self._chosen), *(live if self._reach.with_window else ())}

    def _evidence(self, scored: Scored) -> tuple[Moment, ...]:
        """The moments that stand out over all layers among those in a context."""
        session, known = self._session, scored.numbers
        if not len(known):
            return ()
        share = shares(
            scored.scores, session.adapter.shape.head_dim, session.adapter.recipe.sharpness
        )
        numbers = torch.tensor(sorted(self._seen()), dtype=torch.int64)
        places = torch.searchsorted(known, numbers).clamp(max=len(known) - 1)
        places = places[known[places] == numbers]  # `select` may give others
        found = peaks(known[places], share[places.to(share.device)], session.config.evidence)
        return tuple(_moment(session, peak.first, peak.last, peak.score) for peak in found)


def selection_of(session: Session, asked: Asked) -> Selection:
    """How this question's scores become chosen chunks: as it says itself, else as the take."""
    config = session.config
    scores = config.scores if asked.scores is None else asked.scores
    apart_s = config.diversity_s if asked.diversity_s is None else asked.diversity_s
    return Selection.of(scores, apart_s)


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
    picture = session.thumbnail(first)
    return Moment(
        *(begin.start_s, end.end_s, score, begin.camera, picture, begin.wall_s), number=first
    )
