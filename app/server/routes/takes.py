"""Takes themselves: which there are, opened, closed, how they stand, what nobody may see."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse

from longtake.server.routes.answers import MaskList, Narrating, State, TakeInfo, TakeList, Timeline
from longtake.server.routes.face import NO_STORE, Face, errors
from longtake.server.routes.schemas import (
    MOST_S,
    Box,
    Narrate,
    OpenTake,
    Polygon,
    SetMasks,
)
from longtake.server.routes.shown import info_json
from longtake.server.takes.hosted import Hosted
from longtake.server.takes.visitors import check_recall
from longtake.settings import TakeConfig
from longtake.streaming.masks import Mask

_OF_TAKE = ("fps", "window_s", "top_k", "mode", "recall", "evidence", "dialogue_tokens")
_OF_MEMORY = ("ram_bytes", "disk_bytes", "ladder")
At = Annotated[float | None, Query(ge=0, le=MOST_S, allow_inf_nan=False)]


def router(face: Face) -> APIRouter:
    routes = APIRouter(prefix="/v1/takes", tags=["takes"])

    @routes.get("", response_model=TakeList, responses=errors(), summary="Takes that are open")
    async def takes() -> Response:
        told = await face.pools.quick.run(lambda: [info_json(each) for each in face.hall.all()])
        return JSONResponse({"takes": told}, headers=NO_STORE)

    @routes.post(
        "", response_model=TakeInfo, status_code=201, responses=errors(409, 507), summary="Open"
    )
    async def open_take(body: OpenTake) -> Response:
        settings = settings_of(body, face.hall.settings)
        hosted = await face.pools.opens.run(
            face.hall.open, body.id, model=body.model, settings=settings
        )
        told = await face.pools.quick.run(info_json, hosted)
        where = {"Location": f"/v1/takes/{hosted.id}"}
        return JSONResponse(told, 201, NO_STORE | where)

    @routes.get("/{take}", response_model=TakeInfo, responses=errors(404), summary="One take")
    async def one_take(take: str) -> Response:
        told = await face.pools.quick.run(info_json, face.hall.find(take))
        return JSONResponse(told, headers=NO_STORE)

    @routes.delete("/{take}", status_code=204, responses=errors(404), summary="Close")
    async def close_take(
        take: str, forget: Annotated[bool, Query(description="Its memory goes too.")] = False
    ) -> Response:
        await face.pools.blocking.run(face.hall.remove, take, forget=forget)
        return Response(status_code=204)

    @routes.get(
        "/{take}/state", response_model=State, responses=errors(404), summary="How it stands"
    )
    async def state(take: str) -> Response:
        told = await face.pools.quick.run(face.hall.find(take).state)
        return JSONResponse(told, headers=NO_STORE)

    @routes.get(
        "/{take}/timeline",
        response_model=Timeline,
        responses=errors(404),
        summary="What is held, kept, missing and was told, by time",
    )
    async def timeline(
        take: str,
        start_s: At = None,
        end_s: At = None,
        width: Annotated[int, Query(ge=16, le=4000)] = 600,
    ) -> Response:
        hosted = face.hall.find(take)
        told = await face.pools.blocking.run(hosted.timeline, start_s, end_s, width)
        return JSONResponse(told, headers=NO_STORE)

    @routes.post(
        "/{take}/masks", response_model=MaskList, responses=errors(404), summary="Black out"
    )
    async def masks(take: str, body: SetMasks) -> Response:
        hosted = face.hall.find(take)
        await face.verb(hosted.take.mask, [mask_of(shape) for shape in body.masks])
        return JSONResponse(masks_json(hosted), headers=NO_STORE)

    @routes.get(
        "/{take}/masks", response_model=MaskList, responses=errors(404), summary="Masks in force"
    )
    async def masks_in_force(take: str) -> Response:
        return JSONResponse(masks_json(face.hall.find(take)), headers=NO_STORE)

    @routes.post(
        "/{take}/narration", response_model=Narrating, responses=errors(404, 409), summary="Narrate"
    )
    async def narrate(take: str, body: Narrate) -> Response:
        hosted = face.hall.find(take)
        given = {
            name: value
            for name, value in (("request", body.request), ("rule", body.rule))
            if value is not None
        }
        decoding = body.decoding(hosted.settings.decoding)
        await face.verb(hosted.narrate, every_s=body.every_s, decoding=decoding, **given)
        return JSONResponse({"narrating": True}, headers=NO_STORE)

    @routes.delete(
        "/{take}/narration", response_model=Narrating, responses=errors(404), summary="Be silent"
    )
    async def stop_narrating(take: Annotated[str, Path()]) -> Response:
        await face.pools.acts.run(face.hall.find(take).stop_narrating)
        return JSONResponse({"narrating": False}, headers=NO_STORE)

    return routes


def settings_of(body: OpenTake, usual: TakeConfig) -> TakeConfig:
    """The operator's settings, with what is wished.

    Raises:
        ValueError: if a value makes no sense, or is more than the operator gives a take.
    """
    for name in ("ram_bytes", "disk_bytes"):
        wished, most = getattr(body, name), getattr(usual.memory, name)
        if wished is not None and most is not None and wished > most:
            raise ValueError(f"{name}={wished}: this server gives a take at most {most}")
    if body.recall is not None:
        check_recall(body.recall, usual.recall)
    memory = replace(usual.memory, **_given(body, _OF_MEMORY))
    decoding = usual.decoding
    if body.decoding is not None:
        decoding = body.decoding.decoding(usual.decoding) or decoding
    return replace(usual, **_given(body, _OF_TAKE), memory=memory, decoding=decoding)


def mask_of(shape: Box | Polygon) -> Mask:
    """Raises ValueError for one that covers nothing or lies outside of the picture."""
    if isinstance(shape, Polygon):
        return Mask(tuple((x, y) for x, y in shape.points), shape.camera)
    left, top = shape.x, shape.y
    right, bottom = min(1.0, left + shape.width), min(1.0, top + shape.height)
    return Mask(((left, top), (right, top), (right, bottom), (left, bottom)), shape.camera)


def _given(body: OpenTake, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(body, name) for name in names if getattr(body, name) is not None}


def masks_json(hosted: Hosted) -> dict[str, Any]:
    """The operator's, which stay, stand before those that were set."""
    fixed = len(hosted.settings.capture.masks)
    told = [
        {"camera": mask.camera, "points": [list(p) for p in mask.points], "fixed": place < fixed}
        for place, mask in enumerate(hosted.take.masks)
    ]
    return {"masks": told}
