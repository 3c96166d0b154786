"""Standing questions of a take."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from longtake.server.routes.answers import AlertInfo, AlertList
from longtake.server.routes.face import NO_STORE, Face, errors
from longtake.server.routes.schemas import AddAlert, ChangeAlert


def router(face: Face) -> APIRouter:
    routes = APIRouter(prefix="/v1/takes/{take}/alerts", tags=["alerts"])

    @routes.get("", response_model=AlertList, responses=errors(404), summary="Alerts")
    async def alerts(take: str) -> Response:
        told = await face.pools.quick.run(face.hall.find(take).alerts)
        return JSONResponse({"alerts": [each.as_json() for each in told]}, headers=NO_STORE)

    @routes.post(
        "", response_model=AlertInfo, status_code=201, responses=errors(404, 409), summary="Add"
    )
    async def add(take: str, body: AddAlert) -> Response:
        hosted = face.hall.find(take)
        settings = body.model_dump(exclude={"condition"})
        alert = await face.verb(hosted.add_alert, body.condition, **settings)
        where = {"Location": f"/v1/takes/{hosted.id}/alerts/{alert.id}"}
        return JSONResponse(alert.as_json(), 201, NO_STORE | where)

    @routes.patch(
        "/{alert}", response_model=AlertInfo, responses=errors(404), summary="Pause, or go on"
    )
    async def change(take: str, alert: str, body: ChangeAlert) -> Response:
        hosted = face.hall.find(take)
        verb = hosted.pause_alert if body.paused else hosted.resume_alert
        told = await face.pools.acts.run(verb, alert)
        return JSONResponse(told.as_json(), headers=NO_STORE)

    @routes.delete("/{alert}", status_code=204, responses=errors(404), summary="Remove")
    async def remove(take: str, alert: str) -> Response:
        await face.pools.acts.run(face.hall.find(take).remove_alert, alert)
        return Response(status_code=204)

    return routes
