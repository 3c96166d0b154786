"""What happens to one question.

The mode lays out what the question attends to; then tokens, one by one.  The session is read and
never changed; what the turn needed is dropped with it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import torch
from torch import Tensor

from longtake import scope
from longtake.answer import Answer, Timings
from longtake.asked import Asked
from longtake.models.base import ModelError
from longtake.models.bridge import no_numbers
from longtake.models.decode import Chooser
from longtake.session import Session
from longtake.turns import next_logits

Clock = Callable[[], float]


def answer(
    session: Session, asked: Asked, clock: Clock, is_over: Callable[[], bool] = lambda: False
) -> Generator[str, None, Answer]:
    """Yield an answer's text piece by piece; the generator's value is the `Answer`.

    Args:
        clock: seconds that only rise, for timings.
        is_over: looked at before each token; once true, the answer ends there and is partial.

    Raises:
        ValueError: for an empty question, or a context beyond what the model was trained for.
        ModelError: if the model's outputs are no numbers.
    """
    begun, adapter = clock(), session.adapter
    if is_over():
        spent = Timings(0.0, 0.0, 0.0, 0)
        late_s = max(asked.received_s, session.newest_s)
        return Answer(asked.question, "", (), 0.0, late_s, 0.0, True, spent)
    asked = replace(asked, dialogue=fit_dialogue(session, asked), is_over=is_over)
    prompt = session.mode.prompt(session, asked)
    live = len(session.window.infos)
    known = scope.settle(asked.when, session.past(), live, session.window_shape)
    decoding = asked.decoding or session.config.decoding
    _check_prompt(session, len(prompt.ids), decoding.max_tokens)
    with torch.inference_mode():
        laid = session.mode.lay(session, asked, prompt, known)
    recalled = first_token = clock()
    chooser, following, logits = Chooser(decoding, prompt.ids.tolist()), prompt.ids, laid.logits
    ids: list[int] = []
    text, is_whole = "", False
    while len(ids) < decoding.max_tokens and not is_over():
        with torch.inference_mode():
            if logits is None:
                logits = next_logits(adapter, laid.turn, following)
            if not ids:
                _check_numbers(session, logits)
            token = chooser.choose(logits)
        if not ids:
            first_token = clock()
        if token in adapter.stop_ids:
            is_whole = True
            break
        ids.append(token)
        following, logits = torch.tensor([token]), None
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
        evidence=laid.evidence,
        as_of_s=known.as_of_s,
        staleness_s=max(0.0, max(asked.received_s, session.newest_s) - known.as_of_s),
        coverage=laid.coverage,
        partial=not is_whole,
        timings=Timings(recalled - begun, first_token - begun, clock() - begun, len(ids)),
    )


def _check_prompt(session: Session, tokens: int, spoken: int) -> None:
    """Before anything is laid out: a question alone may be too long."""
    trained = session.adapter.shape.trained_tokens
    if session.window.sink.tokens + tokens + spoken > trained:
        raise ValueError(
            f"a question of {tokens} tokens and an answer of up to {spoken}: the model was trained "
            f"for {trained}. Shorten the question, or lower max_tokens"
        )


def _check_numbers(session: Session, logits: Tensor) -> None:
    if bool(logits.isnan().any()):
        what_to_do = no_numbers(session.adapter.dtype)
        raise ModelError(f"{session.adapter.name}: its outputs are no numbers (NaN){what_to_do}")


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
