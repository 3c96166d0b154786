"""An answer in the making, as coroutines wait for it: no thread waits, and no loop can stop it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from longtake.answer import Answer
from longtake.asking import Asking
from longtake.engine import Engine
from longtake.models.decode import Decoding
from tests.pushed import CONFIG, push

LONG_S = 30.0
MANY = 60
ANSWER: Any = object()  # what it is made of is nothing to whoever waits


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """The worker is busy meanwhile: what is asked waits."""
    is_held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        go_on.wait(LONG_S)

    thread = threading.Thread(target=lambda: engine.run(hold))
    thread.start()
    is_held.wait(LONG_S)
    try:
        yield
    finally:
        go_on.set()
        thread.join()


async def collect(asking: Asking) -> list[str]:
    return [piece async for piece in asking]


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, LONG_S))


# ------------------------------------------------------------------ one answer


def test_pieces_of_another_thread_come_in_order_and_the_answer_behind_them() -> None:
    async def listen() -> tuple[list[str], Answer]:
        asking, go_on, heard = Asking(), threading.Event(), list[str]()
        first = asyncio.Event()

        async def hear() -> list[str]:
            async for piece in asking:
                heard.append(piece)
                first.set()
            return heard

        def speak() -> None:
            asking.add("one ")
            if go_on.wait(5.0):  # the loop has time for others while it waits for a piece
                asking.add("two")
            asking.finish(ANSWER)

        pieces = asyncio.create_task(hear())
        await asyncio.sleep(0)  # it waits before anything is said
        thread = threading.Thread(target=speak)
        thread.start()
        await first.wait()
        await asyncio.sleep(0)
        assert heard == ["one "]
        go_on.set()
        answer = await asking.aresult()
        thread.join()
        return await pieces, answer

    assert run(listen()) == (["one ", "two"], ANSWER)


def test_all_who_wait_are_told_and_whoever_comes_late_too() -> None:
    async def listen() -> list[Any]:
        asking = Asking()
        waiting = [asyncio.create_task(asking.aresult()) for _ in range(5)]
        listening = [asyncio.create_task(collect(asking)) for _ in range(3)]
        await asyncio.sleep(0)
        threading.Thread(target=lambda: asking.finish(ANSWER)).start()
        told = [await each for each in waiting]
        assert [await each for each in listening] == [[], [], []]
        return [*told, await asking.aresult(), await collect(asking)]

    assert run(listen()) == [*[ANSWER] * 6, []]


def test_what_went_wrong_is_raised_to_those_who_wait_and_those_who_listen() -> None:
    async def listen() -> None:
        asking = Asking()
        waiting = asyncio.create_task(asking.aresult())
        listening = asyncio.create_task(collect(asking))
        await asyncio.sleep(0)
        asking.fail(OSError("the disk is gone"))
        for each in (waiting, listening):
            with pytest.raises(OSError, match="the disk is gone"):
                await each

    run(listen())


def test_waiting_that_is_given_up_leaves_nothing_behind_and_ends_no_answer() -> None:
    async def listen() -> None:
        asking = Asking()
        for wait in (asking.aresult(), collect(asking)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait, 0.0)
            task = asyncio.create_task(asking.aresult())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert asking._bells == [] and not asking.is_cancelled
        asking.finish(ANSWER)
        assert await asking.aresult() is ANSWER

    run(listen())


def test_a_loop_that_was_closed_does_not_stop_whoever_answers() -> None:
    asking, loop = Asking(), asyncio.new_event_loop()
    left: Any = loop.create_task(asking.aresult())
    left._log_destroy_pending = False
    loop.run_until_complete(asyncio.sleep(0))
    assert len(asking._bells) == 1
    loop.close()
    asking.add("piece")
    asking.finish(ANSWER)
    assert asking.result(0.0) is ANSWER and list(asking) == ["piece"]


# ------------------------------------------------------------------ many, of a take


def test_many_coroutines_wait_for_answers_and_no_thread_does(engine: Engine) -> None:
    async def ask_all(take: Any) -> list[Answer]:
        with held(engine):
            threads = threading.active_count()
            asked = [asyncio.create_task(take.aask(f"what {n}?")) for n in range(MANY)]
            await asyncio.sleep(0)
            assert take.questions_waiting == MANY
            assert threading.active_count() == threads
        return [await task for task in asked]

    with engine.open(config=CONFIG) as take:
        push(take, 0, 1, 2)
        told = run(ask_all(take))
        assert [answer.question for answer in told] == [f"what {n}?" for n in range(MANY)]
        assert told[7].text == take.ask("what 7?").text


def test_cancelling_the_task_cancels_the_answer(engine: Engine) -> None:
    long = Decoding(max_tokens=400)

    async def leave(take: Any) -> None:
        task = asyncio.create_task(take.aask("what?", decoding=long))
        pieces = take.astream("what?", decoding=long)
        listening = asyncio.create_task(anext(pieces))
        await asyncio.sleep(0)
        assert take.questions_waiting == 2
        for each in (task, listening):
            each.cancel()
            with pytest.raises(asyncio.CancelledError):
                await each

    with engine.open(config=CONFIG) as take:
        push(take, 0)
        said: list[Asking] = []
        submit = take.submit

        def listen(*given: Any, **options: Any) -> Asking:
            said.append(submit(*given, **options))
            return said[-1]

        take.submit = listen  # type: ignore[method-assign]
        with held(engine):
            run(leave(take))
        assert [asking.result(LONG_S).partial for asking in said] == [True, True]
        assert [asking.result().timings.tokens for asking in said] == [0, 0]


def test_questions_that_wait_are_counted_take_by_take(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take, engine.open(config=CONFIG) as other:
        with held(engine):
            asked = [take.submit("what?") for _ in range(3)]
            asked.append(other.submit("what?"))
            assert (take.questions_waiting, other.questions_waiting) == (3, 1)
        assert all(asking.result(LONG_S) for asking in asked)
        assert (take.questions_waiting, other.questions_waiting) == (0, 0)


# ------------------------------------------------------------------ earlier turns

TURNS = [("is it red?", "no"), ("is it blue?", "yes")]


def prompted(take: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, str]]]:
    """The dialogue of each question that is answered from now on."""
    from longtake import answering

    found: list[list[tuple[str, str]]] = []
    fit = answering.fit_dialogue

    def listen(*given: Any) -> list[tuple[str, str]]:
        found.append(fit(*given))
        return found[-1]

    monkeypatch.setattr(answering, "fit_dialogue", listen)
    return found


def test_turns_that_are_given_are_read_as_those_of_a_conversation(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, 0)
        take._dialogues.add("mine", *TURNS[0])
        take._dialogues.add("mine", *TURNS[1])
        found = prompted(take, monkeypatch)
        by_name = take.ask("which?", conversation="mine")
        given = take.ask("which?", dialogue=[list(turn) for turn in TURNS])  # as JSON has them
        alone = take.ask("which?", dialogue=[])
        assert found == [TURNS, TURNS, []]
        assert given.text == by_name.text and alone.question == "which?"
        assert take._dialogues.turns("mine")[:2] == tuple(TURNS)  # what is given is not kept
        assert len(take._dialogues.turns("mine")) == 3


def test_as_many_of_the_newest_turns_are_read_as_the_bound_leaves(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.open(config=replace(CONFIG, dialogue_tokens=60)) as take:
        push(take, 0)
        found = prompted(take, monkeypatch)
        many = [(f"is it {n}?", "no") for n in range(200)]
        take.ask("which?", dialogue=many)
        assert 0 < len(found[0]) < 64 and found[0] == many[-len(found[0]) :]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dialogue": TURNS, "conversation": "mine"}, "give one"),
        ({"dialogue": [("only a question",)]}, "no pair"),
        ({"dialogue": ["ab"]}, "no pair"),
        ({"dialogue": [("a", 3)]}, "no pair"),
        ({"dialogue": [("a\udc80", "b")]}, "UTF-8"),
    ],
)
def test_a_dialogue_that_makes_no_sense_is_refused(
    engine: Engine, wrong: dict[str, Any], said: str
) -> None:
    with engine.open(config=CONFIG) as take, pytest.raises(ValueError, match=said):
        take.submit("which?", **wrong)
