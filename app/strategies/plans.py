"""The plans of recall of one take, by their text.

A plan is read anew for each question that names one; what is worth keeping, text-image models and
what they learned about the take's chunks, they share.
"""

from __future__ import annotations

from collections.abc import Collection

from longtake.strategies.base import MODEL
from longtake.strategies.gallery import Galleries
from longtake.strategies.parse import Plan, plan


class Plans:
    """May be used from any thread.

    Args:
        usual: of questions that name none; its text-image models are never dropped.
        device: where text-image models run.
        galleries: in place of the take's own on that device.

    Raises:
        ValueError: names what is not understood.
    """

    def __init__(self, usual: str, device: str, galleries: Galleries | None = None) -> None:
        self._text, self._galleries = usual, galleries or Galleries(device)
        self._usual = self._read(usual)
        if self._usual is not None:
            self._galleries.keep(self._usual.models)

    def find(self, text: str | None) -> Plan | None:
        """None is the usual one; what is returned is None for the model's own recall alone.

        Raises:
            ValueError: names what is not understood, or text-image models that are too many.
        """
        return self._usual if text is None or text == self._text else self._read(text)

    def prepare(self) -> None:
        """Load what the usual plan needs.

        Raises:
            ModelError: if a text-image model of it cannot be used.
        """
        if self._usual is not None:
            self._usual.prepare()

    def forget(self, numbers: Collection[int]) -> None:
        """Forget what was learned about some chunks."""
        self._galleries.forget(numbers)

    def _read(self, text: str) -> Plan | None:
        return None if text == MODEL else plan(text, self._galleries)
