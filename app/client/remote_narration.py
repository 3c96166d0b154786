"""Lines about what a server's take sees, begun and ended from here."""

from __future__ import annotations

from types import TracebackType

from longtake.client.wire import Wire
from longtake.narration.narration import Line


class RemoteNarration:
    """A context manager; the server keeps the lines as captions of the take's memory.

    Args:
        path: of the take, on the server.
    """

    def __init__(self, wire: Wire, path: str) -> None:
        self._wire, self._path = wire, path

    def newest(self) -> Line | None:
        """What was said last; None before the first line."""
        told = self._wire.json("GET", f"{self._path}/state")["caption"]
        if not told or not told["text"]:
            return None
        return Line(told["start_s"], told["end_s"], told["text"])

    def close(self) -> None:
        """Say no more.  May be called twice."""
        self._wire.send("DELETE", f"{self._path}/narration")

    def __enter__(self) -> RemoteNarration:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
