"""What was said in conversations: the newest turns of the newest ones, as text."""

from __future__ import annotations

import threading
from collections.abc import Sequence

MAX_CONVERSATIONS = 16
MAX_TURNS = 64  # of each; how many of them reach the model is bounded in tokens

Turns = tuple[tuple[str, str], ...]


def checked_dialogue(dialogue: Sequence[tuple[str, str]]) -> Turns:
    """Turns that somebody gives: the newest `MAX_TURNS` of them.

    Raises:
        ValueError: if one is no question with its answer.
    """
    for turn in dialogue:
        if isinstance(turn, str) or len(turn) != 2 or not all(isinstance(t, str) for t in turn):
            raise ValueError(f"dialogue: {turn!r} is no pair of a question and its answer, as text")
        if any("\ud800" <= letter <= "\udfff" for text in turn for letter in text):
            raise ValueError("the dialogue holds bytes that are no UTF-8: give it as text")
    return tuple((question, told) for question, told in dialogue[-MAX_TURNS:])


class Dialogues:
    """Of one take, by name.  Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, Turns] = {}

    def turns(self, name: str | None) -> Turns:
        """Questions and answers of a conversation, oldest first; None has none."""
        with self._lock:
            return () if name is None else self._turns.get(name, ())

    def clear(self) -> None:
        """Forget all conversations."""
        with self._lock:
            self._turns.clear()

    def add(self, name: str, question: str, answer: str) -> None:
        """The conversation becomes the newest; the oldest beyond the bound is forgotten."""
        with self._lock:
            turns = self._turns.pop(name, ())
            self._turns[name] = (*turns, (question, answer))[-MAX_TURNS:]
            while len(self._turns) > MAX_CONVERSATIONS:
                del self._turns[next(iter(self._turns))]
