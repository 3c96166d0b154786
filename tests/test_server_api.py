"""The HTTP face over a real server: every route, and what is refused in which words."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import socket
import threading
import zipfile
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from longtake.answer import Answer
from longtake.asking import Asking
from longtake.models.embedded.filming import write_film
from longtake.server.app import create_app
from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.routes.blocking import THREADS
from longtake.server.routes.sse import beating
from tests.rigs.api import SECONDS, WAIT_S, Api, api, busy, jpeg, show, until
from tests.rigs.serving import serving

TAKE = "/v1/takes/live"


@pytest.fixture(scope="module")
def face() -> Iterator[Api]:
    config = ServeConfig(port=0, max_takes=3, max_upload_bytes=1 << 20, max_sockets=4)
    with api(config) as made:
        yield made


@pytest.fixture
def other(face: Api) -> Iterator[str]:
    """A take of the test's own, without frames."""
    made = face.http.post("/v1/takes", json={"id": "other"})
    assert made.status_code == 201, made.text
    yield "/v1/takes/other"
    face.http.delete("/v1/takes/other")


def wrong(response: httpx.Response, status: int, code: str) -> str:
    """It is an error of this kind, in OpenAI's shape; its words."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code and error["message"]
    said: str = error["message"]
    return said


def ok(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()


# ------------------------------------------------------------------ takes


def test_takes_are_opened_listed_found_and_closed(face: Api) -> None:
    made = face.http.post("/v1/takes", json={"id": "kitchen", "window_s": 4, "top_k": 2})
    assert made.status_code == 201 and made.headers["location"] == "/v1/takes/kitchen"
    told = made.json()
    assert told["settings"]["window_s"] == 4 and told["settings"]["top_k"] == 2
    assert told["model"] == "embedded" and told["frames"] == 0
    listed = ok(face.http.get("/v1/takes"))["takes"]
    assert [each["id"] for each in listed] == ["live", "kitchen"]
    assert ok(face.http.get("/v1/takes/kitchen"))["id"] == "kitchen"
    wrong(face.http.post("/v1/takes", json={"id": "kitchen"}), 409, "take_exists")
    gone = face.http.delete("/v1/takes/kitchen", params={"forget": True})
    assert gone.status_code == 204
    assert "live" in wrong(face.http.get("/v1/takes/kitchen"), 404, "no_such_take")


def test_more_takes_than_may_be_are_told_to_come_later(face: Api) -> None:
    made = [face.http.post("/v1/takes", json={}).json()["id"] for _ in range(2)]
    refused = face.http.post("/v1/takes", json={})
    wrong(refused, 429, "too_many")
    assert int(refused.headers["retry-after"]) > 0
    for each in made:
        assert face.http.delete(f"/v1/takes/{each}").status_code == 204


def test_settings_beyond_what_the_operator_gives_are_refused(face: Api) -> None:
    most = face.hall.settings.memory.ram_bytes
    refused = face.http.post("/v1/takes", json={"ram_bytes": most + 1})
    assert str(most) in wrong(refused, 400, "invalid_value")
    wrong(face.http.post("/v1/takes", json={"mode": "dream"}), 400, "invalid_value")
    wrong(face.http.post("/v1/takes", json={"model": "another"}), 400, "invalid_value")


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b'{"fps": NaN}', 422, "invalid_field", "fps"),
        (b'{"fps": Infinity}', 422, "invalid_field", "fps"),
        (b'{"fps": -1}', 422, "invalid_field", "fps"),
        (b'{"id": "No Such"}', 422, "invalid_field", "id"),
        (b'{"id": "\\ud800"}', 422, "invalid_field", "id"),
        (b'{"frames": 2}', 422, "invalid_field", "frames"),
        (b'{"fps": 1', 400, "invalid_json", None),
        (b"[1, 2]", 422, "invalid_field", None),
        (b"\xff\xfe", 400, "invalid_json", None),
    ],
)
def test_bodies_that_are_none_are_refused_by_field(
    face: Api, body: bytes, status: int, code: str, param: str | None
) -> None:
    sent = face.http.post("/v1/takes", content=body, headers={"content-type": "application/json"})
    wrong(sent, status, code)
    if param is not None:
        assert sent.json()["error"]["param"] == param


def test_unknown_paths_and_methods_are_told_in_the_same_shape(face: Api) -> None:
    wrong(face.http.get("/v1/nothing"), 404, "no_such_path")
    refused = face.http.put("/v1/takes")
    wrong(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, POST"


def test_state_and_timeline_tell_of_the_film(face: Api) -> None:
    state = ok(face.http.get(f"{TAKE}/state"))
    assert state["kind"] == "state" and state["frames"] == SECONDS
    timeline = ok(face.http.get(f"{TAKE}/timeline", params={"width": 100}))
    assert sum(run["chunks"] for run in timeline["held"]) == SECONDS // 2
    wrong(
        face.http.get(f"{TAKE}/timeline", params={"start_s": 9, "end_s": 2}), 400, "invalid_value"
    )
    wrong(face.http.get(f"{TAKE}/timeline", params={"start_s": "nan"}), 422, "invalid_field")


# ------------------------------------------------------------------ questions


def test_a_question_is_answered_with_pictures_of_its_moment(face: Api) -> None:
    asked = face.question()
    answer = ok(face.http.post(f"{TAKE}/ask", json={"question": asked.text}))
    assert answer["text"] == asked.answer and answer["take"] == "live"
    best = answer["evidence"][0]
    assert any(first <= best["end_s"] and best["start_s"] <= last for first, last in asked.spans)
    picture = face.http.get(best["picture"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["cache-control"] == "no-store"
    assert picture.content.startswith(b"\xff\xd8")
    assert answer["as_of_s"] == SECONDS - 1 and answer["coverage"] == 1 and not answer["partial"]


def test_a_streamed_answer_is_the_same_in_pieces(face: Api) -> None:
    asked = face.question()
    with face.http.stream(
        "POST", f"{TAKE}/ask", json={"question": asked.text, "stream": True}
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        told = list(events(response.iter_lines()))
    assert told[-1][0] == "answer"
    spoken = "".join(json.loads(data)["text"] for name, data, _ in told if name == "piece")
    assert spoken.strip() == json.loads(told[-1][1])["text"] == asked.answer


def test_choices_between_and_at_bound_an_answer(face: Api) -> None:
    body = {"question": "Is there a ring?", "choices": ["yes", "no"], "between_s": [2, 9]}
    answer = ok(face.http.post(f"{TAKE}/ask", json=body))
    assert answer["text"] in ("yes", "no") and len(answer["choices"]) == 2
    at = ok(face.http.post(f"{TAKE}/ask", json={"question": "what is there?", "at_s": 5}))
    assert at["as_of_s"] <= 5
    backwards = {"question": "what?", "between_s": [9, 2]}
    wrong(face.http.post(f"{TAKE}/ask", json=backwards), 400, "invalid_value")
    wrong(face.http.post(f"{TAKE}/ask", json={"question": "  "}), 400, "invalid_value")


def test_fifty_questions_at_once_are_all_answered_without_a_thread_each(face: Api) -> None:
    before = threading.active_count()

    def put(number: int) -> int:
        body = {"question": f"Is there a ring? {number}", "max_tokens": 1}
        return face.http.post(f"{TAKE}/ask", json=body).status_code

    with ThreadPoolExecutor(50) as pool:
        with busy(face.live):
            asked = [pool.submit(put, number) for number in range(50)]
            until(lambda: face.live.take.questions_waiting >= 50, "all questions wait")
            ours = 50 + 1 + 8 + 32  # askers, who holds the worker, ours and the loop's own pool
            assert threading.active_count() - before <= ours
            names = [thread.name for thread in threading.enumerate()]
            assert sum(name.startswith("longtake-server") for name in names) <= 8
        assert [each.result() for each in asked] == [200] * 50


def test_a_question_too_many_is_told_to_come_back(face: Api) -> None:
    body = {"question": "what is there?", "max_tokens": 1}
    with ThreadPoolExecutor(64) as pool:
        with busy(face.live):
            asked = [pool.submit(face.http.post, f"{TAKE}/ask", json=body) for _ in range(64)]
            until(lambda: face.live.take.questions_waiting >= 64, "the queue is full")
            refused = face.http.post(f"{TAKE}/ask", json=body)
            wrong(refused, 429, "busy")
            assert int(refused.headers["retry-after"]) >= 1
        assert {each.result().status_code for each in asked} == {200}


@pytest.mark.parametrize("stream", [False, True])
def test_whoever_leaves_has_his_question_cancelled(
    face: Api, stream: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Answer] = []
    askings: list[Asking] = []
    submit = face.live.take.submit

    def noted(question: str, **options: Any) -> Asking:
        askings.append(submit(question, **options))
        return askings[-1]

    monkeypatch.setattr(face.live.take, "submit", noted)
    leave = face.live.on_answer.add(answers.append)
    body = json.dumps({"question": f"what is there, {stream}?", "stream": stream}).encode()
    host, port = face.url.removeprefix("http://").split(":")
    try:
        with busy(face.live):
            with socket.create_connection((host, int(port)), WAIT_S) as line:
                head = f"POST {TAKE}/ask HTTP/1.1\r\nHost: {host}:{port}\r\n"
                head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                line.sendall(head.encode() + body)
                until(lambda: face.live.take.questions_waiting > 0, "the question waits")
                assert open_questions(face) == 1
            until(lambda: askings[0].is_cancelled, "that he left is noticed")
        until(lambda: bool(answers), "the answer is over")
    finally:
        leave()
    assert answers[0].partial and answers[0].timings.tokens == 0
    assert "request failed" not in caplog.text
    until(lambda: open_questions(face) == 0, "it is not counted any more")


def test_before_anything_was_seen_a_question_is_refused_in_words(face: Api, other: str) -> None:
    for body in ({"question": "what is there?"}, {"question": "what?", "stream": True}):
        said = wrong(face.http.post(f"{other}/ask", json=body), 409, "nothing_seen")
        assert said.startswith("take other: nothing has been seen yet; start a camera or add")
    chat = {"model": "embedded", "take": "other", "messages": [{"role": "user", "content": "a?"}]}
    wrong(face.http.post("/v1/chat/completions", json=chat), 409, "nothing_seen")
    show(face.hall.find("other"), face.film, 2)
    assert ok(face.http.post(f"{other}/ask", json={"question": "what is there?"}))["text"]


def test_cancel_ends_what_is_being_answered(face: Api) -> None:
    with ThreadPoolExecutor(1) as pool:
        with busy(face.live):
            asked = pool.submit(face.http.post, f"{TAKE}/ask", json={"question": "what is there?"})
            until(lambda: face.live.take.questions_waiting > 0, "the question waits")
            assert ok(face.http.post(f"{TAKE}/cancel")) == {"cancelled": 1}
        assert ok(asked.result())["partial"]


# ------------------------------------------------------------------ frames and sources


def test_a_frame_is_shown_and_found_again(face: Api, other: str) -> None:
    image = next(iter(face.film.frames()))[1]
    for at_s in range(6):
        told = ok(
            face.http.post(
                f"{other}/frames",
                files={"image": ("a.jpg", jpeg(image), "image/jpeg")},
                data={"pts_s": str(at_s), "camera": "arm"},
            )
        )
        assert told["accepted"] and told["reason"] == ""
    face.hall.find("other").take.drain()
    frames = ok(face.http.get(f"{other}/frames"))["frames"]
    assert [each["camera"] for each in frames] == ["arm"] * 3
    thinned = ok(face.http.get(f"{other}/frames", params={"most": 2}))["frames"]
    assert len(thinned) == 2
    near = face.http.get(f"{other}/frames/at.jpg", params={"at_s": 2.6, "camera": "arm"})
    assert near.headers["x-longtake-number"] == str(frames[1]["number"])
    again = face.http.post(
        f"{other}/frames", files={"image": jpeg(image)}, data={"pts_s": "1", "camera": "arm"}
    )
    assert not ok(again)["accepted"] and again.json()["reason"]


def test_what_is_no_picture_is_refused_and_not_counted(face: Api, other: str) -> None:
    for sent in (b"", b"GIF89a", jpeg(np.zeros((8, 8, 3), np.uint8))[:40]):
        answer = face.http.post(f"{other}/frames", files={"image": sent}, data={"pts_s": "0"})
        wrong(answer, 400, "invalid_value")
    wrong(face.http.post(f"{other}/frames", data={"pts_s": "0"}), 422, "invalid_field")
    bad = face.http.post(f"{other}/frames", files={"image": b"x"}, data={"pts_s": "nan"})
    wrong(bad, 422, "invalid_field")
    assert face.hall.find("other").take.stats().received == 0
    wrong(face.http.get(f"{other}/frames/7.jpg"), 404, "no_picture")
    wrong(face.http.get(f"{other}/frames/at.jpg", params={"at_s": 1}), 404, "no_picture")


def test_addresses_that_visitors_may_not_name_are_refused(face: Api, other: str) -> None:
    for address in ("/etc/passwd", "file:///etc/passwd", "webcam:0", "lavfi:testsrc", "-"):
        refused = face.http.post(f"{other}/sources", json={"address": address})
        wrong(refused, 403, "source_refused")
        wrong(face.http.post("/v1/probe", json={"address": address}), 403, "source_refused")
    secret = {"address": "ftp://user:secret@cam/main"}
    assert "secret" not in wrong(
        face.http.post(f"{other}/sources", json=secret), 403, "source_refused"
    )
    wrong(face.http.delete(f"{other}/sources/s9"), 404, "no_such_source")


def test_a_video_that_is_sent_is_watched_and_removed(face: Api, other: str, tmp_path: Path) -> None:
    clip = tmp_path / "film.mp4"
    write_film(face.film, clip, fps=1)
    with clip.open("rb") as video:
        sent = face.http.post(
            f"{other}/sources/file", files={"file": ("my film.mp4", video)}, data={"camera": "den"}
        )
    assert sent.status_code == 201, sent.text
    assert sent.json()["kind"] == "file" and sent.json()["address"] == "my film.mp4"
    take = face.hall.find("other").take
    until(lambda: take.stats().frames == SECONDS, "the film is seen")
    found = ok(face.http.get(f"{other}/sources"))["sources"]
    assert [each["camera"] for each in found] == ["den"]
    until(lambda: not uploads_left(face), "the upload is removed")


def test_uploads_that_are_none_leave_nothing(face: Api, other: str) -> None:
    text = face.http.post(f"{other}/sources/file", files={"file": ("a.mp4", b"hello" * 100)})
    wrong(text, 400, "source_error")
    large = face.http.post(f"{other}/sources/file", files={"file": ("a.mp4", bytes(2 << 20))})
    wrong(large, 413, "too_large")
    wrong(face.http.post(f"{other}/sources/file", data={"camera": "x"}), 422, "invalid_form")
    none = face.http.post(f"{other}/sources/file", files={"other": ("a.mp4", b"x")})
    wrong(none, 422, "invalid_field")
    cut = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\nabc'
    kind = {"content-type": "multipart/form-data; boundary=b"}
    wrong(face.http.post(f"{other}/sources/file", content=cut, headers=kind), 400, "invalid_form")
    assert not uploads_left(face)


def test_masks_are_set_as_boxes_and_polygons(face: Api, other: str) -> None:
    box = {"x": 0.5, "y": 0.5, "width": 0.5, "height": 0.5, "camera": "arm"}
    corner = {"points": [[0, 0], [0.2, 0], [0, 0.2]]}
    told = ok(face.http.post(f"{other}/masks", json={"masks": [box, corner]}))["masks"]
    points = [[0.5, 0.5], [1, 0.5], [1, 1], [0.5, 1]]
    assert told[0] == {"camera": "arm", "points": points, "fixed": False}
    assert ok(face.http.get(f"{other}/masks"))["masks"] == told
    flat = {"masks": [{"x": 0, "y": 0, "width": 0, "height": 1}]}
    wrong(face.http.post(f"{other}/masks", json=flat), 400, "invalid_value")
    assert ok(face.http.post(f"{other}/masks", json={"masks": []}))["masks"] == []


# ------------------------------------------------------------------ alerts, events, narration


def test_alerts_are_added_paused_resumed_and_removed(face: Api, other: str) -> None:
    made = face.http.post(f"{other}/alerts", json={"condition": "Is there a ring?", "every_s": 2})
    assert made.status_code == 201, made.text
    where = made.headers["location"]
    assert made.json()["paused"] is False
    assert ok(face.http.patch(where, json={"paused": True}))["paused"] is True
    assert ok(face.http.get(f"{other}/alerts"))["alerts"][0]["paused"] is True
    assert ok(face.http.patch(where, json={"paused": False}))["paused"] is False
    assert face.http.delete(where).status_code == 204
    wrong(face.http.delete(where), 404, "no_such_alert")
    wrong(face.http.post(f"{other}/alerts", json={"condition": " ?"}), 400, "invalid_value")


def test_more_alerts_than_may_be_are_told_to_come_later(
    face: Api, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtake.alerts.alerts.MOST_ALERTS", 1)
    wanted = {"condition": "Is there a ring?"}
    assert face.http.post(f"{other}/alerts", json=wanted).status_code == 201
    refused = face.http.post(f"{other}/alerts", json=wanted)
    wrong(refused, 429, "too_many")
    assert refused.headers["retry-after"]


def test_narration_begins_and_ends(face: Api, other: str) -> None:
    assert ok(face.http.post(f"{other}/narration", json={"rule": "always"})) == {"narrating": True}
    wrong(face.http.post(f"{other}/narration", json={"rule": "dream"}), 422, "invalid_field")
    assert ok(face.http.get(f"{other}/state"))["narrating"]
    assert ok(face.http.delete(f"{other}/narration")) == {"narrating": False}


def test_events_come_as_a_stream_and_go_on_behind_the_last_one(face: Api, other: str) -> None:
    take = face.hall.find("other").take
    first = take.log("note", "test", "one", start_s=1.0, end_s=2.0)
    with face.http.stream("GET", f"{other}/events/stream", headers={"last-event-id": "0"}) as got:
        lines = got.iter_lines()
        told = events(lines)
        name, data, number = next(told)
        assert (name, number) == ("note", str(first.number)) and json.loads(data)["text"] == "one"
        second = take.log("note", "test", "two", start_s=3.0, end_s=3.0)
        assert next(told)[2] == str(second.number)
    again = {"last-event-id": str(first.number)}
    with face.http.stream("GET", f"{other}/events/stream", headers=again) as got:
        told = events(got.iter_lines())
        assert next(told)[2] == str(second.number)
        assert face.http.delete("/v1/takes/other").status_code == 204
        assert [name for name, _, _ in told] == ["end"]
    assert face.http.post("/v1/takes", json={"id": "other"}).status_code == 201


def test_readers_of_events_are_bounded_and_leave_their_seat(face: Api, other: str) -> None:
    with ExitStack() as readers:
        for _ in range(face.hall.config.max_sockets):
            readers.enter_context(face.http.stream("GET", f"{other}/events/stream"))
        refused = face.http.get(f"{other}/events/stream")
        wrong(refused, 429, "too_many")
        assert refused.headers["retry-after"]
    until(lambda: face.hall.sockets == 0, "all seats are free")


def test_a_quiet_stream_beats() -> None:
    async def first() -> bytes:
        async def silent() -> AsyncGenerator[bytes]:
            await asyncio.Event().wait()
            yield b"never"

        told = beating(silent(), heartbeat_s=0.01)
        return await anext(told)

    assert asyncio.run(first()).startswith(b":")


def test_the_log_is_read_by_kind_and_number(face: Api, other: str) -> None:
    take = face.hall.find("other").take
    logged = [take.log("note", "test", text, start_s=1.0, end_s=2.0) for text in "ab"]
    take.log("other", "test", "c", start_s=1.0, end_s=2.0)
    notes = ok(face.http.get(f"{other}/events", params={"kind": "note"}))["events"]
    assert [each["text"] for each in notes] == ["a", "b"]
    after = {"after": logged[0].number}
    later = ok(face.http.get(f"{other}/events", params=after))["events"]
    assert [each["text"] for each in later] == ["b", "c"]


def test_questions_are_logged_as_events(face: Api) -> None:
    ok(face.http.post(f"{TAKE}/ask", json={"question": "Is there a ring at all?"}))

    def is_logged() -> bool:
        found = ok(face.http.get(f"{TAKE}/events", params={"kind": "question"}))["events"]
        return any(each["text"] == "Is there a ring at all?" for each in found)

    until(is_logged, "the question is in the log")


def test_a_number_of_an_earlier_log_begins_with_all_there_is(face: Api, other: str) -> None:
    logged = face.hall.find("other").take.log("note", "test", "one", start_s=1.0, end_s=2.0)
    for how in ({"headers": {"last-event-id": "500"}}, {"params": {"after": 500}}):
        with face.http.stream("GET", f"{other}/events/stream", **how) as got:
            assert next(events(got.iter_lines()))[2] == str(logged.number)


def test_one_look_for_news_that_fails_ends_no_stream(
    face: Api, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted, failing = face.hall.find("other"), threading.Event()
    failed = threading.Event()
    real = type(hosted).last_event.fget  # type: ignore[attr-defined]

    def look(self: Any) -> int:
        if failing.is_set():
            failing.clear()
            failed.set()
            raise OSError(5, "a disk of the tests")
        return int(real(self))

    monkeypatch.setattr(type(hosted), "last_event", property(look))
    with face.http.stream("GET", f"{other}/events/stream", params={"after": 0}) as got:
        told = events(got.iter_lines())
        hosted.take.log("note", "test", "one", start_s=1.0, end_s=2.0)
        next(told)
        failing.set()
        assert failed.wait(WAIT_S)
        second = hosted.take.log("note", "test", "two", start_s=1.0, end_s=2.0)
        assert next(told)[2] == str(second.number)


# ------------------------------------------------------------------ the past


def test_search_finds_what_was_shown(face: Api) -> None:
    thing = face.film.things[0]
    words = f"{thing.color} {thing.shape}"
    found = ok(face.http.get(f"{TAKE}/search", params={"q": words, "top": 3}))["moments"]
    assert 0 < len(found) <= 3 and face.http.get(found[0]["picture"]).status_code == 200
    wrong(face.http.get(f"{TAKE}/search", params={"q": ""}), 422, "invalid_field")
    wrong(face.http.get(f"{TAKE}/search"), 422, "invalid_field")


def test_a_span_is_kept_released_and_forgotten(face: Api, other: str) -> None:
    hosted = face.hall.find("other")
    for at_s, image in list(face.film.frames())[:6]:
        assert hosted.take.push(image, at_s).accepted
    hosted.take.drain()
    span = {"start_s": 2, "end_s": 3}
    kept = ok(face.http.post(f"{other}/keep", json=span))["chunks"]
    assert kept == len(ok(face.http.get(f"{other}/frames", params=span))["frames"])
    assert hosted.take.stats().kept
    assert face.http.post(f"{other}/release", json=span).status_code == 204
    assert not hosted.take.stats().kept
    wrong(face.http.post(f"{other}/keep", json={"start_s": 2, "end_s": 1}), 400, "invalid_value")
    assert ok(face.http.post(f"{other}/forget", json=span))["chunks"] == 1
    left = ok(face.http.get(f"{other}/frames"))["frames"]
    assert [each["start_s"] for each in left] == [0, 4]


def test_an_export_is_a_zip_and_leaves_nothing(
    face: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    got = face.http.get(f"{TAKE}/export", params={"start_s": 2, "end_s": 6})
    assert got.status_code == 200 and got.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        assert archive.testzip() is None
        about = next(name for name in archive.namelist() if name.endswith("memory.json"))
        assert len(json.loads(archive.read(about))["chunks"]) == 3
    until(lambda: not list(tmp_path.iterdir()), "its folder is gone")
    wrong(face.http.get(f"{TAKE}/export", params={"start_s": 6, "end_s": 2}), 400, "invalid_value")
    assert not list(tmp_path.iterdir())


def test_who_leaves_an_export_leaves_no_folder(
    face: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with face.http.stream("GET", f"{TAKE}/export") as got:
        assert got.status_code == 200
    until(lambda: not list(tmp_path.iterdir()), "its folder is gone")


def test_answers_are_ended_and_frames_shown_while_others_wait(
    face: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, over = threading.Semaphore(0), threading.Event()

    def search(*_: object) -> list[object]:
        waiting.release()
        assert over.wait(WAIT_S)
        return []

    monkeypatch.setattr(face.live.take, "search", search)
    with ThreadPoolExecutor(THREADS) as pool:
        query = {"q": "ring"}
        found = [pool.submit(face.http.get, f"{TAKE}/search", params=query) for _ in range(THREADS)]
        try:
            assert all(waiting.acquire(timeout=WAIT_S) for _ in range(THREADS))
            assert ok(face.http.post(f"{TAKE}/cancel")) == {"cancelled": 0}
            sent = {"image": ("a.jpg", jpeg(np.zeros((8, 8, 3), np.uint8)))}
            assert "accepted" in ok(face.http.post(f"{TAKE}/frames", files=sent))
            assert ok(face.http.delete(f"{TAKE}/narration")) == {"narrating": False}
            wrong(face.http.delete(f"{TAKE}/sources/none"), 404, "no_such_source")
            wrong(face.http.delete(f"{TAKE}/alerts/none"), 404, "no_such_alert")
            assert not any(each.done() for each in found)
        finally:
            over.set()
        assert all(each.result().status_code == 200 for each in found)


def test_how_it_stands_is_told_while_others_wait_for_the_worker(face: Api) -> None:
    with ThreadPoolExecutor(12) as pool:
        with busy(face.live):
            query = {"q": "ring"}
            found = [pool.submit(face.http.get, f"{TAKE}/search", params=query) for _ in range(12)]
            assert ok(face.http.get(f"{TAKE}/state"))["frames"] == SECONDS
            assert face.http.get("/metrics").status_code == 200
            assert not any(each.done() for each in found)
        assert all(each.result().status_code == 200 for each in found)


# ------------------------------------------------------------------ when things go wrong


def test_what_fails_inside_is_told_by_number_alone(
    face: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise KeyError("rtsp://user:secret@cam/main")

    monkeypatch.setattr(type(face.live), "state", lambda _: fail())
    with caplog.at_level(logging.ERROR):
        said = wrong(face.http.get(f"{TAKE}/state"), 500, "internal_error")
    number = said.rpartition(" ")[2]
    assert number in caplog.text and "KeyError" in caplog.text and "test_server_api" in caplog.text
    assert "secret" not in caplog.text + said and "cam" not in said


def test_a_full_disk_is_told_as_one(face: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/home/anna/memory")

    monkeypatch.setattr(type(face.live), "state", lambda _: full())
    assert "anna" not in wrong(face.http.get(f"{TAKE}/state"), 507, "disk_full")


def test_a_mistake_of_ours_is_not_told_as_the_visitors(
    face: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(error: Exception) -> None:
        raise error

    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    monkeypatch.setattr(type(face.live), "push", lambda *_, **__: fail(broken))
    image = jpeg(np.zeros((8, 8, 3), np.uint8))
    sent = face.http.post(f"{TAKE}/frames", files={"image": ("a.jpg", image)})
    assert "CUDA" not in wrong(sent, 500, "internal_error")
    doubtful = ValueError("operands could not be broadcast together")
    monkeypatch.setattr(type(face.live), "state", lambda _: fail(doubtful))
    with caplog.at_level(logging.DEBUG, "longtake.server.routes.errors"):
        wrong(face.http.get(f"{TAKE}/state"), 400, "invalid_value")
    assert "test_server_api.py" in caplog.text


def test_a_closed_take_is_not_there_any_more(face: Api, other: str) -> None:
    face.hall.find("other").take.close()
    wrong(face.http.post(f"{other}/ask", json={"question": "what?"}), 404, "take_closed")
    wrong(face.http.get(f"{other}/frames"), 404, "take_closed")


def test_health_is_open_and_tells_nothing(face: Api) -> None:
    assert ok(face.http.get("/healthz")) == {"status": "ok"}
    assert ok(face.http.get("/readyz")) == {"status": "ok"}
    for path in ("/healthz", "/readyz"):
        asked = face.http.head(path)
        assert asked.status_code == 200 and not asked.content


def test_the_pages_files_have_their_types(face: Api) -> None:
    from importlib.resources import files

    folder = Path(str(files("longtake.ui") / "static"))
    kinds = {".js": "text/javascript", ".css": "text/css"}
    for path in folder.iterdir():
        if path.suffix in kinds:
            got = face.http.get(f"/static/{path.name}")
            assert got.headers["content-type"].startswith(kinds[path.suffix])
            assert got.headers["cache-control"] == "no-cache"
    assert face.http.get("/static/../server/app.py").status_code == 404
    assert face.http.get("/static/%2e%2e/live.py").status_code == 404


def test_a_page_at_the_root_leaves_the_api_its_own_words(face: Api) -> None:
    class Page:
        def mount(self, app: FastAPI) -> FastAPI:
            page = FastAPI()
            page.add_api_route("/", lambda: {"page": True})
            app.mount("/", page)
            return app

    app = create_app(face.hall, Access.of(), face.hall.config, Page())
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
        assert ok(http.get("/")) == {"page": True}
        assert ok(http.get("/healthz")) == {"status": "ok"}
        wrong(http.get("/v1/nothing"), 404, "no_such_path")
        wrong(http.delete("/v1/models"), 405, "method_not_allowed")


def test_without_a_token_nothing_but_health_is_told(face: Api) -> None:
    token = "a-token-of-enough-letters"
    app = create_app(face.hall, Access.of(tokens=[token]), face.hall.config)
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
        for path in ("/v1/takes", "/metrics", "/openapi.json", f"{TAKE}/frames/0.jpg", "/static/x"):
            assert http.get(path).status_code == 401, path
        assert http.get("/readyz").status_code == 200
        let_in = {"authorization": f"Bearer {token}"}
        assert http.get("/v1/takes", headers=let_in).status_code == 200
        assert ok(http.get("/openapi.json", headers=let_in))["security"] == [{"token": []}]


# ------------------------------------------------------------------ helpers


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, str | None]]:
    """Server-sent events as (name, data, id)."""
    name, data, number = "", "", None
    for line in lines:
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            data = value
        elif key == "id":
            number = value
        elif not line and data:
            yield name, data, number
            name, data, number = "", "", None


def open_questions(face: Api) -> int:
    told = face.http.get("/metrics").text
    line = next(each for each in told.splitlines() if each.startswith("longtake_questions_open "))
    return int(float(line.split()[1]))


def uploads_left(face: Api) -> list[Path]:
    folder = face.hall.uploads._folder
    return [] if folder is None else list(folder.path.iterdir())
