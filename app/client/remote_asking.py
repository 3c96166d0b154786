"""A question on its way to a server and back: one thread reads what is spoken.

It is an `Asking` as a take on this machine gives; who is asked, and with what, is not known here.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from longtake.answer import Answer, Timings
from longtake.asking import Asking
from longtake.client.event_stream import EventStream
from longtake.client.readings import Told, answer_of
from longtake.client.remote_errors import error_of_told

BROKEN_OFF = "the answer broke off: the connection, or the server, ended before it did"


class RemoteAsking(Asking):
    """One question's answer in the making; all methods may be called from any thread.

    `cancel` ends it at once with the text that had come: as ``partial``, without evidence, and
    with times and shares that nobody knows as NaN.  (`RemoteTake.cancel` lets the server end all
    answers, with their evidence.)

    Args:
        stream: pieces, then the answer, as ``POST ask`` gives them.
        finished: makes of an answer what is given out; may ask the server for more.
    """

    def __init__(
        self,
        question: str,
        stream: EventStream,
        finished: Callable[[Answer], Answer] = lambda answer: answer,
    ) -> None:
        super().__init__()
        self._question, self._stream, self._finished = question, stream, finished
        self._begun_s = time.monotonic()
        self._thread = threading.Thread(
            target=self._read, name="longtake-client-asking", daemon=True
        )
        self._thread.start()

    def cancel(self) -> None:
        """End the answer; `result` then gives what there is, as partial."""
        if self.done():
            return
        super().cancel()
        self._stream.end()

    def join(self, timeout_s: float) -> None:
        """Until nothing is read any more."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _read(self) -> None:
        said: list[str] = []
        try:
            with self._stream:
                answer = self._finished(answer_of(self._answer_told(said)))
        except BaseException as error:
            if self.is_cancelled:
                self.finish(self._cut("".join(said)))
            else:
                self.fail(error)
            return
        self.finish(answer)

    def _answer_told(self, said: list[str]) -> Told:
        for event in self._stream:
            if event.kind == "piece":
                said.append(event.data["text"])
                self.add(event.data["text"])
            elif event.kind == "answer":
                told: Told = event.data
                return told
            elif event.kind == "error":
                raise error_of_told(event.data)
        raise ConnectionError(BROKEN_OFF)

    def _cut(self, text: str) -> Answer:
        return Answer(
            question=self._question,
            text=text,
            evidence=(),
            as_of_s=math.nan,
            staleness_s=math.nan,
            coverage=math.nan,
            partial=True,
            timings=Timings(math.nan, math.nan, time.monotonic() - self._begun_s, 0),
        )
