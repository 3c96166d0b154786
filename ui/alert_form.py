"""A form for a standing question; the list of those there are is drawn by the page's scripts."""

from __future__ import annotations

from typing import Any

import gradio as gr

from longtake.ui.needs import AlertWish, Backend
from longtake.ui.toasts import problem, telling, told
from longtake.ui.visit import Visit
from longtake.ui.wiring import Wiring


class AlertTab:
    """Adds one; pausing and removing stand beside each in the list."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.condition = gr.Textbox(
            label="Tell me when",
            placeholder="somebody stands at the door",
            max_length=500,
            max_lines=2,
            submit_btn="Add",
            elem_id="lt-condition",
        )
        with gr.Row(elem_classes="lt-numbers"):
            self.every = _number("Every (s)", 1)
            self.cooldown = _number("Rest (s)", 30)
            self.confirm = _number("Times in a row", 2, precision=0)
            self.threshold = _number("Threshold", 0.5, step=0.05)
        gr.HTML('<div id="lt-alerts"></div>')

    def wire(self, wiring: Wiring) -> None:
        given = [self.condition, self.every, self.cooldown, self.confirm, self.threshold]
        wiring.listen(self.condition.submit, self._add, given, [self.condition])

    async def _add(self, visit: Visit, condition: str, *numbers: Any) -> str:
        if not (condition or "").strip():
            raise problem("Say what to watch for first, such as: somebody stands at the door.")
        if any(each is None for each in numbers):
            raise problem("A number is missing: every, rest, times in a row and threshold.")
        every_s, cooldown_s, confirm, threshold = numbers
        wish = AlertWish(
            condition=(condition or "").strip(),
            every_s=float(every_s),
            cooldown_s=float(cooldown_s),
            confirm=int(confirm),
            threshold=float(threshold),
        )
        with telling():
            name = await self._backend.add_alert(self._backend.find(visit.take), wish)
        told(f"Watching for: {name}")
        return ""


def _number(label: str, value: float, **more: Any) -> gr.Number:
    """Its bounds are the server's to tell, in words."""
    return gr.Number(value, label=label, min_width=90, **more)
