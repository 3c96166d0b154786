"""OpenAI's official client against a take: what it asks is answered, what cannot be is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from longtake.models.decode import Decoding
from longtake.server.routes import chat
from longtake.server.routes.errors import Problem
from longtake.server.routes.schemas import Chat
from tests.rigs.api import SECONDS, WAIT_S, Api, api, busy


@pytest.fixture(scope="module")
def face() -> Iterator[Api]:
    with api() as made:
        yield made


@pytest.fixture(scope="module")
def client(face: Api) -> Iterator[openai.OpenAI]:
    import httpx

    http = httpx.Client(trust_env=False, timeout=WAIT_S)
    url = f"{face.url}/v1"
    with openai.OpenAI(base_url=url, api_key="none", http_client=http, max_retries=0) as made:
        yield made


def user(text: Any) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["embedded"]
    assert client.models.retrieve("embedded").owned_by == "longtake"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


def test_a_question_is_answered_with_evidence_beside_it(face: Api, client: openai.OpenAI) -> None:
    asked = face.question()
    told = client.chat.completions.create(
        model="embedded", messages=user(asked.text), extra_body={"take": "live"}
    )
    assert told.choices[0].message.content == asked.answer
    assert told.choices[0].finish_reason == "stop"
    assert told.usage is not None and told.usage.completion_tokens > 0
    assert told.usage.prompt_tokens > 0
    assert told.usage.total_tokens == told.usage.prompt_tokens + told.usage.completion_tokens
    beside = told.model_extra["longtake"] if told.model_extra else {}
    assert beside["take"] == "live" and beside["as_of_s"] == SECONDS - 1
    assert beside["coverage"] == 1 and beside["partial"] is False
    assert face.http.get(beside["evidence"][0]["picture"]).status_code == 200


def test_without_a_take_the_only_one_is_asked(face: Api, client: openai.OpenAI) -> None:
    asked = face.question()
    told = client.chat.completions.create(model="embedded", messages=user(asked.text))
    assert told.choices[0].message.content == asked.answer


def test_a_streamed_answer_ends_with_evidence_and_usage(face: Api, client: openai.OpenAI) -> None:
    asked = face.question()
    chunks = list(
        client.chat.completions.create(
            model="embedded",
            messages=user([{"type": "text", "text": asked.text}]),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    spoken = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert spoken.strip() == asked.answer
    assert chunks[0].choices[0].delta.role == "assistant"
    last, usage = chunks[-2], chunks[-1]
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra is not None and last.model_extra["longtake"]["evidence"]
    assert usage.choices == [] and usage.usage is not None and usage.usage.completion_tokens > 0
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_times_bound_an_answer(client: openai.OpenAI) -> None:
    told = client.chat.completions.create(
        model="embedded",
        messages=user("what is there?"),
        extra_body={"take": "live", "at_s": 9, "between_s": [2, 9], "top_k": 2},
    )
    assert told.model_extra is not None and told.model_extra["longtake"]["as_of_s"] <= 9


def test_the_token_limit_is_told_as_length(client: openai.OpenAI, face: Api) -> None:
    messages = user(face.question().text)
    for limit in ({"max_tokens": 1}, {"max_completion_tokens": 1}):
        told = client.chat.completions.create(model="embedded", messages=messages, **limit)  # type: ignore[call-overload]
        assert told.choices[0].finish_reason == "length"
        assert told.usage.completion_tokens == 1


def test_a_seed_repeats_an_answer(client: openai.OpenAI, face: Api) -> None:
    def once() -> str | None:
        told = client.chat.completions.create(
            model="embedded",
            messages=user(face.question().text),
            temperature=1.5,
            top_p=0.9,
            seed=7,
        )
        return told.choices[0].message.content

    assert once() == once()


def test_earlier_turns_reach_the_take(
    client: openai.OpenAI, face: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    submit = face.live.take.submit

    def heard(question: str, **options: Any) -> Any:
        seen.append((question, options["dialogue"]))
        return submit(question, **options)

    monkeypatch.setattr(face.live.take, "submit", heard)
    client.chat.completions.create(
        model="embedded",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Is there a ring?"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "what colour is the ring?"},
        ],
    )
    assert seen == [("Be brief.\nwhat colour is the ring?", (("Is there a ring?", "yes"),))]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": ["x"]}, "stop"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"extra_body": {"session": "x"}}, "session"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    client: openai.OpenAI, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="embedded", messages=user("what?"), **more)
    assert caught.value.param == param and caught.value.code == "unsupported"


def test_pictures_in_a_message_are_refused_with_the_way_out(client: openai.OpenAI) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError, match="/frames"):
        client.chat.completions.create(model="embedded", messages=user([picture]))


def test_what_says_the_usual_is_not_refused(client: openai.OpenAI) -> None:
    told = client.chat.completions.create(
        model="embedded",
        messages=user("what is there?"),
        n=1,
        stop=[],
        presence_penalty=0,
        logprobs=False,
        response_format={"type": "text"},
        user="somebody",
        metadata={"a": "b"},
    )
    assert told.choices[0].message.content


def test_unknown_models_and_takes_are_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=user("what?"))
    assert caught.value.code == "model_not_found" and caught.value.param == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(
            model="embedded", messages=user("what?"), extra_body={"take": "nowhere"}
        )
    assert caught.value.code == "no_such_take"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "system", "content": "Be brief."}],
        [{"role": "user", "content": "  "}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "assistant", "content": "b"}, {"role": "user", "content": "a"}],
        [{"role": "user", "content": "a"}, {"role": "tool", "content": "b", "tool_call_id": "c"}],
    ],
)
def test_messages_that_ask_nothing_are_refused(client: openai.OpenAI, messages: list[Any]) -> None:
    with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError)):
        client.chat.completions.create(model="embedded", messages=messages)


def test_the_client_knows_when_to_come_back(client: openai.OpenAI, face: Api) -> None:
    with busy(face.live):
        waiting = [face.live.take.submit("what is there?") for _ in range(64)]
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="embedded", messages=user("what is there?"))
        assert int(caught.value.response.headers["retry-after"]) >= 1
        for each in waiting:
            each.cancel()


def test_several_messages_of_one_side_are_one_turn() -> None:
    body = Chat.model_validate(
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "user", "content": "b"},
                {"role": "assistant", "content": "c"},
                {"role": "assistant", "content": "d"},
                {"role": "user", "content": "e"},
            ],
        }
    )
    assert chat.dialogue(body.messages) == chat.Dialogue("e", (("a\nb", "c\nd"),))


def test_what_is_not_said_of_decoding_is_the_takes() -> None:
    usual = Decoding(max_tokens=5, temperature=0.3, seed=9)
    body = Chat.model_validate({"model": "m", "messages": user("a"), "temperature": 0.0})
    assert chat.decoding(body, usual) == Decoding(max_tokens=5, temperature=0.0, seed=9)


def test_false_is_not_taken_for_nought() -> None:
    body = Chat.model_validate({"model": "m", "messages": user("a"), "tools": 0})
    with pytest.raises(Problem, match="tools"):
        chat.check(body)
