"""OpenAI's two routes, so that its clients can ask a take."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from longtake.answer import Answer
from longtake.models.decode import Decoding
from longtake.server.routes import chat as words
from longtake.server.routes import sse
from longtake.server.routes.answers import Completion, Model, ModelList
from longtake.server.routes.asking import Waiting, ask, pieces, whole
from longtake.server.routes.errors import Problem, problem_of
from longtake.server.routes.face import NO_STORE, Face, errors
from longtake.server.routes.schemas import Chat
from longtake.server.takes.hosted import Hosted

OWNER = "longtake"
DONE = "[DONE]"
_EITHER: dict[str, Any] = {
    "description": "The answer; with `stream` its pieces, and `longtake` with the last of them.",
    "content": {"text/event-stream": {}},
}


@dataclass(frozen=True, slots=True)
class _Spoken:
    """One answer on its way, in OpenAI's words."""

    hosted: Hosted
    asking: Waiting
    decoding: Decoding
    prompt_tokens: int
    with_usage: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.hosted.model}

    def whole(self, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        reason = words.finish_reason(answer, self.decoding)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return {
            **self._frame("chat.completion"),
            "choices": [choice],
            "usage": words.usage(self.prompt_tokens, answer),
            "longtake": words.beside(self.hosted.id, answer),
        }

    def chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self.with_usage else {}
        return {**self._frame("chat.completion.chunk"), "choices": [choice], **usage}

    def last(self, answer: Answer) -> dict[str, Any]:
        reason = words.finish_reason(answer, self.decoding)
        return {**self.chunk({}, reason), "longtake": words.beside(self.hosted.id, answer)}

    def usage(self, answer: Answer) -> dict[str, Any]:
        spent = words.usage(self.prompt_tokens, answer)
        return {**self._frame("chat.completion.chunk"), "choices": [], "usage": spent}


def router(face: Face) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["OpenAI"])
    created = int(time.time())

    def model_json(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": created, "owned_by": OWNER}

    @routes.get("/models", response_model=ModelList, responses=errors(), summary="Models")
    async def models() -> Response:
        told = [model_json(name) for name in face.hall.models]
        return JSONResponse({"object": "list", "data": told}, headers=NO_STORE)

    @routes.get(
        "/models/{model:path}", response_model=Model, responses=errors(404), summary="One model"
    )
    async def model_of_name(model: str) -> Response:
        _check_model(face, model)
        return JSONResponse(model_json(model), headers=NO_STORE)

    @routes.post(
        "/chat/completions",
        response_model=Completion,
        responses={**errors(404, 409), 200: _EITHER},
        summary="Ask in OpenAI's format",
    )
    async def completions(body: Chat, request: Request) -> Response:
        words.check(body)
        _check_model(face, body.model)
        said = words.dialogue(body.messages)
        hosted = face.hall.find(body.take)
        if hosted.model != body.model:
            raise Problem(
                400, "wrong_model",
                f"take {hosted.id!r} was opened on {hosted.model!r}, not {body.model!r}: name that "
                "model, or another take", "model",
            )  # fmt: skip
        decoding = words.decoding(body, hosted.settings.decoding)
        prompt_tokens = await face.pools.quick.run(_tokens, hosted, said.text)
        options = _options(body, said, decoding)
        asking = await ask(hosted, said.question, options)
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        spoken = _Spoken(hosted, asking, decoding, prompt_tokens, with_usage)
        if body.stream:
            return sse.Events(_chunks(spoken), asking.cancel)
        answer = await whole(request, asking)
        return JSONResponse(spoken.whole(answer), headers=NO_STORE)

    return routes


def _check_model(face: Face, name: str) -> None:
    known = face.hall.models
    if name not in known:
        said = f"model={name[:200]!r}: this server has {', '.join(known)}"
        raise Problem(404, "model_not_found", said, "model")


def _options(body: Chat, said: words.Dialogue, decoding: Decoding) -> dict[str, Any]:
    return {
        "dialogue": said.turns,
        "between_s": None if body.between_s is None else (body.between_s[0], body.between_s[1]),
        "at_s": body.at_s,
        "top_k": body.top_k,
        "decoding": decoding,
    }


def _tokens(hosted: Hosted, text: str) -> int:
    """Of the words alone, as the model's tokenizer counts them; frames and template are not in."""
    return int(hosted.take.adapter.encode(text).shape[0])


async def _chunks(spoken: _Spoken) -> AsyncGenerator[bytes]:
    told = pieces(spoken.asking)
    try:
        yield sse.event(None, spoken.chunk({"role": "assistant", "content": ""}))
        async for piece in told:
            if not isinstance(piece, Answer):
                yield sse.event(None, spoken.chunk({"content": piece}))
                continue
            yield sse.event(None, spoken.last(piece))
            if spoken.with_usage:
                yield sse.event(None, spoken.usage(piece))
        yield sse.event(None, DONE)
    except Exception as error:
        yield sse.event(None, problem_of(error).as_json())
    finally:
        await told.aclose()
