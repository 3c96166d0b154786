"""Parts of the page that are drawn when somebody opens them, not before.

Gradio loads the script of every part that is not hidden itself, whatever stands around it; so each
part within a fold is hidden, and the first look at the page waits for none of them.  Opening a fold
asks nothing of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import Block, BlockContext

SEEN = "{visible: true, __type__: 'update'}"  # as Gradio's own script says it


class Fold:
    """What is drawn together."""

    def __init__(self) -> None:
        self._parts: list[Block] = []

    def hide(self, part: Block) -> None:
        """With all that it holds; what is hidden already stays another's to show."""
        if part.visible is True:
            part.visible = False
            self._parts.append(part)
        for inner in part.children if isinstance(part, BlockContext) else ():
            self.hide(inner)

    def show(self, event: Callable[..., Any]) -> Any:
        """Draw it when `event` happens; again and again is fine."""
        return event(
            None,
            None,
            self._parts,
            js=f"() => Array.from({{length: {len(self._parts)}}}, () => ({SEEN}))",
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )


@contextmanager
def folded() -> Iterator[Fold]:
    """What is made within the block is not drawn before `Fold.show` says so."""
    fold = Fold()
    with gr.Column(min_width=0) as column:
        yield fold
    for part in column.children:
        fold.hide(part)
