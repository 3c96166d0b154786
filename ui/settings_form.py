"""Settings: they belong to a take from its beginning, so other ones open a new take."""

from __future__ import annotations

from typing import Any

import gradio as gr

from longtake.ui.needs import Backend, TakeWish
from longtake.ui.toasts import problem, telling, told
from longtake.ui.visit import Visit
from longtake.ui.wiring import Wiring

MOST = 1e9
GO = """(address) => { if (address) location.assign(address); return ''; }"""
ABOUT = (
    '<p class="lt-hint">A take keeps the settings it was opened with. What is empty, or 0, is as '
    "the model, or who runs this server, has it.</p>"
)


class SettingsTab:
    """Opens a take, and lets the model speak about this one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        with gr.Row(elem_classes="lt-buttons"):
            self.narrate = gr.Button("Say what is seen", size="sm", min_width=120)
            self.be_quiet = gr.Button("Stop saying it", size="sm", min_width=120)
        gr.HTML(ABOUT)
        models = list(backend.models)
        self.model = gr.Dropdown(models, value=models[0] if models else None, label="Model")
        with gr.Row(elem_classes="lt-numbers"):
            self.fps = _number("Frames a second")
            self.window = _number("Window (s)")
            self.top_k = _number("Recalled (top-k)", precision=0)
            self.ram = _number("RAM (GB)")
            self.disk = _number("Disk (GB)")
        self.ladder = gr.Textbox(
            label="Retention: what old memories become, step by step",
            placeholder="int8,kivi4,kivi2,picture,gone",
            max_length=200,
            max_lines=1,
        )
        self.open = gr.Button("Open a new take", variant="primary", size="sm", elem_id="lt-open")
        self.address = gr.Textbox(visible=False)

    def wire(self, wiring: Wiring) -> None:
        listen = wiring.listen
        given = [
            self.model, self.fps, self.window, self.top_k, self.ram, self.disk, self.ladder
        ]  # fmt: skip
        listen(self.open.click, self._open, given, [self.address], show_progress="minimal").success(
            None, self.address, None, js=GO, api_visibility="private"
        )
        listen(self.narrate.click, self._narrate)
        listen(self.be_quiet.click, self._be_quiet)

    async def _open(self, visit: Visit, model: str | None, *rest: Any) -> str:
        fps, window_s, top_k, ram_gb, disk_gb, ladder = rest
        wish = TakeWish(
            model=model or None,
            fps=_positive("Frames a second", fps),
            window_s=_positive("Window", window_s),
            top_k=None if not top_k else int(_positive("Recalled", top_k) or 0),
            ram_gb=_positive("RAM", ram_gb),
            disk_gb=_positive("Disk", disk_gb),
            ladder=(ladder or "").strip() or None,
        )
        with telling():
            return f"/?take={await self._backend.open(wish)}"

    async def _narrate(self, visit: Visit) -> None:
        with telling():
            await self._backend.narrate(self._backend.find(visit.take), is_on=True)
        told("What is seen is said under the picture from now on.")

    async def _be_quiet(self, visit: Visit) -> None:
        with telling():
            await self._backend.narrate(self._backend.find(visit.take), is_on=False)


def _number(label: str, precision: int | None = None) -> gr.Number:
    return gr.Number(None, label=label, precision=precision, min_width=110)


def _positive(label: str, value: Any) -> float | None:
    if not value:  # an empty number comes as 0
        return None
    if not 0 < float(value) < MOST:
        raise problem(f"{label}: {value:g} must be more than 0, and less than {MOST:g}.")
    return float(value)
