"""The page on a server: Gradio, mounted behind every other route, with all that it would tell or
keep turned off.

How the page looks is known to `longtake.ui`; what stands behind it, to `page_backend`.
"""

from __future__ import annotations

import atexit
import importlib.resources
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from starlette.routing import Mount, Route

from longtake.server.page.assets import Assets
from longtake.server.page.backend import PageBackend
from longtake.server.page.early import Early, early_files
from longtake.server.page.only_needed import OnlyNeeded
from longtake.server.private_folder import PrivateFolder
from longtake.server.takes.hall import Hall

WAITING = 256  # events of all visitors; one more is told to come again
AT_ONCE = 32  # of one kind, where it says nothing else
SESSIONS = 500  # visitors whose places Gradio remembers
MOST_UPLOAD = "1kb"  # nothing is sent to Gradio: files go to the takes, see `uploads`
FRAME_SCRIPT = "/static/js/iframeResizer.contentWindow.min.js"  # our page stands in no frame


class Page:
    """Of one server's takes."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    def mount(self, app: FastAPI) -> FastAPI:
        """Add it at ``/``, behind every route that the application has."""
        folder = PrivateFolder("page")
        atexit.register(folder.remove)  # of a page that was never served
        _quiet(folder.path)
        from longtake.ui.building import built

        backend = PageBackend(self._hall)
        app.router.routes.insert(0, Route(FRAME_SCRIPT, _nothing))
        mounted, early = built(lambda: _mounted(app, backend))
        _narrow(mounted, early)
        mounted.router.lifespan_context = _with_folder(mounted, folder, backend)
        return mounted


def _mounted(app: FastAPI, backend: PageBackend) -> tuple[FastAPI, list[str]]:
    """With the page, and what it loads first."""
    import gradio

    from longtake.ui import head, live

    blocks = live.build(backend)
    blocks.queue(
        status_update_rate="auto",
        api_open=False,
        max_size=WAITING,
        default_concurrency_limit=AT_ONCE,
    )
    blocks.state_session_capacity = SESSIONS
    mounted: FastAPI = gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        allowed_paths=[],
        show_error=False,
        max_file_size=MOST_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=head.theme(),
        head=head.head(),
    )
    seen = {each.get_block_name() for each in blocks.blocks.values() if each.visible is True}
    return mounted, early_files(_frontend(), seen)


def _frontend() -> Path:
    """Gradio's folder with its page and scripts."""
    return Path(str(importlib.resources.files("gradio"))) / "templates" / "frontend"


def _quiet(folder: Path) -> None:
    """Before Gradio is imported: it tells nobody anything, and its files are in our folder."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    # Its sums over all events, for a dashboard that is not served: they cost more than the events.
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(1 << 60)


def _narrow(app: FastAPI, early: list[str]) -> None:
    mount = app.router.routes[-1]
    assert isinstance(mount, Mount), f"Gradio mounted {mount}"
    mount.app = OnlyNeeded(Assets(Early(mount.app, early), _frontend() / "assets"))


def _with_folder(app: FastAPI, folder: PrivateFolder, backend: PageBackend) -> Any:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(of: FastAPI) -> AsyncIterator[Any]:
        try:
            async with inner(of) as state:
                yield state
        finally:
            backend.close()
            folder.remove()

    return lifespan


async def _nothing(_: object) -> Response:
    return Response("", media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})
