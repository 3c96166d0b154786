"""What happens to one question.

`recall`: the question goes through the decoder without video, and its queries choose chunks for
every layer.  `context`: they come back and are laid out with sink and window.  Then tokens.  The
session is read and never changed; what the turn needed is dropped with it.

L layers, G key heads, D head dimension, N chunks, V vocabulary.
Source: ReKV (arXiv 2503.00540) for recall inside the model; here the window and the dialogue
stay in the context, which it leaves out; and a recipe may let all layers recall the same chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from longtake import scope
from longtake.answer import Answer, Moment, Timings
from longtake.memory.chunk import summarize
from longtake.memory.layout import Segment
from longtake.memory.recall import BlindQuery, peaks, shares
from longtake.memory.turn import Turn
from longtake.models.base import Prompt
from longtake.models.decode import Chooser, Decoding
from longtake.session import Session

Clock = Callable[[], float]
# Chooses chunk numbers for each layer (whose number is given) in place of recall.
Select = Callable[[scope.Scope, int], Sequence[Sequence[int]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One question with all that bears on it."""

    question: str
    dialogue: Sequence[tuple[str, str]] = ()
    when: scope.When = field(default_factory=scope.When)
    top_k: int | None = None
    decoding: Decoding | None = None
    select: Select | None = None
    with_window: bool = True  # False: the newest part of the stream stays out of the context
    received_s: float = 0.0  # session time of the newest frame that had come when it was asked


class Selection(NamedTuple):
    """What recall chose."""

    by_layer: list[list[int]]  # chunk numbers in time order
    evidence: tuple[Moment, ...]


def answer(
    session: Session, asked: Asked, clock: Clock, is_over: Callable[[], bool] = lambda: False
) -> Generator[str, None, Answer]:
    """Yield an answer's text piece by piece; the generator's value is the `Answer`.

    Args:
        clock: seconds that only rise, for timings.
        is_over: looked at before each token; once true, the answer ends there and is partial.

    Raises:
        ValueError: for an empty question, or a context beyond what the model was trained for.
    """
    begun, adapter = clock(), session.adapter
    if is_over():
        spent = Timings(0.0, 0.0, 0.0, 0)
        late_s = max(asked.received_s, session.newest_s)
        return Answer(asked.question, "", (), 0.0, late_s, 0.0, True, spent)
    prompt = adapter.prompt(asked.question, fit_dialogue(session, asked))
    live = len(session.window.infos)
    known = scope.settle(asked.when, session.past(), live, session.window_shape)
    if not asked.with_window:
        known = replace(known, window=())
    decoding = asked.decoding or session.config.decoding
    with torch.inference_mode():
        window = read_window(session, known)
        selection = recall(session, prompt, known, window, asked)
        room = len(prompt.ids) + decoding.max_tokens
        turn, coverage = context(session, selection, window, room)
    recalled = first_token = clock()
    chooser, following = Chooser(decoding), prompt.ids
    ids: list[int] = []
    text, is_whole = "", False
    while len(ids) < decoding.max_tokens and not is_over():
        with torch.inference_mode():
            token = chooser.choose(next_logits(session, turn, following))
        if not ids:
            first_token = clock()
        if token in adapter.stop_ids:
            is_whole = True
            break
        ids.append(token)
        following = torch.tensor([token])
        longer = adapter.text(ids)
        if longer.startswith(text) and not longer.endswith("\ufffd"):  # no half a character
            if len(longer) > len(text):
                yield longer[len(text) :]
            text = longer
    whole_text = adapter.text(ids)
    if whole_text.startswith(text) and len(whole_text) > len(text):
        yield whole_text[len(text) :]
    return Answer(
        question=asked.question,
        text=whole_text,
        evidence=selection.evidence,
        as_of_s=known.as_of_s,
        staleness_s=max(0.0, max(asked.received_s, session.newest_s) - known.as_of_s),
        coverage=coverage,
        partial=not is_whole,
        timings=Timings(recalled - begun, first_token - begun, clock() - begun, len(ids)),
    )


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


