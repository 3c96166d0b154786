"""What a take sees: cameras and files that are watched, frames that are shown, one by one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse

from longtake.server.page.look import Looks
from longtake.server.routes.answers import Look, PushedInfo, SourceInfo, SourceList
from longtake.server.routes.face import NO_STORE, Face, errors
from longtake.server.routes.schemas import MOST_S, AddSource, Probe
from longtake.server.routes.upload_form import receive

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "camera": {"type": "string", "maxLength": 64},
                    },
                }
            }
        },
    }
}
Time = Annotated[float | None, Form(ge=0, le=MOST_S, allow_inf_nan=False)]
Wall = Annotated[float | None, Form(ge=0, le=1e11, allow_inf_nan=False)]


def router(face: Face) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["sources"])
    looks = Looks(face.config, face.hall.settings.capture)

    @routes.get(
        "/takes/{take}/sources", response_model=SourceList, responses=errors(404), summary="Sources"
    )
    async def sources(take: str) -> Response:
        found = await face.pools.quick.run(face.hall.find(take).sources)
        return JSONResponse({"sources": [each.as_json() for each in found]}, headers=NO_STORE)

    @routes.post(
        "/takes/{take}/sources",
        response_model=SourceInfo,
        status_code=201,
        responses=errors(403, 404, 409),
        summary="Watch a camera or a stream",
    )
    async def add(take: str, body: AddSource) -> Response:
        hosted = face.hall.find(take)
        state = await face.pools.blocking.run(hosted.add_source, body.address, camera=body.camera)
        where = {"Location": f"/v1/takes/{hosted.id}/sources/{state.id}"}
        return JSONResponse(state.as_json(), 201, NO_STORE | where)

    @routes.post(
        "/takes/{take}/sources/file",
        response_model=SourceInfo,
        status_code=201,
        responses=errors(404, 409, 413, 507),
        openapi_extra=_FORM,
        summary="Watch a video that is sent",
    )
    async def add_file(take: str, request: Request) -> Response:
        """It is removed when it has been seen."""
        hosted = face.hall.find(take)
        hosted.check_file("the video")  # before all of it has come
        sent = await receive(request, face.hall.uploads, face.pools.blocking)
        try:
            state = await face.pools.blocking.run(
                hosted.add_file, sent.upload.finish(), name=sent.name, camera=sent.camera
            )
        except BaseException:
            sent.upload.discard()
            raise
        where = {"Location": f"/v1/takes/{hosted.id}/sources/{state.id}"}
        return JSONResponse(state.as_json(), 201, NO_STORE | where)

    @routes.delete(
        "/takes/{take}/sources/{source}", status_code=204, responses=errors(404), summary="Stop"
    )
    async def remove(take: str, source: str) -> Response:
        await face.pools.acts.run(face.hall.find(take).remove_source, source)
        return Response(status_code=204)

    @routes.post(
        "/probe",
        response_model=Look,
        responses=errors(403),
        summary="Look at an address, without watching it",
    )
    async def probe(body: Probe) -> Response:
        return JSONResponse(await face.pools.blocking.run(looks.at, body.address), headers=NO_STORE)

    @routes.post(
        "/takes/{take}/frames",
        response_model=PushedInfo,
        responses=errors(404, 409, 413),
        summary="Show one frame",
    )
    async def push(
        take: str,
        image: Annotated[UploadFile, File(description="JPEG or PNG.")],
        camera: Annotated[str, Form(max_length=64)] = "",
        pts_s: Time = None,
        age_s: Annotated[float, Form(ge=0, le=3600, allow_inf_nan=False)] = 0.0,
        wall_s: Wall = None,
    ) -> Response:
        """Without `pts_s` it was taken `age_s` ago, in session time that runs with the clock."""
        hosted = face.hall.find(take)
        data = await image.read()
        pushed = await face.pools.frames.run(
            hosted.push, data, camera=camera, age_s=age_s, pts_s=pts_s, wall_s=wall_s
        )
        told = {"accepted": pushed.accepted, "reason": pushed.reason, "lag_s": pushed.lag_s}
        return JSONResponse(told, headers=NO_STORE)

    return routes
