"""Frames of one camera on their way to a server: one waits, the newest; one thread sends.

    push -> [ newest ] -> JPEG -> WebSocket -> {"seq", "accepted", "reason", "lag_s"}

At most `MOST_UNANSWERED` are on the way.  Where the connection is lost it is made anew, and the
newest frame waits for that.  Every frame that was pushed is waiting, on the way, accepted, or
dropped and counted by reason.
"""

from __future__ import annotations

import json
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from longtake.client.patience import Patience
from longtake.client.remote_errors import RemoteError
from longtake.client.wire import Wire
from longtake.server.takes.closing import (
    MALFORMED,
    NO_TAKE,
    NORMAL,
    NOT_LET_IN,
    TOO_LARGE,
    WRONG_ORIGIN,
)
from longtake.server.takes.refusals import NoSuchTake
from longtake.streaming.encoded import size_of
from longtake.streaming.errors import redact
from longtake.streaming.frame import Frame

ON_ITS_WAY = "on its way"
NEWER, LOST, LARGE, GIVEN_UP = "a newer one came", "connection lost", "too large", "given up"
MOST_UNANSWERED = 2
LISTEN_S = 0.02  # for a new frame, between two looks for answers
IDLE_S = 0.2  # likewise, where none is on the way
FULL_S = 0.2  # for an answer, between two looks whether it is to end
MOST_AGE_MS = 3_600_000  # that a header tells
QUALITY = 90  # of JPEGs that are made here
_HEADER = struct.Struct("<dII")
# Time as it is sent begins so long before now, so that the age of no frame makes it negative.
_EPOCH_S = time.monotonic() - 86_400.0
_FINAL = (MALFORMED, NOT_LET_IN, WRONG_ORIGIN, NO_TAKE, TOO_LARGE, NORMAL)

