"""A form for a camera or a stream by its address: look at it, or watch it.

Those that are watched are drawn by the page's scripts, which send files too.
"""

from __future__ import annotations

from html import escape

import gradio as gr

from longtake.ui.needs import Backend
from longtake.ui.toasts import problem, telling, told
from longtake.ui.visit import Visit
from longtake.ui.wiring import Wiring

NO_ADDRESS = "Type an address first, such as rtsp://camera.example/stream."


class SourceForm:
    """In the sidebar."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.address = gr.Textbox(
            label="Camera or stream",
            placeholder="rtsp://user:password@camera/stream",
            max_length=2000,
            max_lines=1,
            elem_id="lt-address",
        )
        self.name = gr.Textbox(
            label="Its name", placeholder="front door (optional)", max_length=64, max_lines=1
        )
        with gr.Row(elem_classes="lt-buttons"):
            self.add = gr.Button("Add", variant="primary", size="sm", min_width=60)
            self.test = gr.Button("Test", size="sm", min_width=60)
        self.said = gr.HTML("", elem_id="lt-probed")

    def wire(self, wiring: Wiring) -> None:
        listen, given = wiring.listen, [self.address, self.name]
        emptied = [self.address, self.name, self.said]
        listen(self.add.click, self._add, given, emptied)
        listen(self.address.submit, self._add, given, emptied)
        listen(self.test.click, self._test, [self.address], [self.said], show_progress="minimal")

    async def _add(self, visit: Visit, address: str, name: str) -> tuple[str, str, str]:
        with telling():
            take = self._backend.find(visit.take)
            shown = await self._backend.add_source(take, _typed(address), (name or "").strip())
        told(f"Watching {shown}")
        return "", "", ""

    async def _test(self, visit: Visit, address: str) -> str:
        with telling():
            words = await self._backend.probe(_typed(address))
        return f'<pre class="lt-words" role="status">{escape(words)}</pre>'


def _typed(address: str) -> str:
    if not (address or "").strip():
        raise problem(NO_ADDRESS)
    return address.strip()
