"""The side of a narration that decides: which moments there are, and what is said at each.

It runs on the engine's worker and holds nothing of the stream.  The stream must go on whatever goes
wrong here: no method raises, an exception ends the narration and goes to whoever listens.
"""

from __future__ import annotations

from collections.abc import Callable

from longtake.narration.narration import Narration
from longtake.narration.telling import Telling
from longtake.narration.voice import Voice

_SLACK = 1e-6  # of a moment: times are sums of fractions

Keep = Callable[[float, float, str], None]  # from when to when, what was said


class Narrator:
    """One narration's.

    Args:
        telling: settled.
        frame_s: how long a frame is shown.
        keep: takes each line, with the span of the step that it was spoken about.
    """

    def __init__(
        self,
        telling: Telling,
        narration: Narration,
        frame_s: float,
        keep: Keep = lambda start_s, end_s, text: None,
    ) -> None:
        self.telling, self._narration, self._frame_s = telling, narration, frame_s
        self._rule, self._keep = telling.make_rule(), keep
        self._first_s: float | None = None  # the first moment
        self._end_s = float("-inf")  # of the newest step
        self._forgotten = narration.forgotten
        self._moment = -1  # how many spans of `every_s` behind it the newest one was

    @property
    def is_over(self) -> bool:
        return self._narration.is_over

    def is_due(self, end_s: float) -> bool:
        """Whether the step that ends there is the first of its ``every_s`` seconds."""
        try:
            return self._is_first(end_s)
        except Exception as error:
            self._narration.fail(error)
            return False

    def decide(self, open_voice: Callable[[], Voice]) -> tuple[list[int], str] | None:
        """A line's tokens and its words, none for silence; None where that went wrong."""
        try:
            if self._forgotten != self._narration.forgotten:  # what was said is no ground any more
                self._forgotten = self._narration.forgotten
                self._rule = self.telling.make_rule()
            voice = open_voice()
            ids = self._rule.decide(voice)
            return ids, voice.text(ids)
        except Exception as error:
            self._narration.fail(error)
            return None

    def tell(self, start_s: float, text: str) -> None:
        """Hand on what was said about the step that begins there; nothing is silence."""
        try:
            line = " ".join(text.split())
            if line:
                self._narration.add(start_s, line)
                self._keep(start_s, max(start_s, self._end_s), line)
            elif not self._rule.keeps:
                self._narration.fall_silent(start_s)
        except Exception as error:
            self._narration.fail(error)

    def _is_first(self, end_s: float) -> bool:
        self._end_s = end_s
        self._narration.reach(end_s + self._frame_s)
        if self._first_s is None:
            self._first_s = end_s
        moment = int((end_s - self._first_s) / self.telling.every_s + _SLACK)
        is_new, self._moment = moment > self._moment, max(moment, self._moment)
        return is_new
