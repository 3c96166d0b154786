"""The narration of a take: one at a time, begun and ended with the take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtake.narration.narration import Narration
from longtake.narration.telling import Telling

if TYPE_CHECKING:
    from longtake.session import Session


class Narrating:
    """Of one take.  `begin` is called on the engine's worker, the rest from any thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._newest: Narration | None = None
        self._is_closed = False

    def begin(self, telling: Telling) -> Narration:
        """From the next chunk on.

        Raises:
            RuntimeError: if another narration is going on, or the take is closed.
            ValueError: if the mode cannot narrate like this.
        """
        if self._is_closed:
            raise RuntimeError("this take is closed")
        if self._newest is not None and not self._newest.is_over:
            raise RuntimeError("this take is being narrated already: close that narration first")
        narration = Narration()
        self._session.mode.narrate(self._session, telling, narration)
        self._newest = narration
        return narration

    def end(self) -> None:
        """The take's sources have ended."""
        if self._newest is not None:
            self._newest.end()

    def fail(self, error: BaseException) -> None:
        """Frames could not be taken in."""
        if self._newest is not None:
            self._newest.fail(error)

    def forget(self, start_s: float, end_s: float) -> None:
        """Nothing of a span is to be told any more."""
        if self._newest is not None:
            self._newest.forget(start_s, end_s)

    def close(self) -> None:
        """For ever."""
        self._is_closed = True
        self.end()
