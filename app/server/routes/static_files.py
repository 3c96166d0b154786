"""The page's own files at ``/static``: modules and styles, compressed, checked for change
at every use."""

from __future__ import annotations

import importlib.resources
import mimetypes
from pathlib import Path

from fastapi import FastAPI, Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WHERE = "/static"
LEAST_BYTES = 1_000  # a smaller file is sent as it is


class _Files(StaticFiles):
    """Kept by browsers, and asked for anew: a newer server's page does not run old scripts."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def add_static_files(app: FastAPI) -> None:
    """Those of the package ``longtake.ui``."""
    # What a machine's own table says may differ; a browser refuses modules of a wrong type.
    for ending in (".js", ".mjs"):
        mimetypes.add_type("text/javascript", ending)
    mimetypes.add_type("text/css", ".css")
    folder = Path(str(importlib.resources.files("longtake.ui") / "static"))
    # An editable installation links each file.
    files = _Files(directory=folder, check_dir=False, follow_symlink=True)
    app.mount(WHERE, GZipMiddleware(files, minimum_size=LEAST_BYTES), name="static")
