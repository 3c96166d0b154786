"""Questions to a take: whole answers, and answers as they are spoken."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from longtake.answer import Answer
from longtake.server.routes import sse
from longtake.server.routes.answers import AnswerInfo, Cancelled
from longtake.server.routes.asking import Waiting, ask, pieces, whole
from longtake.server.routes.face import NO_STORE, Face, errors
from longtake.server.routes.schemas import Ask
from longtake.server.routes.shown import answer_json
from longtake.server.takes.hosted import Hosted

_EITHER: dict[str, Any] = {
    "description": "The answer; with `stream` events `piece`, then `answer` or `error`.",
    "content": {"text/event-stream": {}},
}


def router(face: Face) -> APIRouter:
    routes = APIRouter(prefix="/v1/takes/{take}", tags=["questions"])

    @routes.post(
        "/ask",
        response_model=AnswerInfo,
        responses={**errors(404, 409), 200: _EITHER},
        summary="Ask",
    )
    async def put_question(take: str, body: Ask, request: Request) -> Response:
        hosted = face.hall.find(take)
        asking = await ask(hosted, body.question, _options(hosted, body))
        if body.stream:
            return sse.Events(_events(hosted, asking), asking.cancel)
        answer = await whole(request, asking)
        return JSONResponse(answer_json(hosted.id, answer), headers=NO_STORE)

    @routes.post(
        "/cancel",
        response_model=Cancelled,
        responses=errors(404),
        summary="End every answer that is being spoken or waits",
    )
    async def cancel(take: str) -> Response:
        number = await face.pools.acts.run(face.hall.find(take).take.cancel)
        return JSONResponse({"cancelled": number}, headers=NO_STORE)

    return routes


def _options(hosted: Hosted, body: Ask) -> dict[str, Any]:
    return {
        "conversation": body.conversation,
        "between_s": None if body.between_s is None else (body.between_s[0], body.between_s[1]),
        "at_s": body.at_s,
        "choices": tuple(body.choices),
        "top_k": body.top_k,
        "deadline_s": body.deadline_s,
        "decoding": body.decoding(hosted.settings.decoding),
    }


async def _events(hosted: Hosted, asking: Waiting) -> AsyncGenerator[bytes]:
    told = pieces(asking)
    try:
        async for piece in told:
            if isinstance(piece, Answer):
                yield sse.event("answer", answer_json(hosted.id, piece))
            else:
                yield sse.event("piece", {"text": piece})
    finally:
        await told.aclose()
