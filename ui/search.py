"""Search: words in, moments that fit them out, without an answer."""

from __future__ import annotations

import gradio as gr

from longtake.ui import pictures
from longtake.ui.needs import Backend
from longtake.ui.toasts import telling
from longtake.ui.visit import Visit
from longtake.ui.wiring import Wiring

HINT = '<p class="lt-empty">Moments whose picture or caption fits your words appear here.</p>'


class SearchTab:
    """Looks within the selected span, where there is one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.words = gr.Textbox(
            elem_id="lt-search",
            label="Look for",
            placeholder="a red mug on the table",
            max_length=500,
            max_lines=1,
            submit_btn="Search",
            show_label=False,
            container=False,
        )
        self.found = gr.HTML(HINT, elem_id="lt-found")

    def wire(self, wiring: Wiring) -> None:
        wiring.listen(self.words.submit, self._search, [self.words], [self.found])

    async def _search(self, visit: Visit, words: str) -> str:
        if not (words or "").strip():
            return HINT
        with telling():
            take = self._backend.find(visit.take)
            found = await self._backend.search(take, words.strip(), between_s=visit.between_s)
        return pictures.hits(take, found)
