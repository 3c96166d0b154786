"""The past of a take without a question: pictures, a search, what is kept, forgotten, exported."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath
from fastapi.responses import JSONResponse

from longtake.moments import Picture
from longtake.server.routes.answers import ForgottenInfo, FoundList, Kept, PictureList
from longtake.server.routes.cut_off import CutOff
from longtake.server.routes.errors import Problem
from longtake.server.routes.face import NO_STORE, Face, errors
from longtake.server.routes.schemas import MOST_S, Forget, Stretch
from longtake.server.routes.shown import found_json, frame_json
from longtake.server.routes.zipped import export_zip

From = Annotated[float, Query(ge=0, le=MOST_S, allow_inf_nan=False)]
Until = Annotated[float | None, Query(ge=0, le=MOST_S, allow_inf_nan=False)]
JPEG = "image/jpeg"
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": {JPEG: {}}}
}
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"description": "The memory as an archive.", "content": {"application/zip": {}}}
}


def router(face: Face) -> APIRouter:
    routes = APIRouter(prefix="/v1/takes/{take}", tags=["memory"])

    @routes.get(
        "/frames", response_model=PictureList, responses=errors(404), summary="Frames of a span"
    )
    async def frames(
        take: str,
        start_s: From = 0.0,
        end_s: Until = None,
        most: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        hosted = face.hall.find(take)
        until_s = MOST_S if end_s is None else end_s
        found = await face.pools.blocking.run(hosted.take.frames, start_s, until_s, most)
        told = [frame_json(hosted.id, picture) for picture in found]
        return JSONResponse({"frames": told}, headers=NO_STORE)

    @routes.get(
        "/frames/at.jpg",
        response_class=Response,
        responses={**errors(404), **_PICTURE},
        summary="The picture nearest to a time",
    )
    async def picture_at(
        take: str,
        at_s: Annotated[float, Query(ge=0, le=MOST_S, allow_inf_nan=False)],
        camera: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        look = face.hall.find(take).take.picture_at
        return _jpeg(await face.pools.quick.run(look, at_s, camera), f"at {at_s:g} s")

    @routes.get(
        "/frames/{number}.jpg",
        response_class=Response,
        responses={**errors(404), **_PICTURE},
        summary="A chunk's picture",
    )
    async def picture(take: str, number: Annotated[int, InPath(ge=0, le=1 << 62)]) -> Response:
        look = face.hall.find(take).take.picture
        return _jpeg(await face.pools.quick.run(look, number), f"of chunk {number}")

    @routes.get("/search", response_model=FoundList, responses=errors(404), summary="Search")
    async def search(
        take: str,
        q: Annotated[str, Query(min_length=1, max_length=1000, examples=["red ring"])],
        top: Annotated[int, Query(ge=1, le=100)] = 10,
        start_s: Until = None,
        end_s: Until = None,
    ) -> Response:
        hosted = face.hall.find(take)
        between_s = None
        if start_s is not None or end_s is not None:
            between_s = (start_s or 0.0, MOST_S if end_s is None else end_s)
        found = await face.pools.blocking.run(hosted.take.search, q, top, between_s)
        told = [found_json(hosted.id, moment) for moment in found]
        return JSONResponse({"moments": told}, headers=NO_STORE)

    @routes.post(
        "/keep", response_model=Kept, responses=errors(404, 409, 507), summary="Never let it age"
    )
    async def keep(take: str, body: Stretch) -> Response:
        verb = face.hall.find(take).take.keep
        chunks = await face.verb(verb, body.start_s, body.end_s)
        return JSONResponse({"chunks": chunks}, headers=NO_STORE)

    @routes.post("/release", status_code=204, responses=errors(404, 409, 507), summary="Undo keep")
    async def release(take: str, body: Stretch) -> Response:
        await face.verb(face.hall.find(take).take.release, body.start_s, body.end_s)
        return Response(status_code=204)

    @routes.post(
        "/forget",
        response_model=ForgottenInfo,
        responses=errors(404, 409, 507),
        summary="Forget for good",
    )
    async def forget(take: str, body: Forget) -> Response:
        verb = face.hall.find(take).forget
        gone = await face.verb(verb, body.start_s, body.end_s, camera=body.camera)
        told = {"chunks": gone.chunks, "bytes": gone.nbytes}
        return JSONResponse(told, headers=NO_STORE)

    @routes.get(
        "/export",
        response_class=Response,
        responses={**errors(404, 409, 507), **_ZIP},
        summary="A memory as safetensors, JSON and JPEG",
    )
    async def export(take: str, start_s: Until = None, end_s: Until = None) -> Response:
        hosted = face.hall.find(take)
        made = await export_zip(face.pools.exports, hosted, start_s, end_s)
        return CutOff(made, face.ending)

    return routes


def _jpeg(picture: Picture | None, what: str) -> Response:
    if picture is None or picture.jpeg is None:
        raise Problem(404, "no_picture", f"there is no picture {what}: GET frames tells what is")
    about = {
        "X-Longtake-Number": str(picture.number),
        "X-Longtake-Start-S": f"{picture.start_s:.3f}",
        "X-Longtake-End-S": f"{picture.end_s:.3f}",
    }
    return Response(picture.jpeg, media_type=JPEG, headers=NO_STORE | about)
