"""Turns of a chat as messages of `gr.Chatbot`.

It shows text as HTML, whatever it is told of Markdown: every word is escaped here, and Markdown
stays off in the chat.  The strip of evidence is HTML of our own, see `pictures`.
"""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from longtake.ui import pictures
from longtake.ui.chats import Chat, Turn
from longtake.ui.needs import Reply
from longtake.ui.view import clock, span

FRESH_S = 1.0  # staler than this is said
WAITING = "…"
NO_WORDS = "The model said nothing to this. Ask it in other words, or about a shorter span."


def messages(chat: Chat) -> list[dict[str, Any]]:
    """All of them, oldest first."""
    return [message for turn in chat.turns for message in _of(chat.take, turn)]


def _of(take: str, turn: Turn) -> list[dict[str, Any]]:
    about = "" if turn.between_s is None else f"[{span(*turn.between_s)}] "
    said = {"role": "user", "content": text(about + turn.question)}
    return [said, {"role": "assistant", "content": _answer(take, turn)}]


def _answer(take: str, turn: Turn) -> list[Any]:
    parts: list[Any] = [text(turn.text)] if turn.text.strip() else []
    if turn.trouble:
        return [*parts, _html(f'<p class="lt-trouble">{escape(turn.trouble)}</p>')]
    if turn.reply is None:
        return parts or [WAITING]
    below = pictures.evidence(take, turn.reply.evidence)
    note = f'<p class="lt-as-of">{escape(as_of(turn.reply))}</p>'
    return [*(parts or [NO_WORDS]), _html(f'<div class="lt-below">{below}{note}</div>')]


def text(words: str) -> str:
    """Words as they are, whatever they look like."""
    return escape(words, quote=False)


def as_of(reply: Reply) -> str:
    """What an answer knew: ``as of 1:05, 2 s behind · cut short``."""
    behind = f", {reply.staleness_s:.0f} s behind" if reply.staleness_s >= FRESH_S else ""
    said = [f"as of {clock(reply.as_of_s)}{behind}"]
    if reply.is_partial:
        said.append("cut short")
    if reply.coverage < 1:
        said.append(f"{reply.coverage:.0%} of the chosen past was there in time")
    if reply.missing:
        said.append("not held: " + ", ".join(reply.missing))
    return " · ".join(said)


def _html(safe: str) -> gr.HTML:
    return gr.HTML(safe, render=False)
