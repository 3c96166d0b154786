"""One question with all that bears on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longtake import scope
from longtake.memory.selection import Selection
from longtake.models.decode import Decoding
from longtake.settings import SELECTIONS

if TYPE_CHECKING:
    from longtake.strategies.parse import Plan

MOST_CHOICES = 64  # each costs a forward

# Chooses chunk numbers for each layer (whose number is given) in place of recall.
Select = Callable[[scope.Scope, int], Sequence[Sequence[int]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is None comes from the take."""

    question: str
    dialogue: Sequence[tuple[str, str]] = ()
    when: scope.When = field(default_factory=scope.When)
    top_k: int | None = None
    decoding: Decoding | None = None
    select_by: str | None = None  # dependent or blind
    plan: Plan | None = None  # strategies of recall; None: the model's own
    recall_tokens: int | None = None  # what all of them may bring together
    scores: str | None = None  # that choose: plain, or centred
    diversity_s: float | None = None  # chunks this near a better one come last
    select: Select | None = None
    with_window: bool = True  # False: the newest part of the stream stays out of the context
    is_over: Callable[[], bool] = lambda: False  # looked at where choosing takes long
    left_s: Callable[[], float | None] = lambda: None  # until the answer is due; None: any time
    newest_received_s: Callable[[], float] = lambda: 0.0  # session time of the newest frame by now
    choices: tuple[str, ...] = ()  # the answer is one of these, if there are any

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise ValueError("the question is empty: ask something")
        if any("\ud800" <= letter <= "\udfff" for letter in self.question):  # odd bytes in Python
            raise ValueError("the question holds bytes that are no UTF-8: type it as text")
        if self.select_by is not None and self.select_by not in SELECTIONS:
            raise ValueError(f"select_by={self.select_by!r}: must be {' or '.join(SELECTIONS)}")
        scores = "plain" if self.scores is None else self.scores
        Selection.of(scores, self.diversity_s or 0.0)  # says what makes no sense
        for name in ("top_k", "recall_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        if self.choices:
            _check_choices(self.choices)


def _check_choices(choices: Sequence[str]) -> None:
    """What can be told without a model."""
    if isinstance(choices, str):
        raise ValueError(f"choices={choices!r}: must be several strings, not one")
    if not 2 <= len(choices) <= MOST_CHOICES:
        raise ValueError(f"{len(choices)} choices: must be 2 to {MOST_CHOICES}")
    for choice in choices:
        if not isinstance(choice, str) or not choice.strip():
            raise ValueError(f"choices: {choice!r} is empty; each must be some words")
        if any("\ud800" <= letter <= "\udfff" for letter in choice):
            raise ValueError("a choice holds bytes that are no UTF-8: type it as text")
    twice = [choice for choice in dict.fromkeys(choices) if choices.count(choice) > 1]
    if twice:
        raise ValueError(f"choices: {twice[0]!r} stands there twice")
