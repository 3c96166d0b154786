"""Events of the page: each begins by asking the browser where its visitor is.

Every function that an event calls is given a `Visit` first, then the inputs.  None of them is part
of a public interface, that is the server's; none is recorded.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import gradio as gr

from longtake.ui.visit import Visit, script

SIDE_BY_SIDE = 16  # calls of one event, of all visitors


class Wiring:
    """`listen`, with the place through which browsers say where their visitors are."""

    def __init__(self, place: gr.Textbox) -> None:
        self._place = place

    def listen(
        self,
        event: Callable[..., Any],
        called: Callable[..., Any],
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        **settings: Any,
    ) -> Any:
        """Call `called`, a coroutine or an asynchronous generator, when `event` happens.

        Args:
            settings: of Gradio's event, over ours.
        """
        ours: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "js": script(1 + len(inputs)),
            "concurrency_limit": SIDE_BY_SIDE,
        }
        given = [self._place, *inputs]
        return event(_visited(called), given, list(outputs) or None, **(ours | settings))


def _visited(called: Callable[..., Any]) -> Callable[..., Any]:
    """What Gradio calls with plain inputs, and with what happened where `called` wants to know."""
    if inspect.isasyncgenfunction(called):

        async def streamed(said: Any, *given: Any) -> AsyncIterator[Any]:
            answers = called(Visit.read(said), *given)
            try:
                async for each in answers:
                    yield each
            finally:
                await answers.aclose()

        return streamed

    async def awaited(said: Any, *given: Any) -> Any:
        return await called(Visit.read(said), *given)

    return awaited
