"""The plans of recall of one take, by their text.

They are kept, since their strategies remember what they learned about its chunks.
"""

from __future__ import annotations

import threading

from longtake.strategies.base import MODEL
from longtake.strategies.parse import Plan, plan

_MOST = 4  # the oldest is forgotten, with what it learned


class Plans:
    """May be used from any thread.

    Args:
        usual: of questions that name none.
        device: where text-image models run.
    """

    def __init__(self, usual: str, device: str) -> None:
        self._usual, self._device = usual, device
        self._lock = threading.Lock()
        self._held: dict[str, Plan] = {}

    def find(self, text: str | None) -> Plan | None:
        """None is the usual one; what is returned is None for the model's own recall alone.

        Raises:
            ValueError: names what is not understood.
        """
        text = self._usual if text is None else text
        if text == MODEL:
            return None
        with self._lock:
            if text not in self._held:
                self._held[text] = plan(text, device=self._device)
                while len(self._held) > _MOST:
                    self._held.pop(next(iter(self._held)))
            return self._held[text]

    def prepare(self) -> None:
        """Load what the usual plan needs.

        Raises:
            ModelError: if a text-image model of it cannot be used.
        """
        usual = self.find(None)
        if usual is not None:
            usual.prepare()
