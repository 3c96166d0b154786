"""The narration of one take as a server holds it: its newest line, begun anew with a new source."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from longtake.streaming.errors import redact
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.narration.narration import Line, Narration
    from longtake.take import Take

_log = logging.getLogger(__name__)


class StandingNarration:
    """Of one take; any thread may call."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._lock, self._renewing = threading.Lock(), threading.Lock()
        self._narration: Narration | None = None
        self._wanted: dict[str, Any] | None = None  # settings; None: nobody wants one
        self._wishes = 0  # times that somebody began or ended one
        self._line: Line | None = None

    @property
    def is_wanted(self) -> bool:
        """Somebody asked for it, and nobody ended it."""
        return self._wanted is not None

    def begin(self, settings: dict[str, Any]) -> None:
        """Lines from now on; settings as `Take.narrate` takes them.  Raises as it does."""
        self._begin(settings, None)

    def stop(self) -> None:
        """Say no more.  May be called twice."""
        with self._lock:
            narration, self._narration, self._wanted = self._narration, None, None
            self._wishes += 1
        if narration is not None:
            narration.close()

    def renew(self) -> None:
        """A source has come: one that ended with the last one is begun again.  May wait for the
        worker."""
        with self._lock:
            is_over = self._narration is not None and self._narration.is_over
            settings, wish = self._wanted if is_over else None, self._wishes
        if settings is not None and self._renewing.acquire(blocking=False):
            try:
                self._begin(settings, wish)
            except (ValueError, RuntimeError) as error:  # somebody else narrates it, or it closes
                _log.warning("a narration is not begun again: %s", redact(one_line(error)))
            finally:
                self._renewing.release()

    def renew_soon(self) -> None:
        """The same without waiting."""
        if self._narration is not None and self._narration.is_over:
            threading.Thread(target=self.renew, name="longtake-narrate", daemon=True).start()

    def _begin(self, settings: dict[str, Any], wish: int | None) -> None:
        """None: somebody wishes it; else it is for a wish that must not be an older one by then."""
        narration = self._take.narrate(**settings)
        with self._lock:
            is_late = wish is not None and wish != self._wishes
            if not is_late:
                self._narration, self._wanted, self._line = narration, dict(settings), None
                self._wishes += 1
        if is_late:
            narration.close()

    def line(self) -> Line | None:
        """The newest line of this narration; takes those that wait."""
        with self._lock:
            narration = self._narration
            try:
                while narration is not None and (line := narration.poll(0.0)) is not None:
                    self._line = line
            except Exception:  # it failed: the take has logged that, and it is over
                self._narration = self._wanted = None
            return self._line

    def forget(self) -> None:
        """What was said is not shown any more."""
        self.line()
        with self._lock:
            self._line = None
