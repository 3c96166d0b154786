"""An answer that is one of some given strings: how likely the model is to say exactly each.

A choice is its tokens as the chat template writes an answer, and an end behind them; all of it is
put behind the prompt and looked up, nothing is sampled.  So the choices exclude each other, and
``yes`` takes nothing from ``yes please``.  What the context holds is not known here.

V vocabulary, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.answer import Choice
from longtake.memory.turn import Turn
from longtake.models.base import Adapter
from longtake.turns import put_words

_PROBE = "what"  # stands for a question where only the template around an answer matters


@dataclass(frozen=True, slots=True)
class Ranking:
    """Best first."""

    choices: tuple[Choice, ...]  # their probabilities sum to 1; () where nothing was scored
    mass: float | None  # how likely the model, left free, is to say exactly one of them


FREE = Ranking((), None)  # of an answer that could be anything


def spell(adapter: Adapter, choices: Sequence[str]) -> list[list[int]]:
    """The tokens of each choice, without an end.

    Raises:
        ValueError: if a choice holds no word, or one that the model's vocabulary has not; or if
            two of them are the same tokens.
    """
    spelled: dict[tuple[int, ...], str] = {}
    for choice in choices:
        ids = tuple(_answer_ids(adapter, choice))
        if ids in spelled:
            raise ValueError(
                f"choices {spelled[ids]!r} and {choice!r}: the same words to this model; leave "
                "one of them out"
            )
        spelled[ids] = choice
    return [list(ids) for ids in spelled]


@torch.inference_mode()
def log_probability(
    adapter: Adapter, turn: Turn, first_logits: Tensor, ids: Sequence[int]
) -> float:
    """ln of the probability of these tokens and any end behind them, as the answer.

    One forward; the turn is left as it was.

    Args:
        turn: with room for the tokens behind its prompt.
        first_logits: ``[V]`` of the answer's first token.
    """
    mark = turn.forwards
    try:
        behind = adapter.logits(put_words(adapter, turn, torch.tensor(list(ids))))
    finally:
        turn.rewind(mark)
    logs = torch.cat([first_logits[None], behind]).float().log_softmax(-1)  # [T + 1, V]
    said = torch.tensor(list(ids), device=logs.device)
    of_words = logs[:-1].gather(1, said[:, None]).double().sum()
    of_end = logs[-1, sorted(adapter.stop_ids)].double().logsumexp(0)
    return float(of_words + of_end)


def rank(choices: Sequence[str], logs: Sequence[float]) -> Ranking:
    """From ln of their probabilities, of as many choices as were scored in time."""
    if not logs:
        return FREE
    scores = torch.tensor(logs, dtype=torch.float64)
    if bool((scores == -math.inf).all()):  # none can be said: none is better
        scores = torch.zeros_like(scores)
    shares = scores.softmax(0).tolist()
    named = [Choice(text, share) for text, share in zip(choices, shares, strict=False)]
    mass = min(1.0, math.fsum(math.exp(log) for log in logs))
    return Ranking(tuple(sorted(named, key=lambda choice: -choice.probability)), mass)


def _answer_ids(adapter: Adapter, choice: str) -> list[int]:
    """Cut from a dialogue in the model's own template, which may put a space before an answer;
    where that cannot be, the words alone."""
    try:
        alone: list[int] = adapter.encode(choice).tolist()
    except ValueError:
        raise ValueError(f"choices: {choice!r} holds no word for this model") from None
    _check_known(adapter, choice)
    before = adapter.prompt(_PROBE).ids.tolist()
    written = adapter.prompt(_PROBE, [(_PROBE, choice)]).ids.tolist()
    rest = written[len(before) :]
    ends = [place for place, token in enumerate(rest) if token in adapter.stop_ids]
    if written[: len(before)] != before or not ends or not ends[0]:
        return alone
    inside = rest[: ends[0]]
    is_same = adapter.text(inside).split() == adapter.text(alone).split()
    return inside if is_same else alone


def _check_known(adapter: Adapter, choice: str) -> None:
    """A tokenizer of whole words has one token for all it was never taught: it has no text."""
    for word in choice.split():
        try:
            ids = adapter.encode(word).tolist()
        except ValueError:  # a mark that the model does not read
            continue
        is_whole = _letters(adapter.text(ids)) == _letters(word)
        if not is_whole and not all(adapter.text([token]) for token in ids):
            raise ValueError(
                f"choices: {word!r} in {choice!r} is no word of this model, which could say "
                "anything unknown for it; use words that it knows"
            )


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
