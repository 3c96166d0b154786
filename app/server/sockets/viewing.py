"""The WebSocket over which a take is looked at: how it stands, and previews of its cameras.

What is sent is made once for all who look at a take, by its `Stage`.  Each viewer has one place
for each kind of message; where he is slow, the newest takes the place of the older, and he misses
that one.  A preview says which source it is of by its place in the state that its viewer was sent
last, so its header is written when it goes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from longtake.server.sockets.frame_message import preview
from longtake.server.sockets.sockets import MOST_MALFORMED, Ended, Tell, first_of, serve
from longtake.server.takes.closing import MALFORMED, Closing
from longtake.server.takes.hosted import STATE_S
from longtake.server.takes.lens import MOST_FPS, Preview
from longtake.streaming.errors import redact
from longtake.wording import one_line

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from longtake.server.takes.hall import Hall
    from longtake.server.takes.hosted import Hosted

T = TypeVar("T")

TELL_S = 1.0
TOGETHER_S = 0.05  # what changes within it is told together
MOST_LETTERS = 1000  # of a viewer's message

_log = logging.getLogger(__name__)


def router(hall: Hall) -> APIRouter:
    """The route ``/v1/takes/{take}/view``."""
    routes = APIRouter()
    stages = _Stages(hall.threads)

    @routes.websocket("/v1/takes/{take}/view")
    async def view(socket: WebSocket, take: str, camera: str | None = None) -> None:
        async def look(hosted: Hosted, tell: Tell) -> None:
            viewer = _Viewer(camera, lambda: hosted.miss_previews(1))
            with hosted.looking():
                stage = stages.enter(hosted, viewer)
                try:
                    await first_of(viewer.listen(socket), viewer.send(socket))
                finally:
                    stages.leave(stage, viewer)

        await serve(hall, socket, take, look)

    return routes


@dataclass(frozen=True, slots=True)
class _Told:
    """A state as it is sent."""

    text: str
    cameras: tuple[str, ...]  # of its sources

    def place(self, camera: str) -> int | None:
        """Of two sources of this name the one that came last, as `Hosted.lens` looks."""
        found = [place for place, name in enumerate(self.cameras) if name == camera]
        return found[-1] if found else None


class _Viewer:
    """One who looks; used in the loop alone.

    Args:
        camera: that he wants to see; None: the first that there is.
        missed: called for each preview that he does not get.
    """

    def __init__(self, camera: str | None, missed: Callable[[], object]) -> None:
        self.camera, self.wants_previews = camera, True
        self.seen: tuple[str, int] | None = None  # camera and number of the preview he got last
        self._missed = missed
        self._told: _Told | None = None
        self._picture: tuple[str, Preview] | None = None
        self._has_come = asyncio.Event()

    def offer_told(self, told: _Told) -> None:
        self._told = told
        self._has_come.set()

    def offer_picture(self, camera: str, picture: Preview) -> None:
        if self._picture is not None:
            self._missed()
        self._picture = camera, picture
        self._has_come.set()

    async def send(self, socket: WebSocket) -> None:
        last = _Told("", ())
        while True:
            await self._has_come.wait()
            self._has_come.clear()
            told, self._told = self._told, None
            if told is not None:
                await socket.send_text(told.text)
                last = told
            offered, self._picture = self._picture, None
            if offered is None:
                continue
            camera, seen = offered
            if (place := last.place(camera)) is not None:
                age_s = time.monotonic() - seen.taken_s
                await socket.send_bytes(preview(age_s, seen.number, place, seen.jpeg))

    async def listen(self, socket: WebSocket) -> None:
        malformed = 0
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            try:
                self._hear(message.get("text") or "")
                malformed = 0
            except (ValueError, RecursionError) as error:
                malformed += 1
                if malformed >= MOST_MALFORMED:
                    raise Ended(Closing(MALFORMED, one_line(error))) from None

    def _hear(self, text: str) -> None:
        if len(text) > MOST_LETTERS:
            raise ValueError(f"a message of {len(text)} letters: at most {MOST_LETTERS}")
        said = json.loads(text)
        if not isinstance(said, dict):
            raise ValueError('send an object such as {"camera": "door"}')
        camera, previews = said.get("camera", self.camera), said.get("previews")
        if not (camera is None or isinstance(camera, str)):
            raise ValueError("camera: must be a name, or null for the first")
        self.camera, self.seen = camera, None
        if isinstance(previews, bool):
            self.wants_previews = previews


class _Stages:
    """Of each take that somebody looks at, one."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._stages: dict[int, _Stage] = {}
        self._threads = threads

    def enter(self, hosted: Hosted, viewer: _Viewer) -> _Stage:
        stage = self._stages.get(id(hosted))
        if stage is None:
            stage = self._stages[id(hosted)] = _Stage(hosted, self._threads)
            stage.begin()
        stage.welcome(viewer)
        return stage

    def leave(self, stage: _Stage, viewer: _Viewer) -> None:
        stage.viewers.remove(viewer)
        if not stage.viewers:
            del self._stages[id(stage.hosted)]
            stage.end()


