"""Whether the server lives, whether it is ready, and its numbers."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from longtake.server.routes.answers import Health
from longtake.server.routes.face import NO_STORE, Face, errors
from longtake.server.routes.metrics import Takes
from longtake.server.takes.engines import FAILED, LOADING

_NUMBERS = {
    "description": "The numbers.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


def router(face: Face) -> APIRouter:
    """``/healthz`` and ``/readyz`` are open to everybody, and tell nothing else."""
    routes = APIRouter(tags=["server"])
    face.spent.registry.register(Takes(face.hall))

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", response_model=Health, summary="The server lives")
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    @routes.head("/readyz", include_in_schema=False)
    @routes.get(
        "/readyz",
        response_model=Health,
        summary="It can be asked",
        responses={503: {"model": Health, "description": "Its model is not there yet."}},
    )
    async def readyz() -> Response:
        state = face.hall.model_state(face.hall.models[0])
        if state in (LOADING, FAILED):
            return JSONResponse({"status": state}, 503, NO_STORE | {"Retry-After": "2"})
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    @routes.get(
        "/metrics",
        response_class=Response,
        summary="Numbers for Prometheus",
        responses={**errors(), 200: _NUMBERS},
    )
    async def metrics() -> Response:
        told = await face.pools.quick.run(generate_latest, face.spent.registry)
        return Response(told, media_type=CONTENT_TYPE_LATEST, headers=NO_STORE)

    return routes
