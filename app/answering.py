"""What happens to one question.

The mode lays out what the question attends to; then tokens, one by one, or the given choices, one
by one.  The session is read and never changed; what the turn needed is dropped with it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from longtake import scope
from longtake.answer import Answer, Timings
from longtake.asked import Asked
from longtake.choosing import FREE, Ranking, log_probability, rank, spell
from longtake.memory.marks import Gap
from longtake.models.base import Adapter, ModelError
from longtake.models.bridge import no_numbers
from longtake.models.decode import Chooser, Decoding
from longtake.recalling import Laid
from longtake.session import Session
from longtake.turns import next_logits

MOST_GAPS = 16  # that an answer tells of

Clock = Callable[[], float]
IsOver = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Said:
    """What came out of a context."""

    text: str
    tokens: int
    is_whole: bool
    first_s: float  # when there was something, by the clock
    ranking: Ranking = FREE


def answer(
    session: Session, asked: Asked, clock: Clock, is_over: IsOver = lambda: False
) -> Generator[str, None, Answer]:
    """Yield an answer's text piece by piece; the generator's value is the `Answer`.

    It yields behind every token, and behind every choice that was scored: ``""`` where there is
    no whole character to give.  The session may take in frames meanwhile.

    Args:
        clock: seconds that only rise, for timings.
        is_over: looked at before each token or choice; once true, the answer ends there and is
            partial.

    Raises:
        ValueError: for an empty question, a context beyond what the model was trained for, or
            choices that the model cannot say or tell apart.
        ModelError: if the model's outputs are no numbers.
    """
    begun = clock()
    if is_over():
        spent = Timings(0.0, 0.0, 0.0, 0)
        late_s = max(0.0, _newest_s(session, asked))
        return Answer(asked.question, "", (), 0.0, late_s, 0.0, True, spent)
    spelled = spell(session.adapter, asked.choices)
    decoding = _decoding(session, asked, spelled)
    asked = replace(asked, decoding=decoding, is_over=is_over)
    asked = replace(asked, dialogue=fit_dialogue(session, asked))
    prompt = session.mode.prompt(session, asked)
    known = scope.settle(
        asked.when, session.past(), len(session.window.infos), session.window_shape
    )
    _check_prompt(session, len(prompt.ids), decoding.max_tokens)
    with torch.inference_mode():
        laid = session.mode.lay(session, asked, prompt, known)
    recalled, gaps = clock(), _gaps(session, asked, known.as_of_s)
    if asked.choices:
        logits = _first_logits(session, laid, prompt.ids)
        said = yield from _choose(session.adapter, asked, spelled, laid, logits, clock)
    else:
        said = yield from _speak(session, decoding, laid, prompt.ids, clock, is_over)
    return Answer(
        question=asked.question,
        text=said.text,
        evidence=laid.evidence,
        as_of_s=known.as_of_s,
        staleness_s=max(0.0, _newest_s(session, asked) - known.as_of_s),
        coverage=laid.coverage,
        partial=not said.is_whole,
        timings=Timings(recalled - begun, said.first_s - begun, clock() - begun, said.tokens),
        choices=said.ranking.choices,
        mass=said.ranking.mass,
        gaps=gaps,
    )


def _speak(
    session: Session, decoding: Decoding, laid: Laid, prompt: Tensor, clock: Clock, is_over: IsOver
) -> Generator[str, None, _Said]:
    """Token by token, up to an end.  ``prompt``: int64 ``[T]``."""
    adapter, chooser = session.adapter, Chooser(decoding, prompt.tolist())
    logits = _first_logits(session, laid, prompt)
    ids: list[int] = []
    text, is_whole, first_s = "", False, clock()
    while len(ids) < decoding.max_tokens and not is_over():
        with torch.inference_mode():
            if ids:
                logits = next_logits(adapter, laid.turn, torch.tensor(ids[-1:]))
            token = chooser.choose(logits)
        if not ids:
            first_s = clock()
        if token in adapter.stop_ids:
            is_whole = True
            break
        ids.append(token)
        longer, piece = adapter.text(ids), ""
        if longer.startswith(text) and not longer.endswith("\ufffd"):  # no half a character
            text, piece = longer, longer[len(text) :]
        yield piece
    whole_text = adapter.text(ids)
    if whole_text.startswith(text) and len(whole_text) > len(text):
        yield whole_text[len(text) :]
    return _Said(whole_text, len(ids), is_whole, first_s)


def _choose(
    adapter: Adapter,
    asked: Asked,
    spelled: Sequence[Sequence[int]],
    laid: Laid,
    first_logits: Tensor,
    clock: Clock,
) -> Generator[str, None, _Said]:
    """Choice by choice; the likeliest of those that were scored in time is the answer."""
    logs: list[float] = []
    for ids in spelled:
        if asked.is_over():
            break
        logs.append(log_probability(adapter, laid.turn, first_logits, ids))
        yield ""
    ranking = rank(asked.choices, logs)
    text = ranking.choices[0].text if ranking.choices else ""
    tokens = len(spelled[asked.choices.index(text)]) if text else 0
    said = _Said(text, tokens, len(logs) == len(spelled), clock(), ranking)
    if text:
        yield text
    return said


def _decoding(session: Session, asked: Asked, spelled: Sequence[Sequence[int]]) -> Decoding:
    """The question's or the take's; behind the prompt there is room for the longest choice."""
    decoding = asked.decoding or session.config.decoding
    return replace(decoding, max_tokens=max(map(len, spelled))) if spelled else decoding


@torch.inference_mode()
def _first_logits(session: Session, laid: Laid, prompt: Tensor) -> Tensor:
    """``[V]`` of what follows the prompt.

    Raises:
        ModelError: if they are no numbers.
    """
    logits = laid.logits
    if logits is None:
        logits = next_logits(session.adapter, laid.turn, prompt)
    if bool(logits.isnan().any()):
        what_to_do = no_numbers(session.adapter.dtype)
        raise ModelError(f"{session.adapter.name}: its outputs are no numbers (NaN){what_to_do}")
    return logits


def _newest_s(session: Session, asked: Asked) -> float:
    """Session time of the newest frame that has come by now."""
    return max(asked.newest_received_s(), session.newest_s)


def _gaps(session: Session, asked: Asked, as_of_s: float) -> tuple[Gap, ...]:
    """The newest stretches of what was asked about that are not held."""
    start_s, end_s = asked.when.between_s or (0.0, as_of_s)
    return tuple(session.gaps(start_s, end_s)[-MOST_GAPS:])


def _check_prompt(session: Session, tokens: int, spoken: int) -> None:
    """Before anything is laid out: a question alone may be too long."""
    trained = session.adapter.shape.trained_tokens
    if session.window.sink.tokens + tokens + spoken > trained:
        raise ValueError(
            f"a question of {tokens} tokens and an answer of up to {spoken}: the model was trained "
            f"for {trained}. Shorten the question, or lower max_tokens"
        )


def check_room(session: Session, question: str, decoding: Decoding | None) -> None:
    """As a question is checked when its turn has come.  From any thread.

    Raises:
        ValueError: if it is too long, with the answer that it may get.
    """
    spoken = decoding or session.config.decoding
    _check_prompt(session, len(session.adapter.prompt(question).ids), spoken.max_tokens)


def fit_dialogue(session: Session, asked: Asked) -> list[tuple[str, str]]:
    """The newest turns that fit into ``dialogue_tokens``, and into what the rest leaves free."""
    adapter, pace = session.adapter, session.pace
    if not asked.dialogue or not pace.dialogue_tokens:
        return []
    alone = len(adapter.prompt(asked.question).ids)
    spoken = (asked.decoding or session.config.decoding).max_tokens
    used = session.window.sink.tokens + _recalled_tokens(session, asked) + alone + spoken
    if session.mode.reach.with_window and asked.with_window:
        at_now = asked.when.at_s is None
        used += session.window.tokens if at_now else session.pace.window_tokens
    most = min(pace.dialogue_tokens, adapter.shape.trained_tokens - used)
    kept: list[tuple[str, str]] = []
    for turn in reversed(asked.dialogue):
        longer = [turn, *kept]
        if len(adapter.prompt(asked.question, longer).ids) - alone > most:
            break
        kept = longer
    return kept


def _recalled_tokens(session: Session, asked: Asked) -> int:
    """The most that may come back in a layer."""
    if not session.mode.reach.recalls:
        return 0
    top_k, plan = asked.top_k or session.pace.top_k, asked.plan
    chosen = top_k if plan is None else plan.most(top_k)  # of all who choose
    tokens = min(chosen, session.chunks) * session.adapter.step_tokens
    return tokens if asked.recall_tokens is None else min(tokens, asked.recall_tokens)
