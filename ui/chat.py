"""The chat: a question, its answer as it is spoken, and the moments that it rests on.

A visitor who leaves, or stops, ends his answer in the engine too.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from longtake.ui.chats import Chat, Chats, Turn
from longtake.ui.messages import messages
from longtake.ui.needs import Backend, Refused
from longtake.ui.toasts import telling
from longtake.ui.visit import Visit
from longtake.ui.wiring import Wiring

DRAWN_EVERY_S = 0.1  # while an answer is spoken
MOST_LETTERS = 2000  # of a question
LEFT = "This answer was not spoken to its end: the page was left."


class ChatColumn:
    """Its parts are made where it is made; `wire` when all of the page is there."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self._chats = backend, Chats()
        backend.on_forget(self._chats.forget)
        gr.HTML('<div id="lt-span"></div>')
        self.chat = gr.Chatbot(
            elem_id="lt-chat",
            label="Questions and answers",
            show_label=False,
            container=False,
            render_markdown=False,
            latex_delimiters=[],
            feedback_options=None,
            buttons=[],
            placeholder="Ask about now, or about anything that was seen.",
            height="100%",
            scale=1,
            visible=False,  # until it is told what was said
        )
        self.question = gr.Textbox(
            elem_id="lt-question",
            label="Question",
            show_label=False,
            container=False,
            placeholder="Ask about now, or about anything seen earlier",
            max_lines=4,
            max_length=MOST_LETTERS,
            submit_btn=True,
        )

    def wire(self, wiring: Wiring) -> None:
        drawn = [self.chat, self.question]
        listen = wiring.listen
        listen(self.question.submit, self._ask, [self.question], drawn)
        listen(self.question.stop, self._stop, queue=False)
        listen(self.chat.retry, self._ask_again, (), drawn)
        listen(self.chat.clear, self._clear, (), [self.chat], queue=False)
        self.chat.example_select(
            _chosen,
            None,
            self.question,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )

    async def restored(self, visit: Visit) -> list[dict[str, Any]]:
        """What was said, as a page that is loaded again shows it."""
        try:
            return messages(self._chat(visit))
        except Refused:
            return []

    async def begun(self, visit: Visit) -> Any:
        """How the chat stands when a page is loaded: hidden until then."""
        shown: dict[str, Any] = {"value": await self.restored(visit), "visible": True}
        try:
            examples = self._backend.examples(self._backend.find(visit.take))
            shown["examples"] = [{"text": each} for each in examples]
        except Refused:
            pass  # there is no such take: nothing can be asked
        return gr.update(**shown)

    def _chat(self, visit: Visit) -> Chat:
        return self._chats.find(self._backend.find(visit.take), visit.visitor)

    async def _ask(self, visit: Visit, question: str) -> AsyncIterator[tuple[Any, Any]]:
        question = (question or "").strip()[:MOST_LETTERS]
        if not question:
            return
        with telling():
            chat = self._chat(visit)
        async for drawn in self._answer(chat, Turn(question, visit.between_s)):
            yield drawn

    async def _ask_again(self, visit: Visit) -> AsyncIterator[tuple[Any, Any]]:
        """The last question, with the span that it had."""
        with telling():
            chat = self._chat(visit)
        if not chat.turns or not chat.turns[-1].is_over:
            return
        last = chat.turns.pop()
        async for drawn in self._answer(chat, Turn(last.question, last.between_s)):
            yield drawn

    async def _answer(self, chat: Chat, turn: Turn) -> AsyncIterator[tuple[Any, Any]]:
        chat.add(turn)
        yield messages(chat), gr.update(value="", submit_btn=False, stop_btn=True)
        try:
            turn.answering = await self._backend.ask(
                chat.take,
                turn.question,
                conversation=chat.conversation,
                between_s=turn.between_s,
            )
            drawn_s = time.monotonic()
            async for piece in turn.answering:
                turn.text += piece
                if time.monotonic() - drawn_s >= DRAWN_EVERY_S:
                    yield messages(chat), gr.skip()
                    drawn_s = time.monotonic()
            turn.reply = await turn.answering.reply()
            turn.text = turn.reply.text
        except Refused as refused:
            turn.trouble = str(refused)
        finally:
            if not turn.is_over:
                turn.trouble = LEFT
            turn.stop()
        yield messages(chat), gr.update(submit_btn=True, stop_btn=False)

    async def _stop(self, visit: Visit) -> None:
        """What is spoken so far is the answer."""
        with telling():
            for turn in self._chat(visit).turns:
                turn.stop()

    async def _clear(self, visit: Visit) -> list[dict[str, Any]]:
        with telling():
            self._chats.clear(self._backend.find(visit.take), visit.visitor)
        return []


async def _chosen(event: gr.SelectData) -> str:
    """An example is put into the box, to be sent or changed."""
    return str(event.value["text"])
