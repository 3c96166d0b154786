"""The chat without a browser: what is shown while an answer is spoken, and when it goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import gradio as gr
import pytest

from longtake.ui import chat as chat_module
from longtake.ui.alert_form import AlertTab
from longtake.ui.building import built
from longtake.ui.chat import LEFT, ChatColumn
from longtake.ui.chats import MOST_CHATS, MOST_TURNS, Chats, Turn
from longtake.ui.fallback_camera import FallbackCamera
from longtake.ui.needs import AlertWish, Refused, TakeWish
from longtake.ui.search import HINT, SearchTab
from longtake.ui.settings_form import SettingsTab
from longtake.ui.source_form import NO_ADDRESS, SourceForm
from longtake.ui.visit import Visit
from tests.rigs.made_up_backend import MadeUpBackend, answer
from tests.test_ui_pictures import html_of

ANNA, BERT = Visit(None, "anna0000anna0000"), Visit(None, "bert0000bert0000")


@pytest.fixture
def backend() -> MadeUpBackend:
    return MadeUpBackend()


@pytest.fixture
def column(backend: MadeUpBackend, monkeypatch: pytest.MonkeyPatch) -> ChatColumn:
    monkeypatch.setattr(chat_module, "DRAWN_EVERY_S", 0.0)
    made: ChatColumn = part(ChatColumn, backend)
    return made


def part(made: Callable[[MadeUpBackend], Any], backend: MadeUpBackend) -> Any:
    def within() -> Any:
        with gr.Blocks():
            return made(backend)

    return built(within)


async def drawn(shown: AsyncIterator[tuple[Any, Any]]) -> list[list[str]]:
    """What stands in the chat, each time that it is drawn."""
    return [[html_of(m["content"]) for m in messages] async for messages, _ in shown]


def run(job: Awaitable[Any]) -> Any:
    async def whole() -> Any:
        return await asyncio.wait_for(asyncio.ensure_future(job), 10.0)

    return asyncio.run(whole())


def test_an_answer_is_drawn_as_it_is_spoken_then_with_its_evidence(column: ChatColumn) -> None:
    shown = run(drawn(column._ask(ANNA, " where was it? ")))
    assert [each[0] for each in shown] == ["where was it?"] * 4
    assert [each[1] for each in shown[:3]] == ["…", "a red", "a red ring"]
    assert "frames/3.jpg" in shown[3][1] and "as of 1:05" in shown[3][1]


def test_the_stop_button_is_there_while_an_answer_is_spoken(column: ChatColumn) -> None:
    async def boxes() -> list[Any]:
        return [box async for _, box in column._ask(ANNA, "where?")]

    first, *_, last = run(boxes())
    assert (first["submit_btn"], first["stop_btn"], first["value"]) == (False, True, "")
    assert (last["submit_btn"], last["stop_btn"]) == (True, False)


def test_nothing_is_asked_without_words(column: ChatColumn, backend: MadeUpBackend) -> None:
    assert run(drawn(column._ask(ANNA, "  "))) == []
    assert not backend.asked


def test_the_span_that_is_selected_is_what_is_asked_about(
    column: ChatColumn, backend: MadeUpBackend
) -> None:
    run(drawn(column._ask(Visit("kitchen", ANNA.visitor, (1.0, 2.0)), "what?")))
    assert backend.asked[0]["between_s"] == (1.0, 2.0)
    assert backend.asked[0]["take"] == "kitchen"


def test_a_visitor_goes_on_with_his_own_dialogue(
    column: ChatColumn, backend: MadeUpBackend
) -> None:
    for visit in (ANNA, BERT, ANNA):
        run(drawn(column._ask(visit, "what?")))
    one, other, again = (asked["conversation"] for asked in backend.asked)
    assert one == again != other and None not in (one, other)


def test_a_page_that_is_loaded_again_shows_its_own_chat(column: ChatColumn) -> None:
    run(drawn(column._ask(ANNA, "what was it?")))
    assert "what was it?" in html_of(run(column.restored(ANNA))[0]["content"])
    assert run(column.restored(BERT)) == []
    assert run(column.restored(Visit("kitchen", ANNA.visitor))) == []
    assert run(column.restored(Visit("none-of-these", ANNA.visitor))) == []
    assert run(column.restored(Visit())) == []


def test_what_is_cleared_is_gone_and_another_dialogue_begins(
    column: ChatColumn, backend: MadeUpBackend
) -> None:
    run(drawn(column._ask(ANNA, "what?")))
    assert run(column._clear(ANNA)) == [] == run(column.restored(ANNA))
    run(drawn(column._ask(ANNA, "what?")))
    assert backend.asked[0]["conversation"] != backend.asked[1]["conversation"]


def test_a_question_that_is_asked_again_takes_the_place_of_the_last(
    column: ChatColumn, backend: MadeUpBackend
) -> None:
    run(drawn(column._ask(Visit(None, ANNA.visitor, (1.0, 2.0)), "what?")))
    shown = run(drawn(column._ask_again(ANNA)))
    assert len(shown[-1]) == 2
    assert backend.asked[0] == backend.asked[1]
    assert run(drawn(column._ask_again(BERT))) == []


def test_what_is_refused_stands_in_the_chat_as_text(
    column: ChatColumn, backend: MadeUpBackend
) -> None:
    backend.refusal = Refused("64 questions wait <already>: ask again in a moment")
    shown = run(drawn(column._ask(ANNA, "what?")))
    assert "wait &lt;already&gt;: ask again" in shown[-1][1]


def test_an_answer_that_fails_midway_keeps_what_was_said(
    column: ChatColumn, backend: MadeUpBackend
) -> None:
    backend.reply = Refused("this take was closed")
    shown = run(drawn(column._ask(ANNA, "what?")))
    assert "a red ring" in shown[-1][1] and "this take was closed" in shown[-1][1]


def test_stopping_ends_the_answer_with_what_there_is(
    column: ChatColumn, backend: MadeUpBackend
) -> None:
    backend.waits, backend.reply = True, answer("a red", is_partial=True)

    async def stopped() -> list[str]:
        asking = asyncio.ensure_future(drawn(column._ask(ANNA, "what?")))
        while not backend.answerings:
            await asyncio.sleep(0)
        await column._stop(BERT)
        assert not backend.answerings[0].is_stopped.is_set()
        await column._stop(ANNA)
        return (await asking)[-1]

    assert "cut short" in run(stopped())[1]


def test_an_answer_ends_in_the_engine_when_its_visitor_leaves(
    column: ChatColumn, backend: MadeUpBackend
) -> None:
    backend.waits = True

    async def leave() -> None:
        shown = column._ask(ANNA, "what?")
        for _ in range(2):
            await anext(shown)
        await shown.aclose()

    run(leave())
    assert backend.answerings[0].is_stopped.is_set()
    assert LEFT in html_of(run(column.restored(ANNA))[1]["content"])


def test_a_take_that_is_not_there_is_told_by_a_toast(column: ChatColumn) -> None:
    with pytest.raises(gr.Error, match="there is live, kitchen"):
        run(drawn(column._ask(Visit("none", ANNA.visitor), "what?")))


def test_chats_and_their_turns_are_bounded() -> None:
    chats = Chats()
    for number in range(MOST_CHATS + 5):
        chats.find("live", f"visitor-{number:016}").add(Turn("what?"))
    assert len(chats._chats) == MOST_CHATS
    assert chats.find("live", f"visitor-{0:016}").turns == []
    chat = chats.find("live", "visitor")
    for number in range(MOST_TURNS + 1):
        chat.add(Turn(str(number)))
    assert [turn.question for turn in chat.turns] == [str(n) for n in range(1, MOST_TURNS + 1)]


def test_what_is_forgotten_leaves_no_turn_and_ends_an_answer_on_its_way(
    column: ChatColumn, backend: MadeUpBackend
) -> None:
    run(drawn(column._ask(ANNA, "what was it?")))
    run(drawn(column._ask(Visit("kitchen", ANNA.visitor), "what else?")))

    async def forget_while_it_is_spoken() -> list[list[str]]:
        backend.waits = True
        shown = []
        async for messages, _ in column._ask(BERT, "where?"):
            shown.append([html_of(m["content"]) for m in messages])
            if len(shown) == 2:
                for forget in backend.forgetting:
                    await asyncio.to_thread(forget, "live")
        return shown

    assert run(forget_while_it_is_spoken())[-1] == []
    assert run(column.restored(ANNA)) == run(column.restored(BERT)) == []
    assert len(run(column.restored(Visit("kitchen", ANNA.visitor)))) == 2


# ------------------------------------------------------------------ the forms


def test_an_alert_is_added_as_it_was_typed(backend: MadeUpBackend) -> None:
    tab = part(AlertTab, backend)
    assert run(tab._add(ANNA, " a ring ", 2, 0, 3.0, 0.75)) == ""
    wish = AlertWish(condition="a ring", every_s=2.0, cooldown_s=0.0, confirm=3, threshold=0.75)
    assert backend.wishes == [wish]
    for given in (("", 2, 0, 3, 0.5), ("a ring", None, 0, 3, 0.5)):
        with pytest.raises(gr.Error):
            run(tab._add(ANNA, *given))


def test_a_source_is_added_or_looked_at(backend: MadeUpBackend) -> None:
    form = part(SourceForm, backend)
    assert run(form._add(ANNA, " rtsp://cam/a ", " door ")) == ("", "", "")
    assert backend.sources == [("live", "rtsp://cam/a", "door")]
    assert "&lt;h264&gt;" in run(form._test(ANNA, "rtsp://cam/a"))
    with pytest.raises(gr.Error, match="Type an address first"):
        run(form._add(ANNA, " ", ""))
    assert NO_ADDRESS.startswith("Type an address first")


def test_what_the_server_refuses_is_told_by_a_toast(backend: MadeUpBackend) -> None:
    backend.refusal = Refused("10.0.0.1: an inner address")
    form, tab = part(SourceForm, backend), part(AlertTab, backend)
    for job in (
        form._add(ANNA, "rtsp://10.0.0.1/", ""),
        form._test(ANNA, "rtsp://10.0.0.1/"),
        tab._add(ANNA, "a ring", 1, 30, 2, 0.5),
        part(SearchTab, backend)._search(ANNA, "ring"),
        part(SettingsTab, backend)._open(ANNA, "embedded", 0, 0, 0, 0, 0, ""),
        part(SettingsTab, backend)._narrate(ANNA),
        part(FallbackCamera, backend)._see(ANNA, object()),
    ):
        with pytest.raises(gr.Error, match="an inner address"):
            run(job)


def test_a_search_without_words_says_what_it_is_for(backend: MadeUpBackend) -> None:
    assert run(part(SearchTab, backend)._search(ANNA, " ")) == HINT


def test_settings_that_are_left_empty_are_left_to_the_model(backend: MadeUpBackend) -> None:
    tab = part(SettingsTab, backend)
    assert run(tab._open(ANNA, "embedded", 0, None, 0, 0, 0, " ")) == "/?take=kitchen"
    assert run(tab._open(ANNA, None, 2, 8, 4, 0.5, 1, "int8,gone")) == "/?take=kitchen"
    assert backend.wishes == [
        TakeWish(model="embedded"),
        TakeWish(fps=2.0, window_s=8.0, top_k=4, ram_gb=0.5, disk_gb=1.0, ladder="int8,gone"),
    ]
    with pytest.raises(gr.Error, match="Window: -1 must be more than 0"):
        run(tab._open(ANNA, None, 2, -1, 0, 0, 0, ""))


def test_each_visitor_has_a_camera_of_his_own_and_frees_it_when_he_leaves(
    backend: MadeUpBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtake.ui.fallback_camera.IDLE_S", 0.05)
    camera = part(FallbackCamera, backend)

    async def shown() -> None:
        for visit in (ANNA, BERT, ANNA, Visit()):
            await camera._see(visit, object())
        assert [seat.shown for seat in backend.seats] == [2, 1]
        for seat in backend.seats:
            await seat.has_left.wait()
        await camera._see(ANNA, object())
        assert len(backend.seats) == 3
        await backend.seats[2].has_left.wait()

    run(shown())
