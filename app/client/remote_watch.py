"""Something that a server's take watches, as whoever asked for it holds it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from longtake.client.readings import Told
from longtake.client.wire import Wire
from longtake.server.takes.refusals import NoSuchSource
from longtake.streaming.errors import SourceError

LOOK_S = 0.25  # from one look to the next, while somebody waits
_OVER = ("ended", "failed")


class RemoteWatch:
    """One source.  What is told of it is asked each time; `told` is all of it at once.

    Args:
        path: of the take's sources, on the server.
        told: as the server described it when it began.
    """

    def __init__(self, wire: Wire, path: str, told: Told) -> None:
        self.id: str = told["id"]
        self.camera: str = told["camera"]
        self.kind: str = told["kind"]
        self.address: str = told["address"]
        self._wire, self._path = wire, path

    def __repr__(self) -> str:
        return f"RemoteWatch({self.id!r}, {self.address!r}, camera={self.camera!r})"

    def told(self) -> dict[str, Any]:
        """How it stands: state, error, frames, rate, lag.

        Raises:
            NoSuchSource: if the server has it no more.
        """
        listed = self._wire.json("GET", self._path)["sources"]
        for each in listed:
            if each["id"] == self.id:
                found: dict[str, Any] = each
                return found
        raise NoSuchSource(f"source {self.id} ({self.address}): the server has it no more")

    @property
    def state(self) -> str:
        """connecting, live, stalled, reconnecting, ended or failed."""
        state: str = self.told()["state"]
        return state

    @property
    def error(self) -> str:
        """What went wrong last; empty if nothing did."""
        error: str = self.told()["error"]
        return error

    def wait(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Until it has ended, as `told` then describes it; a file's frames have been seen then.

        Raises:
            TimeoutError: if that is not so in time; watching goes on.
            SourceError: if it failed.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        pause = threading.Event()
        while (told := self.told())["state"] not in _OVER:
            if until_s is not None and time.monotonic() >= until_s:
                raise TimeoutError(
                    f"{self.address}: is {told['state']}, not ended within {timeout_s} s"
                )
            pause.wait(LOOK_S)
        if told["state"] == "failed":
            raise SourceError(told["error"])
        return told

    def stop(self) -> None:
        """Watch no further; what came is still seen.  May be called twice."""
        with suppress(NoSuchSource):
            self._wire.send("DELETE", f"{self._path}/{self.id}")
