"""What happened in a take: its log, and the same as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from longtake.server.routes import sse
from longtake.server.routes.answers import EventList
from longtake.server.routes.face import NO_STORE, Face, errors
from longtake.server.routes.schemas import MOST_S
from longtake.server.routes.shown import event_json
from longtake.server.sockets.feed import Feeds
from longtake.server.takes.hosted import Hosted

Until = Annotated[float | None, Query(ge=0, le=MOST_S, allow_inf_nan=False)]
Number = Annotated[int, Query(ge=0, le=1 << 62)]
MOST = 1000  # events of one answer
END = "end"


def router(face: Face) -> APIRouter:
    routes = APIRouter(prefix="/v1/takes/{take}/events", tags=["events"])
    feeds = Feeds(face.pools.quick)

    @routes.get("", response_model=EventList, responses=errors(404), summary="Events")
    async def events(
        take: str,
        start_s: Annotated[float, Query(ge=0, le=MOST_S, allow_inf_nan=False)] = 0.0,
        end_s: Until = None,
        kind: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
        after: Annotated[int, Query(ge=0, le=1 << 62, description="Numbers behind it.")] = 0,
    ) -> Response:
        hosted = face.hall.find(take)
        until_s = MOST_S if end_s is None else end_s
        found = await face.pools.quick.run(hosted.take.events, start_s, until_s, kind, after)
        told = [event_json(hosted, event) for event in found[-MOST:]]
        return JSONResponse({"events": told}, headers=NO_STORE)

    @routes.get(
        "/stream",
        response_class=Response,
        responses={**errors(404), 200: sse.DOCUMENTED},
        summary="Events as they come",
    )
    async def stream(
        take: str,
        last_event_id: Annotated[str | None, Header(max_length=64)] = None,
        after: Number | None = None,
    ) -> Response:
        """Each with its number as its id, so that a reader who comes back goes on behind the last
        one (Last-Event-ID); without one it begins with what comes next.  Ends with `end` when the
        take is closed."""
        hosted = face.hall.find(take)
        newest, begin = hosted.last_event, _begin(last_event_id, after)
        if begin is None:
            begin = newest
        elif begin > newest:  # of another log: that take was closed, and this one opened since
            begin = 0
        seat = ExitStack()  # left with the response, however far it came
        seat.enter_context(face.hall.seat())
        return sse.Events(_told(face, feeds, hosted, begin), seat.close)

    return routes


def _begin(last_event_id: str | None, after: int | None) -> int | None:
    """A reader's last number; what is no number is as if it were not given."""
    text = (last_event_id or "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text), 1 << 62)
    return after


async def _told(face: Face, feeds: Feeds, hosted: Hosted, after: int) -> AsyncGenerator[bytes]:
    followed = feeds.follow(hosted, after)
    face.spent.streams.inc()
    try:
        yield b": this is a stream of events\n\n"  # headers go out now, not with the first event
        async for events in followed:
            for each in events:
                yield sse.event(each.kind, event_json(hosted, each), each.number)
        reason = "" if hosted.closing is None else hosted.closing.reason
        yield sse.event(END, {"reason": reason})
    finally:
        face.spent.streams.dec()
        await followed.aclose()