class _Stage:
    """What all who look at one take see."""

    def __init__(self, hosted: Hosted, threads: ThreadPoolExecutor) -> None:
        self.hosted, self.viewers = hosted, list[_Viewer]()
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._is_news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._told: _Told | None = None  # last
        self._has_failed = False
        self._leave: Callable[[], None] = lambda: None

    def begin(self) -> None:
        def changed(_: None) -> None:
            self._loop.call_soon_threadsafe(self._is_news.set)

        self._leave = self.hosted.on_change.add(changed)
        self._tasks = [asyncio.create_task(self._tell()), asyncio.create_task(self._show())]

    def end(self) -> None:
        self._leave()
        for task in self._tasks:
            task.cancel()

    def welcome(self, viewer: _Viewer) -> None:
        """Somebody new looks: what the others were told last is told to him at once."""
        self.viewers.append(viewer)
        if self._told is not None:
            viewer.offer_told(self._told)
        self._is_news.set()

    # ---------------------------------------------------------------- how it stands

    async def _tell(self) -> None:
        while True:
            self._is_news.clear()
            self._told = await self._made(self._stand) or self._told
            told_s = self._loop.time()
            if self._told is not None:
                for viewer in self.viewers:
                    viewer.offer_told(self._told)
            try:
                async with asyncio.timeout(TELL_S):
                    await self._is_news.wait()
            except TimeoutError:
                continue
            passed_s = self._loop.time() - told_s
            await asyncio.sleep(max(TOGETHER_S, STATE_S - passed_s))

    def _stand(self) -> _Told:
        state, text = self.hosted.told()
        return _Told(text, tuple(source["camera"] for source in state["sources"]))

    # ---------------------------------------------------------------- previews

    async def _show(self) -> None:
        while True:
            if any(viewer.wants_previews for viewer in self.viewers):
                await self._show_once()
            await asyncio.sleep(1 / MOST_FPS)

    async def _show_once(self) -> None:
        cameras = () if self._told is None else self._told.cameras
        looking: dict[str, list[_Viewer]] = {}
        for viewer in self.viewers:
            if viewer.wants_previews and cameras:
                camera = cameras[0] if viewer.camera is None else viewer.camera
                looking.setdefault(camera, []).append(viewer)
        for camera, viewers in looking.items():
            lens = self.hosted.lens(camera) if camera in cameras else None
            seen = None if lens is None else await self._made(lens.newest)
            if seen is not None:
                self._offer(camera, seen, viewers)

    def _offer(self, camera: str, seen: Preview, viewers: list[_Viewer]) -> None:
        mark = camera, seen.number
        for viewer in viewers:
            if viewer.seen != mark:
                viewer.seen = mark
                viewer.offer_picture(camera, seen)

    async def _made(self, make: Callable[[], T]) -> T | None:
        """On a thread; None where it cannot be made just now."""
        try:
            made = await self._loop.run_in_executor(self._threads, make)
        except Exception as error:
            if self.hosted.closing is None and not self._has_failed:
                _log.warning("take %s: %s", self.hosted.id, redact(one_line(error)))
            self._has_failed = True
            return None
        self._has_failed = False
        return made
