"""The last questions of one take, and how long their answers took; not what was answered."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtake.answer import Answer

MOST = 20
MOST_LETTERS = 200  # of a question


class AskingLog:
    """Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: deque[dict[str, Any]] = deque(maxlen=MOST)
        self.answered = self.failed = 0

    def note(self, answer: Answer) -> None:
        """It is complete, or was cut short."""
        timings = answer.timings
        entry = {
            "question": answer.question[:MOST_LETTERS],
            "recall_s": timings.recall_s,
            "first_token_s": timings.first_token_s,
            "total_s": timings.total_s,
            "tokens": timings.tokens,
        }
        with self._lock:
            self._answers.append(entry)
            self.answered += 1

    def note_failure(self) -> None:
        """A question got no answer."""
        with self._lock:
            self.failed += 1

    def newest(self) -> list[dict[str, Any]]:
        """In the order in which they were answered; JSON."""
        with self._lock:
            return [dict(entry) for entry in self._answers]

    def clear(self) -> None:
        """Nothing of them is shown any more."""
        with self._lock:
            self._answers.clear()