Image = NDArray[Any] | bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a pushed frame, as far as it is known at once.

    ``accepted``: it lies here to be sent, and goes if no newer one takes its place; the reason
    says ``on its way``, or what it waits for.  Where a push waited for the server's answer, it is
    the server's, and the reason is empty if the take has it.
    """

    accepted: bool
    reason: str
    lag_s: float  # how far the model was behind, by the server's last answer


@dataclass(frozen=True, slots=True)
class PushCounts:
    """Of one camera; ``pushed`` is the sum of the four that follow."""

    pushed: int
    waiting: int  # here
    unanswered: int  # sent
    accepted: int  # by the take
    dropped: dict[str, int]
    camera: str  # as the server calls it; as it was named until it is connected
    is_connected: bool
    error: str  # why not; empty where it never was lost
    lag_s: float


@dataclass(slots=True)
class _Waiting:
    image: NDArray[Any] | bytes = field(repr=False)
    taken_s: float


class FrameSender:
    """Of one camera.  `push`, `flush` and `close` may be called from any thread."""

    def __init__(self, wire: Wire, path: str, camera: str) -> None:
        self._wire, self._path, self._camera = wire, path, camera
        self._changed = threading.Condition(threading.Lock())
        self._waiting: _Waiting | None = None
        self._pushed = self._unanswered = self._accepted = self._sequence = 0
        self._dropped: Counter[str] = Counter()
        self._lag_s, self._said = 0.0, ""
        self._most_bytes = 1 << 62
        self._is_connected = self._is_over = False
        self._patience = Patience()
        self.error: BaseException | None = None  # what ended it for good
        self._thread = threading.Thread(
            target=self._run, name="longtake-client-frames", daemon=True
        )
        self._thread.start()

    def push(self, image: Image, age_s: float) -> Pushed:
        """Leave a frame to be sent; as long as a copy of it takes.

        Raises:
            ValueError: if it is no picture.
        """
        waiting = _Waiting(_own(image), time.monotonic() - _EPOCH_S - age_s)
        with self._changed:
            self._pushed += 1
            if self.error is not None or self._is_over:
                self._dropped[GIVEN_UP] += 1
                return Pushed(False, GIVEN_UP, self._lag_s)
            if self._waiting is not None:
                self._dropped[NEWER] += 1
            self._waiting = waiting
            reason = f"waits for the server: {self._said}" if self._said else ON_ITS_WAY
            self._changed.notify_all()
            return Pushed(True, reason, self._lag_s)

    def counts(self) -> PushCounts:
        with self._changed:
            return PushCounts(
                pushed=self._pushed,
                waiting=int(self._waiting is not None),
                unanswered=self._unanswered,
                accepted=self._accepted,
                dropped=dict(self._dropped),
                camera=self._camera,
                is_connected=self._is_connected,
                error=self._said,
                lag_s=self._lag_s,
            )

    def flush(self, timeout_s: float | None) -> bool:
        """Until nothing waits here and every frame that was sent is answered; whether that is so
        in time."""

        def is_done() -> bool:
            is_idle = self._waiting is None and not self._unanswered
            return is_idle or self.error is not None or self._is_over

        with self._changed:
            return self._changed.wait_for(is_done, timeout_s)

    def close(self, wait_s: float = 2.0) -> None:
        """Send nothing more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._thread.join(wait_s)

    # ---------------------------------------------------------------- its thread

    def _run(self) -> None:
        while not self._is_over:
            try:
                with self._wire.socket(self._path, {"camera": self._camera}) as line:
                    self._talk(line)
            except Exception as error:
                with self._changed:
                    self._lose(error)
            if self.error is not None:
                break
            with self._changed:
                self._changed.wait_for(lambda: self._is_over, self._patience.pause_s)
        with self._changed:
            self._let_go(LOST)
            self._drop_waiting()
            self._is_connected = False
            self._changed.notify_all()

    def _lose(self, error: Exception) -> None:
        """The connection, or the hope for one."""
        self._is_connected = False
        self._let_go(LOST)
        self._said = redact(" ".join(str(error).split())) or type(error).__name__
        if not self._patience.goes_on(error):
            self.error = error
            self._drop_waiting()
        self._changed.notify_all()

    def _let_go(self, reason: str) -> None:
        self._dropped[reason] += self._unanswered
        self._dropped += Counter()  # without those that are 0
        self._unanswered = 0

    def _drop_waiting(self) -> None:
        if self._waiting is not None:
            self._dropped[GIVEN_UP] += 1
            self._waiting = None

    def _talk(self, line: ClientConnection) -> None:
        """Until it is told to end; raises where the connection ends."""
        try:
            hello = json.loads(line.recv(self._wire.timeout_s))
            with self._changed:
                self._camera, self._most_bytes = hello["camera"], hello["most_bytes"]
                self._is_connected, self._said = True, ""
                self._patience.connected()
                self._changed.notify_all()
            while not self._is_over:
                if self._unanswered < MOST_UNANSWERED and (next_one := self._next()) is not None:
                    self._send(line, next_one)
                self._hear(line)
        except ConnectionClosed as error:
            raise _closed(self._wire.address, error) from error

    def _next(self) -> _Waiting | None:
        """The newest frame, once there is one; None where answers are to be looked for."""
        with self._changed:
            listen_s = LISTEN_S if self._unanswered else IDLE_S
            self._changed.wait_for(lambda: self._waiting is not None or self._is_over, listen_s)
            if self._is_over:
                return None
            found, self._waiting = self._waiting, None
            if found is not None:
                self._unanswered += 1  # counted before anybody can see that nothing waits
            return found

    def _send(self, line: ClientConnection, waiting: _Waiting) -> None:
        jpeg = waiting.image if isinstance(waiting.image, bytes) else _encoded(waiting.image)
        if len(jpeg) > self._most_bytes:
            with self._changed:
                self._unanswered -= 1
                self._dropped[f"{LARGE}, more than {self._most_bytes} bytes"] += 1
                self._changed.notify_all()
            return
        self._sequence += 1
        age_ms = round((time.monotonic() - _EPOCH_S - waiting.taken_s) * 1000)
        header = _HEADER.pack(
            waiting.taken_s, self._sequence % (1 << 32), min(max(age_ms, 0), MOST_AGE_MS)
        )
        line.send(header + jpeg)

    def _hear(self, line: ClientConnection) -> None:
        """Answers that have come, or that the connection has ended; waits for an answer where no
        more may be on the way."""
        since_s = time.monotonic()
        while not self._is_over:
            is_full = self._unanswered >= MOST_UNANSWERED
            try:
                self._note(json.loads(line.recv(FULL_S if is_full else 0)))
            except TimeoutError:
                if not is_full:
                    return
                if time.monotonic() - since_s > self._wire.timeout_s:
                    raise TimeoutError(f"{self._wire.address}: frames are not answered") from None

    def _note(self, told: dict[str, Any]) -> None:
        with self._changed:
            self._unanswered = max(0, self._unanswered - 1)
            if told["accepted"]:
                self._accepted, self._lag_s = self._accepted + 1, told["lag_s"]
            else:
                self._dropped[told["reason"]] += 1
            self._changed.notify_all()


def _closed(address: str, error: ConnectionClosed) -> Exception:
    """Why the server ended it: what heals is a ConnectionError."""
    close = error.rcvd
    reason = redact(close.reason) if close is not None and close.reason else "no reason was given"
    if close is None or close.code not in _FINAL:
        return ConnectionError(f"{address}: the connection for frames ended ({reason})")
    if close.code == NO_TAKE:
        return NoSuchTake(f"{address}: {reason}")
    return RemoteError(0, f"{address}: no more frames are taken: {reason}", str(close.code))


def _own(image: Image) -> NDArray[Any] | bytes:
    """A copy, or bytes that nobody can change.  Raises ValueError for what is no picture."""
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
        size_of(data)
        return data
    owned: NDArray[Any] = np.array(image, order="C") if isinstance(image, np.ndarray) else image
    Frame(0.0, owned)  # says what is wrong with it
    return owned


def _encoded(image: NDArray[Any]) -> bytes:
    import cv2

    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"a picture of {image.shape} cannot be made a JPEG")
    return bytes(data)


def to_send(image: Image) -> bytes:
    """A picture as a file's bytes.  Raises ValueError for what is none."""
    owned = _own(image)
    return owned if isinstance(owned, bytes) else _encoded(owned)
