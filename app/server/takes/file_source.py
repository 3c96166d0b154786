"""A file that a take watches, as one of its sources."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from longtake.server.own_places import without_places
from longtake.server.takes.lens import Lens, Sight
from longtake.server.takes.source_state import SourceState, shown_address
from longtake.streaming.errors import redact
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.take import Take
    from longtake.watch import Watch


class FileSource:
    """Of one `Watch`; any thread may call.

    Args:
        name: as it is shown, in place of its path.
        size: of its pictures, where known.
    """

    def __init__(
        self,
        take: Take,
        watch: Watch,
        *,
        name: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.camera, self.kind = watch.camera, watch.kind
        self._name = shown_address(watch.address) if name is None else name
        self._size = size
        self._take, self._watch = take, watch
        self.lens = Lens(watch.camera, self._look, lambda: take.masks)

    def state(self, id: str) -> SourceState:
        report, error = self._watch.report, self._error()
        state = "live" if not self._watch.is_seen() else "failed" if error else "ended"
        return SourceState(
            id=id,
            camera=self.camera,
            kind=self.kind,
            address=self._name,
            state=state,
            error=error,
            seen=report.decoded,
            kept=report.kept,
            dropped=max(0, report.decoded - report.kept),
            size=self._size,
        )

    runs = False  # a file has a time of its own

    def halt(self) -> None:
        """Nothing to be begun: `stop` does not wait long."""

    def stop(self, wait_s: float = 0.0) -> None:
        """Read no further; what was read is still seen."""
        self._watch.stop()

    def forget(self) -> None:
        """What was shown is not shown any more."""
        self.lens.forget()

    def _error(self) -> str:
        try:
            self._watch.wait(0.0)
        except TimeoutError:
            return ""
        except Exception as error:
            said = redact(one_line(error)).replace(self._watch.address, self._name)
            return without_places(said)
        return ""

    def _look(self) -> Sight | None:
        """Of a file the chunks' own pictures are shown."""
        if self._watch.is_seen():
            return None
        picture = self._take.picture_at(self._take.now_s, self.camera)
        if picture is None or picture.jpeg is None:
            return None
        return Sight(picture.number, time.monotonic(), picture.jpeg)
