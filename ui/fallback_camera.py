"""A camera through Gradio's own means, where the page's own does not start.

Each frame is a request of its own, so it shows an older picture than the page's camera does.  Its
place among the take's cameras is taken with the first frame, and free again soon after the last.
"""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr

from longtake.ui.folded import folded
from longtake.ui.needs import Backend, Refused, Seat
from longtake.ui.toasts import problem
from longtake.ui.visit import Visit
from longtake.ui.wiring import Wiring

EVERY_S = 0.2
IDLE_S = 4.0  # without a frame a visitor has left
SIZE = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}
STREAMS = 64  # of all visitors; one that is open holds its place for as long as it lasts
FULL = "Too many cameras are sent this way now. Use the page's own camera, or come again later."


class FallbackCamera:
    """In the sidebar, folded away."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._seats: dict[tuple[str, str], _Taken] = {}
        with (
            gr.Accordion("Camera does not start?", open=False) as self._fold,
            folded() as self._within,
        ):
            self.image = gr.Image(
                sources=["webcam"],
                streaming=True,
                type="numpy",
                label="Camera",
                height=200,
                webcam_options=gr.WebcamOptions(mirror=False, constraints=SIZE),
                buttons=[],
            )

    def wire(self, wiring: Wiring) -> None:
        self._within.show(self._fold.expand)
        wiring.listen(
            self.image.stream,
            self._see,
            [self.image],
            stream_every=EVERY_S,
            time_limit=None,
            concurrency_limit=STREAMS,
            concurrency_id="camera",
        )

    async def _see(self, visit: Visit, image: Any) -> None:
        if image is None or visit.visitor is None:
            return
        try:
            take = self._backend.find(visit.take)
            taken = await self._taken(take, visit.visitor)
            await taken.seat.push(image)
        except Refused as refused:
            raise problem(str(refused)) from None
        taken.await_next()

    async def _taken(self, take: str, visitor: str) -> _Taken:
        key = take, visitor
        if key not in self._seats:
            if len(self._seats) >= STREAMS:
                raise Refused(FULL)
            seat = await self._backend.seat(take)
            if key in self._seats:  # another frame of his was faster
                seat.leave()
            else:
                self._seats[key] = _Taken(seat, lambda: self._seats.pop(key, None))
        return self._seats[key]


class _Taken:
    """A visitor's seat, which is left when no frame comes any more."""

    def __init__(self, seat: Seat, forget: Any) -> None:
        self.seat, self._forget = seat, forget
        self._leaving: asyncio.TimerHandle | None = None
        self.await_next()

    def await_next(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = asyncio.get_running_loop().call_later(IDLE_S, self._leave)

    def _leave(self) -> None:
        self._forget()
        self.seat.leave()
