"""What Prometheus is told: names with units, and the numbers of the takes there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from longtake.server.takes.refusals import NothingSeen
from tests.rigs.api import SECONDS, Api, api, jpeg, show, until

UNITS = ("_bytes", "_seconds", "_total", "_per_second", "_created")
COUNTED = frozenset(
    (
        "longtake_takes",
        "longtake_frames_waiting",
        "longtake_questions_waiting",
        "longtake_questions_open",
        "longtake_event_streams",
        "longtake_viewers",
        "longtake_sockets",
        "longtake_sources",
        "longtake_chunks",
        "longtake_process_open_fds",
        "longtake_process_max_fds",
    )
)  # of things, which is their unit


@pytest.fixture(scope="module")
def face() -> Iterator[Api]:
    with api() as made:
        yield made


def families(face: Api) -> dict[str, Metric]:
    got = face.http.get("/metrics")
    assert got.status_code == 200 and got.headers["content-type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(got.text)}


def value(face: Api, name: str, **labels: str) -> float:
    for family in families(face).values():
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    raise AssertionError(f"{name} {labels} is not told")


def test_names_have_units_and_labels_are_few(face: Api) -> None:
    told = families(face)
    assert len(told) > 20
    for family in told.values():
        assert family.name.startswith("longtake_")
        assert family.documentation
        for sample in family.samples:
            base = sample.name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
            assert base in COUNTED or base.endswith(UNITS), sample.name
            assert set(sample.labels) <= {"take", "camera", "reason", "tier", "state", "code", "le"}


def test_a_takes_numbers_are_told(face: Api) -> None:
    assert value(face, "longtake_takes") == 1
    assert value(face, "longtake_frames_seen_total", take="live") == SECONDS
    assert value(face, "longtake_frames_received_total", take="live") == SECONDS
    assert value(face, "longtake_device_bytes", take="live") > 0
    assert value(face, "longtake_chunks", take="live", tier="window") > 0


def test_answers_are_counted_with_their_times(face: Api) -> None:
    before = value(face, "longtake_answer_seconds_count")
    asked = face.http.post("/v1/takes/live/ask", json={"question": "what is there?"})
    assert asked.status_code == 200
    until(lambda: value(face, "longtake_answer_seconds_count") > before, "it is counted")
    assert value(face, "longtake_answer_seconds_count") == before + 1
    assert value(face, "longtake_answer_first_token_seconds_count") == before + 1
    assert value(face, "longtake_answer_tokens_total") > 0
    assert value(face, "longtake_questions_open") == 0


def test_answers_to_whoever_asks_are_counted_once(face: Api) -> None:
    """Also those of the page, which does not ask over HTTP."""
    before = value(face, "longtake_answer_seconds_count")

    async def ask() -> None:
        await (await face.live.ask("what is there?")).aresult()
        await asyncio.gather(*face.live._noting)  # its note comes behind

    asyncio.run(ask())
    until(lambda: value(face, "longtake_answer_seconds_count") > before, "it is counted")
    assert value(face, "longtake_answer_seconds_count") == before + 1


def test_takes_that_are_opened_later_and_not_over_http_are_counted_too(face: Api) -> None:
    later = face.hall.open("later")

    async def ask() -> None:
        with pytest.raises(NothingSeen):
            await later.ask("what is there?")
        show(later, face.film, 2)
        await (await later.ask("what is there?")).aresult()
        await asyncio.gather(*later._noting)

    before = value(face, "longtake_answer_seconds_count")
    asyncio.run(ask())
    face.hall.remove("later")
    assert value(face, "longtake_answer_seconds_count") == before + 1
    assert value(face, "longtake_questions_failed_total", code="nothing_seen") == 1


def test_refused_questions_are_counted_by_why(face: Api) -> None:
    face.http.post("/v1/takes/live/ask", json={"question": " "})
    assert value(face, "longtake_questions_failed_total", code="invalid_value") == 1


def test_a_camera_that_is_gone_stays_counted(face: Api) -> None:
    """And what slow viewers miss is told."""
    with face.live.claim("wrist") as camera:
        face.live.push(jpeg(next(face.film.frames())[1]), camera=camera)
        face.live.miss_previews(3)
        before = value(face, "longtake_camera_frames_seen_total", take="live", camera="wrist")
        assert before == 1
    state = face.live.state()
    assert "wrist" not in [source["camera"] for source in state["sources"]]
    told = value(face, "longtake_camera_frames_seen_total", take="live", camera="wrist")
    assert told == before
    assert value(face, "longtake_previews_missed_total", take="live") == state["missed"] >= 3


def test_no_address_and_no_question_is_told(face: Api) -> None:
    body = {"address": "rtsp://user:secret@192.0.2.1/main", "camera": "door"}
    face.http.post("/v1/takes/live/sources", json=body)
    face.http.post("/v1/takes/live/ask", json={"question": "is the secret ring there?"})
    told = face.http.get("/metrics").text
    assert "192.0.2.1" not in told and "secret" not in told


def test_a_take_that_is_closed_is_told_no_more(face: Api) -> None:
    assert face.http.post("/v1/takes", json={"id": "brief"}).status_code == 201
    assert value(face, "longtake_takes") == 2
    face.http.delete("/v1/takes/brief")
    assert value(face, "longtake_takes") == 1
    assert "brief" not in face.http.get("/metrics").text
