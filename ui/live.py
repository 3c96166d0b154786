"""The live page: where everything stands, and what happens when it is used.

Gradio draws the forms and the chat.  What changes by itself (the picture, the timeline, lists,
meters) is drawn by the page's own scripts in ``static/`` into places that are named here by their
id.  What stands behind the page is a `needs.Backend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from longtake.ui.alert_form import AlertTab
from longtake.ui.chat import ChatColumn
from longtake.ui.fallback_camera import FallbackCamera
from longtake.ui.folded import folded
from longtake.ui.needs import Backend, Refused, TakeLink
from longtake.ui.search import SearchTab
from longtake.ui.settings_form import SettingsTab
from longtake.ui.source_form import SourceForm
from longtake.ui.visit import Visit
from longtake.ui.wiring import Wiring

TITLE = "longtake"
CACHE_S = 600  # files that Gradio itself puts aside are looked through, and go, this often


def build(backend: Backend) -> gr.Blocks:
    """The page, not yet served."""
    page: gr.Blocks = gr.Blocks(
        title=TITLE,
        analytics_enabled=False,
        fill_width=True,
        fill_height=True,
        delete_cache=(CACHE_S, CACHE_S),
    )
    with page:
        place = gr.Textbox(visible=False)
        wiring = Wiring(place)
        with gr.Row(elem_id="lt-page", equal_height=False):
            with gr.Column(scale=0, elem_id="lt-side", min_width=240):
                takes = gr.HTML(_brand())
                gr.HTML('<div id="lt-sources"></div>')
                with folded() as more:
                    with (
                        gr.Accordion("Add a camera or video", open=False) as adding,
                        folded() as form,
                    ):
                        sources = SourceForm(backend)
                        gr.HTML('<div id="lt-upload"></div>')
                    camera = FallbackCamera(backend)
            with gr.Column(scale=7, elem_id="lt-main", min_width=300):
                gr.HTML('<div id="lt-live"></div><div id="lt-timeline"></div>')
                with folded() as below, gr.Tabs(elem_id="lt-tabs"):
                    with gr.Tab("Search"):
                        search = SearchTab(backend)
                    with gr.Tab("Alerts") as watching, folded() as alert_form:
                        alerts = AlertTab(backend)
                    with gr.Tab("Memory"):
                        gr.HTML('<div id="lt-meters"></div>')
                    with gr.Tab("Settings") as setting, folded() as settings_form:
                        settings = SettingsTab(backend)
            with gr.Column(scale=4, elem_id="lt-talk", min_width=300):
                chat = ChatColumn(backend)

        for part in (sources, camera, search, alerts, settings, chat):
            part.wire(wiring)
        form.show(adding.expand)
        alert_form.show(watching.select)
        settings_form.show(setting.select)

        async def begin(visit: Visit) -> tuple[Any, ...]:
            links = _brand(backend.takes(), _seen(backend, visit))
            return visit.said(), links, await chat.begun(visit)

        begun = wiring.listen(page.load, begin, (), [place, takes, chat.chat])
        more.show(begun.then)
        below.show(begun.then)
    return page


def _seen(backend: Backend, visit: Visit) -> str | None:
    try:
        return backend.find(visit.take)
    except Refused:
        return None


def _brand(takes: Sequence[TakeLink] = (), seen: str | None = None) -> str:
    """The name of the page, and links to what else can be looked at."""
    links = "".join(_link(take, seen) for take in takes)
    return (
        f'<header class="lt-brand"><h1>{TITLE}</h1></header><nav aria-label="Takes">{links}</nav>'
    )


def _link(take: TakeLink, seen: str | None) -> str:
    here = ' aria-current="page"' if take.id == seen else ""
    return (
        f'<a class="lt-take" href="/?take={escape(take.id)}"{here}>{escape(take.id)}'
        f"<small>{escape(take.model)}</small></a>"
    )
