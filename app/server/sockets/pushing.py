"""The WebSocket over which a visitor's camera comes in: one frame a message, each answered.

    client: header and JPEG        server: {"seq": 7, "accepted": true, "reason": "", "lag_s": 0.1}

One frame is shown to the take at a time and one may wait; a newer one takes its place, and the old
one is answered so.  The clock of the sender is laid onto ours by the frame that came soonest after
it was sent.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from longtake.server.routes.errors import is_closed
from longtake.server.sockets.frame_message import FrameMessage, number_in
from longtake.server.sockets.sockets import MOST_MALFORMED, Ended, Tell, first_of, serve
from longtake.server.takes.closing import MALFORMED, NORMAL, TOO_LARGE, Closing
from longtake.server.takes.refusals import Ending
from longtake.streaming.errors import redact
from longtake.streaming.live_clock import LiveClock
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.server.takes.hall import Hall
    from longtake.server.takes.hosted import Hosted
    from longtake.server.takes.pushed_camera import PushedCamera

STEP_S = 0.01  # at least, between frames
REMOVED = Closing(NORMAL, "this camera was removed")


def router(hall: Hall) -> APIRouter:
    """The route ``/v1/takes/{take}/frames``."""
    routes = APIRouter()

    @routes.websocket("/v1/takes/{take}/frames")
    async def frames(socket: WebSocket, take: str, camera: str = "") -> None:
        async def push(hosted: Hosted, tell: Tell) -> None:
            with hosted.claim(camera, lambda: tell(REMOVED)) as claimed:
                await _Pushing(socket, hosted, claimed, hall).run()

        await serve(hall, socket, take, push)

    return routes


class _Pushing:
    """One camera over one socket."""

    def __init__(
        self,
        socket: WebSocket,
        hosted: Hosted,
        camera: PushedCamera,
        hall: Hall,
    ) -> None:
        self._socket, self._hosted, self._camera = socket, hosted, camera
        self._threads, self._most_bytes = hall.threads, hall.config.max_message_bytes
        self._clock = LiveClock()
        self._last = (-math.inf, -math.inf)  # when the last frame was taken: by its clock, by ours
        self._waiting: tuple[FrameMessage, float] | None = None  # and when it was taken, by us
        self._replaced: tuple[FrameMessage, float] | None = None
        self._has_come = asyncio.Event()
        self._malformed = 0  # in a row

    async def run(self) -> None:
        await self._socket.send_json(
            {
                "camera": self._camera.camera,
                "fps": self._hosted.take.pace.fps,
                "most_bytes": self._most_bytes,
            }
        )
        await first_of(self._receive(), self._show())

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", NORMAL))
            data = message.get("bytes") or b""
            try:
                self._take_in(data)
            except ValueError as error:
                await self._refuse(number_in(data), one_line(error))
                continue
            await self._answer_replaced()

    def _take_in(self, data: bytes) -> None:
        """Raises ValueError for a message that is no frame."""
        arrived_s = time.monotonic()
        if len(data) > self._most_bytes + 16:
            raise Ended(Closing(TOO_LARGE, f"a frame has at most {self._most_bytes} bytes"))
        frame = FrameMessage.read(data)
        taken_s = self._placed(frame, arrived_s)
        self._replaced = self._waiting
        self._waiting = frame, taken_s
        self._has_come.set()

    def _placed(self, frame: FrameMessage, arrived_s: float) -> float:
        """When it was taken, by our clock.  What is learned of the way here moves that by
        milliseconds; one that was taken later stays the later one."""
        taken_s = self._clock.session_s(frame.sent_s, arrived_s) - frame.age_s
        said_s, last_s = self._last
        if frame.taken_s > said_s:
            taken_s = min(arrived_s, max(taken_s, last_s + STEP_S))
        self._last = frame.taken_s, taken_s
        return taken_s

    async def _answer_replaced(self) -> None:
        """The one that waited, where a newer one took its place."""
        replaced, self._replaced = self._replaced, None
        if replaced is not None:
            self._camera.miss()
            await self._answer(replaced[0].number, False, "a newer frame came", 0.0)

    async def _show(self) -> None:
        while True:
            await self._has_come.wait()
            self._has_come.clear()
            waiting, self._waiting = self._waiting, None
            if waiting is None:
                continue
            frame, taken_s = waiting
            try:
                accepted, reason, lag_s = await self._push(frame, taken_s)
            except ValueError as error:
                await self._refuse(frame.number, one_line(error))
                continue
            self._malformed = 0
            await self._answer(frame.number, accepted, reason, lag_s)

    async def _push(self, frame: FrameMessage, taken_s: float) -> tuple[bool, str, float]:
        def push() -> Any:
            age_s = max(0.0, time.monotonic() - taken_s)
            return self._hosted.push(frame.picture, camera=self._camera, age_s=age_s)

        try:
            # A hop costs 0.1 ms; a frame that is not sampled 0.2 to 0.4, a decoded one 3 to 12
            # (640 x 480 of noise, two busy cores), in which nobody else's messages would move.
            pushed = await asyncio.get_running_loop().run_in_executor(self._threads, push)
        except RuntimeError as error:
            if not (isinstance(error, Ending) or is_closed(error)):
                raise  # a mistake of ours
            # the take is being closed: whoever closes it says so
            return False, redact(one_line(error)), 0.0
        return pushed.accepted, pushed.reason, pushed.lag_s

    async def _refuse(self, number: int, reason: str) -> None:
        await self._answer(number, False, reason, 0.0)
        self._malformed += 1
        if self._malformed >= MOST_MALFORMED:
            raise Ended(Closing(MALFORMED, reason))

    async def _answer(self, number: int, accepted: bool, reason: str, lag_s: float) -> None:
        await self._socket.send_json(
            {"seq": number, "accepted": accepted, "reason": reason, "lag_s": round(lag_s, 3)}
        )