def recall(
    session: Session, prompt: Prompt, known: scope.Scope, window: Window, asked: Asked
) -> Selection:
    """The chunks that each layer gets, and the moments that stand out over all layers."""
    blind = blind_vectors(session, prompt)
    dim, recipe = session.adapter.shape.head_dim, session.adapter.recipe
    scores = session.index.scores(blind, known.first, known.last)
    numbers = session.index.numbers(known.first, known.last)
    top_k = asked.top_k or session.pace.top_k
    if asked.select is not None:
        by_layer = [sorted(row) for row in asked.select(known, len(blind))]
    elif recipe.recall == "together" and len(numbers):
        best = shares(scores, dim, recipe.sharpness).topk(min(top_k, len(numbers))).indices
        by_layer = [sorted(numbers[best.cpu()].tolist())] * len(blind)
    else:
        found, _ = session.index.search(blind, top_k, known.first, known.last)
        by_layer = [sorted(row) for row in found.tolist()]
    live = [(n, summarize(s.keys).cpu()) for n, s in window if s is not None]
    everything = torch.cat([scores, *((blind * k).sum(1, keepdim=True) for _, k in live)], 1)
    candidates = torch.cat([numbers, torch.tensor([n for n, _ in live], dtype=torch.int64)])
    if not len(candidates):
        return Selection(by_layer, ())
    share = shares(everything, dim, recipe.sharpness)
    found_peaks = peaks(candidates, share, session.config.evidence)
    moments = tuple(_moment(session, peak.first, peak.last, peak.score) for peak in found_peaks)
    return Selection(by_layer, moments)


def blind_vectors(session: Session, prompt: Prompt) -> Tensor:
    """The question's mean queries ``[L, G*D]``, from a forward that sees no video."""
    adapter, sizes = session.adapter, session.adapter.shape
    words = int(prompt.asked.nonzero()[-1]) + 1
    listener = BlindQuery(prompt.asked[:words], sizes.layers, sizes.kv_heads)
    sink = [[_layer_of(session.window.sink, layer)] for layer in range(sizes.layers)]
    turn = Turn(adapter.rotary, sink, words, sizes.axes, listener)
    turn.begin(words)
    adapter.decode_step(adapter.embed(prompt.ids[:words]), turn, {})
    return listener.vectors().cpu()


def context(
    session: Session, selection: Selection, window: Window, room: int
) -> tuple[Turn, float]:
    """Bring the chunks and lay out ``[sink | recalled | window]`` for each layer.

    Returns:
        The turn, and the share of the selected chunks that could be read.
    """
    sizes = session.adapter.shape
    live = [segment for _, segment in window if segment is not None]
    arrived, wanted = len(live) * sizes.layers, len(window) * sizes.layers
    layers = []
    for layer in range(sizes.layers):
        segments = [_layer_of(session.window.sink, layer)]
        for number in selection.by_layer[layer]:
            wanted += 1
            try:
                segments.append(session.layer(number, layer))
            except (LookupError, OSError):  # told by the coverage
                continue
            arrived += 1
        segments += [_layer_of(segment, layer) for segment in live]
        layers.append(segments)
    turn = Turn(session.adapter.rotary, layers, room, sizes.axes)
    if turn.next_position + room > sizes.trained_tokens:
        raise ValueError(
            f"{turn.context_tokens} tokens of context and {room} of question and answer: the "
            f"model was trained for {sizes.trained_tokens}. Lower --top-k or --window"
        )
    return turn, arrived / wanted if wanted else 1.0


def next_logits(session: Session, turn: Turn, ids: Tensor) -> Tensor:
    """Put tokens behind the turn; logits ``[V]`` of what follows them."""
    adapter = session.adapter
    turn.begin(len(ids))
    hidden = adapter.decode_step(adapter.embed(ids), turn, {})
    turn.commit()
    return adapter.logits(hidden[-1:])[0]


def fit_dialogue(session: Session, asked: Asked) -> list[tuple[str, str]]:
    """The newest turns that fit into ``dialogue_tokens``, and into what the rest leaves free."""
    adapter, pace = session.adapter, session.pace
    alone = len(adapter.prompt(asked.question).ids)
    recalled = min(asked.top_k or pace.top_k, session.chunks) * adapter.step_tokens
    spoken = (asked.decoding or session.config.decoding).max_tokens
    sink = session.window.sink.positions.shape[1]
    used = sink + recalled + pace.window_tokens + alone + spoken
    most = min(pace.dialogue_tokens, adapter.shape.trained_tokens - used)
    kept: list[tuple[str, str]] = []
    for turn in reversed(asked.dialogue):
        longer = [turn, *kept]
        if len(adapter.prompt(asked.question, longer).ids) - alone > most:
            break
        kept = longer
    return kept


def _moment(session: Session, first: int, last: int, score: float) -> Moment:
    begin, end = session.info(first), session.info(last)
    return Moment(begin.start_s, end.end_s, score, begin.camera, session.thumbnail(first))


def _layer_of(segment: Segment, layer: int) -> Segment:
    return Segment(segment.keys[layer], segment.values[layer], segment.positions)
