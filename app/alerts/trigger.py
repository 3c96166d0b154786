"""From probabilities to events: one when a condition comes true, none while it stays so.

It fires after ``confirm`` judgements in a row that are at or above the threshold.  Then it waits
until as many in a row were below it, and until the cooldown is over; both in stream time, so that
a film that is read fast and a camera give the same events.
"""

from __future__ import annotations


class Trigger:
    """Hysteresis over the judgements of one alert.

    Args:
        cooldown_s: from one event to the next, at least.
    """

    def __init__(self, confirm: int, threshold: float, cooldown_s: float) -> None:
        self._confirm, self._threshold, self._cooldown_s = confirm, threshold, cooldown_s
        self.reset()

    def reset(self) -> None:
        """As if nothing had been judged."""
        self._since_s = 0.0  # first of the judgements in a row that found it true
        self._true = self._false = 0  # in a row
        self._fired_s: float | None = None
        self._is_released = True  # it was false for long enough since it fired

    def interrupt(self) -> None:
        """What comes makes no row with what was judged; the cooldown counts on."""
        self._true = self._false = 0
        self._is_released = True

    def judge(self, at_s: float, probability: float) -> float | None:
        """Take a judgement in.

        Args:
            at_s: never before an earlier one.

        Returns:
            None; or, where this makes an event, when the row began that confirms it.
        """
        if probability < self._threshold:
            self._true, self._false = 0, self._false + 1
            self._is_released = self._is_released or self._false >= self._confirm
            return None
        self._since_s = self._since_s if self._true else at_s
        self._true, self._false = self._true + 1, 0
        if self._true < self._confirm or not self._is_released or self._is_cooling(at_s):
            return None
        self._fired_s, self._is_released = at_s, False
        return self._since_s

    def _is_cooling(self, at_s: float) -> bool:
        return self._fired_s is not None and at_s - self._fired_s < self._cooldown_s
