"""An answer that is being spoken: a token a step, so that frames can be seen in between.

What a question attends to is its own copy, so the stream may go on while it is answered; the answer
is as of the frame before it began.  Who is next is not known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from longtake.answer import Answer
from longtake.answering import answer
from longtake.asked import Asked
from longtake.asking import Asking
from longtake.session import Session


class Speech:
    """One question's, on the worker.

    Args:
        deadline_s: from now; None: any time.
        turns: of the conversation that it continues, read when its turn comes.
        then: is called with the answer before whoever asked is told.
    """

    def __init__(
        self,
        session: Session,
        asked: Asked,
        deadline_s: float | None,
        turns: Callable[[], Sequence[tuple[str, str]]],
        then: Callable[[Answer], None] | None,
    ) -> None:
        self.of, self.asking, self._turns, self._then = session, Asking(), turns, then
        self._ends_s = None if deadline_s is None else time.monotonic() + deadline_s
        self._asked = replace(asked, left_s=self._left_s)
        self._pieces: Generator[str, None, Answer] | None = None

    @property
    def is_over(self) -> bool:
        """The next step is the last one: it was cancelled, or is due."""
        return self.asking.is_cancelled or self._left_s() == 0

    def step(self) -> bool:
        """On to the next token; whether there may be more.  Never raises."""
        try:
            if self._pieces is None:
                self.of.refresh()
                asked = replace(self._asked, dialogue=self._turns())
                self._pieces = answer(self.of, asked, time.monotonic, lambda: self.is_over)
            piece = next(self._pieces)
        except StopIteration as stop:
            self._finish(stop.value)
            return False
        except BaseException as error:
            self.asking.fail(error)
            return False
        if piece:
            self.asking.add(piece)
        return True

    def cut(self) -> None:
        """End here, with what has been said."""
        self.asking.cancel()
        while self.step():
            pass

    def _finish(self, told: Answer) -> None:
        try:
            if self._then is not None:
                self._then(told)
        except BaseException as error:
            self.asking.fail(error)
        else:
            self.asking.finish(told)

    def _left_s(self) -> float | None:
        return None if self._ends_s is None else max(0.0, self._ends_s - time.monotonic())
