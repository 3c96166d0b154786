"""What a visitor is told for a moment: Gradio shows it as HTML, so it is made text here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import gradio as gr

from longtake.ui.needs import Refused

SHOWN_S = 8.0
TITLE = "That did not work"


def problem(words: str) -> gr.Error:
    """To be raised: an event ends with it."""
    return gr.Error(escape(words), title=TITLE, duration=SHOWN_S, print_exception=False)


def told(words: str) -> None:
    """Something went as it was wanted."""
    gr.Info(escape(words), duration=SHOWN_S / 2)


@contextmanager
def telling() -> Iterator[None]:
    """What is refused within is shown as a toast."""
    try:
        yield
    except Refused as refused:
        raise problem(str(refused)) from None
