"""Events of one take as they come, for its alerts on this side: one thread, one stream.

Where the connection is lost it is made anew, and goes on behind the last event that came.  At
every sign of life it is looked whether the alerts are still there, so that nobody waits for one
that judges no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from longtake.client.event_stream import EventStream
from longtake.client.patience import Patience
from longtake.client.readings import Told, alert_event_of
from longtake.client.remote_errors import RemoteError, error_of_told
from longtake.client.wire import Wire
from longtake.server.takes.closing import SERVER_ENDING

GONE = (
    "the server does not have this alert any more: it was removed there, or the server was started "
    "anew; set it again"
)


class Listening(Protocol):
    """What the feed needs of an alert."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def is_over(self) -> bool: ...

    def tell(self, event: Any) -> None: ...

    def end(self) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class EventFeed:
    """Of one take; begins with `start`, ends with `close` or with the take.

    Args:
        path: of the take, on the server.
        listening: the alerts there are on this side, asked for each time.
    """

    def __init__(self, wire: Wire, path: str, listening: Callable[[], Sequence[Listening]]) -> None:
        self._wire, self._path, self._listening = wire, path, listening
        self._lock = threading.Lock()
        self._patience = Patience()
        self._stream: EventStream | None = None
        self._over = threading.Event()
        self._opened_wall_s: float | None = None  # of the take that is listened to
        self._last = ""  # number of the newest event that came
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns when it listens: whatever happens from now on is told.

        Raises as a request does.
        """
        stream = self._open()
        # Where nothing is told before the connection is lost, it goes on behind this number; what
        # comes meanwhile is told by the stream that is open.
        self._last = str(self._wire.json("GET", f"{self._path}/state")["last_event"])
        self._thread = threading.Thread(
            target=self._run, args=(stream,), name="longtake-client-events", daemon=True
        )
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def close(self, wait_s: float = 2.0) -> None:
        """Listen no more.  May be called twice, and by whoever is told an event."""
        self._over.set()
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.end()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(wait_s)

    # ---------------------------------------------------------------- its thread

    def _open(self) -> EventStream:
        """Raises RemoteError where the take is another one than it was: its numbers begin anew."""
        opened_wall_s = self._wire.json("GET", self._path)["opened_wall_s"]
        if self._opened_wall_s not in (None, opened_wall_s):
            raise RemoteError(0, GONE)
        self._opened_wall_s = opened_wall_s
        headers = {"Last-Event-ID": self._last} if self._last else None
        stream = self._wire.events("GET", f"{self._path}/events/stream", headers=headers)
        with self._lock:
            self._stream = stream
        self._patience.connected()
        return stream

    def _run(self, first: EventStream) -> None:
        stream: EventStream | None = first
        while not self.is_over:
            try:
                if stream is None:
                    stream = self._open()
                    self._look()
                with stream:
                    self._follow(stream)
            except Exception as error:
                self._lose(error)
            stream = None
        for alert in self._listening():
            alert.end()

    def _follow(self, stream: EventStream) -> None:
        for event in stream:
            if self.is_over:
                return
            if event.kind == "":
                self._look()
            elif event.kind == "end":
                if event.data["reason"] == SERVER_ENDING.reason:  # it may come back
                    raise ConnectionError(event.data["reason"])
                self._over.set()
                return
            elif event.kind == "error":
                raise error_of_told(event.data)
            else:
                self._last = event.number or self._last
                if event.kind == "alert":
                    self._tell(event.data)
        raise ConnectionError("the stream of events ended")

    def _tell(self, told: Told) -> None:
        event = alert_event_of(told)
        for alert in self._listening():
            if alert.name == event.name:
                alert.tell(event)

    def _look(self) -> None:
        """Whether the server still has the alerts."""
        before = [alert for alert in self._listening() if not alert.is_over]
        if not before:
            return
        told = self._wire.json("GET", f"{self._path}/alerts")["alerts"]
        found = {(each["id"], each["name"]): each for each in told}
        for alert in before:
            state = found.get((alert.id, alert.name))
            if state is None:
                alert.fail(RemoteError(0, GONE))
            elif state["over"] and state.get("error"):
                alert.fail(RemoteError(0, state["error"]))
            elif state["over"]:
                alert.end()

    def _lose(self, error: Exception) -> None:
        if self.is_over:
            return
        if self._patience.goes_on(error):
            self._over.wait(self._patience.pause_s)
            return
        for alert in self._listening():
            alert.fail(error)
        self._over.set()
