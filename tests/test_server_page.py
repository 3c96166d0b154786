"""The page on a real server, without a browser: what it sends and answers, what is not there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from longtake.server.app import create_app
from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.page.backend import PageBackend
from longtake.server.page.only_needed import is_needed
from longtake.server.page.page import Page
from longtake.server.takes.hall import Hall
from longtake.settings import TakeConfig
from longtake.ui.needs import Refused
from tests.rigs.hosting import encode, hall
from tests.rigs.serving import serving

WAIT_S = 30.0
VISITOR = "0123456789abcdef"


class Served:
    """A page as a browser has it: its configuration, and events by what they are called on."""

    def __init__(self, url: str, halls: Hall) -> None:
        self.hall = halls
        self.http = httpx.Client(base_url=url, timeout=WAIT_S)
        self.html = self.http.get("/").text
        found = re.search(r"window\.gradio_config = (\{.*?\});</script>", self.html)
        assert found is not None
        self.config: dict[str, Any] = json.loads(found[1])
        self._sessions = 0

    def event(self, target: str, kind: str) -> int:
        """Number of the event of a component with this id in the page, or of the page."""
        by_name = {c["props"].get("elem_id"): c["id"] for c in self.config["components"]}
        for each in self.config["dependencies"]:
            for id, name in each["targets"]:
                if name == kind and (target == "" or id == by_name[target]):
                    number: int = each["id"]
                    return number
        raise AssertionError(f"no event {kind} of {target}")

    def call(self, number: int, *inputs: Any, visitor: str = VISITOR, take: str = "live") -> Any:
        """Send an event, and what the page is told at its end."""
        self._sessions += 1
        session = f"session{self._sessions}"
        visit = json.dumps({"take": take, "visitor": visitor, "span": None})
        sent = self.http.post(
            "/gradio_api/queue/join",
            json={"data": [visit, *inputs], "fn_index": number, "session_hash": session},
        )
        assert sent.status_code == 200, sent.text
        with self.http.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as told:
            for line in told.iter_lines():
                said = json.loads(line.removeprefix("data: ")) if line else {}
                if said.get("msg") == "process_completed":
                    return said
        raise AssertionError("the event never ended")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    settings = TakeConfig(fps=5.0, window_s=4.0, top_k=2)  # every frame is seen
    with hall(ServeConfig(port=0), settings=settings) as made:
        take = made.open("live")
        for number in range(4):
            image = np.full((48, 64, 3), 60 * number, dtype=np.uint8)
            take.push(encode(image), pts_s=number * 1.0)
        take.take.drain()
        with serving(create_app(made, Access.of(), made.config, Page(made))) as url:
            page = Served(url, made)
            yield page
            page.http.close()
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        assert not folder.exists()


def test_nothing_that_the_page_loads_is_of_another_origin(served: Served) -> None:
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"([^\"]*)\"", served.html)
    assert len(loaded) > 2
    loaded += re.findall(r'(?:src|href)="([^"]*)"', served.config["head"])
    assert len(loaded) > 6
    assert [each for each in loaded if "//" in each] == []
    for name in ("/theme.css", "/static/page.css", "/static/upload.js"):
        got = served.http.get(name)
        assert got.status_code == 200, name
        assert "url(http" not in got.text and "@import" not in got.text


def test_gradio_tells_keeps_and_shows_nothing_of_its_own(served: Served) -> None:
    config = served.config
    assert config["analytics_enabled"] is False
    assert config["run_history"] is False
    assert config["footer_links"] == []
    assert not [each for each in config["dependencies"] if each["api_visibility"] != "private"]


def test_what_gradio_puts_aside_is_in_a_folder_that_nobody_else_may_read(served: Served) -> None:
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/file//etc/passwd"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1:1/"),
        ("HEAD", "/gradio_api/proxy=http://127.0.0.1:1/"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/call/ask"),
        ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/openapi.json"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/monitoring"),
        ("GET", "/docs"),
        ("GET", "/assets/../../../etc/passwd"),
        ("GET", "/assets/%2e%2e/%2e%2e/x"),
        ("DELETE", "/"),
    ],
)
def test_what_the_page_does_not_need_is_not_there(served: Served, method: str, path: str) -> None:
    got = served.http.request(method, path, follow_redirects=False)
    assert got.status_code in (404, 405), got.status_code


def test_a_path_is_needed_by_its_whole_name() -> None:
    def scope(method: str, path: str) -> dict[str, Any]:
        return {"type": "http", "method": method, "path": path}

    assert is_needed(scope("GET", "/assets/index-DphvyggB.js"))
    assert is_needed(scope("POST", "/gradio_api/queue/join"))
    assert not is_needed(scope("GET", "/gradio_api/queue/join"))
    assert not is_needed(scope("GET", "/gradio_api/heartbeat/a/b"))
    assert not is_needed(scope("GET", "/assets/a/../../b"))
    assert not is_needed({"type": "websocket", "path": "/"})


def test_a_question_is_answered_with_pictures_of_its_moments(served: Served) -> None:
    said = served.call(served.event("lt-question", "submit"), "Was there a red ring?")
    assert said["success"], said
    drawn = json.dumps(said["output"]["data"][0])
    assert "as of 0:03" in drawn
    picture = re.search(r"/v1/takes/live/frames/\d+\.jpg", drawn)
    assert picture is not None
    assert served.http.get(picture[0]).content.startswith(b"\xff\xd8")


def test_a_page_that_is_loaded_again_shows_its_chat_and_no_other_does(served: Served) -> None:
    ask, load = served.event("lt-question", "submit"), served.event("", "load")
    served.call(ask, "Was there a blue circle?", visitor="a" * 32)
    mine = served.call(load, visitor="a" * 32)["output"]["data"]
    other = served.call(load, visitor="b" * 32)["output"]["data"]
    assert "blue circle" in json.dumps(mine)
    assert "blue circle" not in json.dumps(other)
    assert 'href=\\"/?take=live\\"' in json.dumps(other)


def test_what_is_forgotten_is_forgotten_by_the_chats_too(served: Served) -> None:
    hosted = served.hall.open("brief")
    ask, load = served.event("lt-question", "submit"), served.event("", "load")
    refused = served.call(ask, "Was there a green star?", take="brief")
    assert "nothing has been seen yet" in json.dumps(refused["output"]["data"])
    for number in range(2):
        hosted.push(encode(np.full((48, 64, 3), 90, np.uint8)), pts_s=number * 1.0)
    hosted.take.drain()
    served.call(ask, "Was there a green star?", take="brief")
    served.call(ask, "Was there a green star?", take="live")
    assert hosted.state()["meters"]["answers"]
    hosted.forget(0.0, 0.5)
    for take, is_there in (("brief", False), ("live", True)):
        drawn = json.dumps(served.call(load, take=take)["output"]["data"])
        assert ("green star" in drawn) is is_there
    assert not hosted.state()["meters"]["answers"]
    served.hall.remove("brief")


def test_a_camera_that_was_removed_takes_no_frame_of_its_page(served: Served) -> None:
    async def walk() -> None:
        hosted = served.hall.find("live")
        backend = PageBackend(served.hall)
        seat = await backend.seat("live")
        image = np.zeros((48, 64, 3), np.uint8)
        await seat.push(image)
        hosted._sources._sources.clear()  # removed, and the seat was not told yet
        with pytest.raises(Refused, match="was removed"):
            await seat.push(image)
        seat.leave()
        backend.close()

    asyncio.run(walk())
    assert not served.hall.find("live").sources()


def test_a_take_that_is_not_there_is_told_as_a_toast(served: Served) -> None:
    said = served.call(served.event("lt-search", "submit"), "ring", take="nowhere")
    assert not said["success"]
    assert "there is live" in said["output"]["error"]


def test_a_search_finds_moments_with_pictures(served: Served) -> None:
    said = served.call(served.event("lt-search", "submit"), "red ring")
    assert said["success"], said
    assert "lt-hits" in said["output"]["data"][0] or "lt-empty" in said["output"]["data"][0]


def test_a_visitor_may_not_name_an_inner_address(served: Served) -> None:
    said = served.call(served.event("lt-address", "submit"), "http://127.0.0.1:9/x.mjpg", "door")
    assert not said["success"]
    assert "--allow-source" in said["output"]["error"]
    assert not served.hall.find("live").sources()[1:]


def test_an_alert_that_makes_no_sense_is_refused_in_words(served: Served) -> None:
    add = served.event("lt-condition", "submit")
    said = served.call(add, "a red ring", 1, 30, 0, 0.5)
    assert not said["success"] and "confirm" in said["output"]["error"]
    said = served.call(add, "Is there a red ring?", 1, 30, 2, 0.5)
    assert said["success"], said
    assert [each.condition for each in served.hall.find("live").alerts()] == [
        "Is there a red ring?"
    ]


def test_words_of_an_error_are_text(served: Served) -> None:
    said = served.call(served.event("lt-address", "submit"), "<img src=x onerror=alert(1)>", "")
    assert not said["success"] and "<img" not in said["output"]["error"]


def test_the_page_names_early_what_gradios_scripts_would_find_step_by_step(served: Served) -> None:
    sent = served.http.get("/")
    named = re.findall(r"</assets/([\w-]+\.js)>;rel=modulepreload", sent.headers["link"])
    assert len(named) > 15 and len(named) == len(set(named))
    assert named[0].startswith("index-")
    assert any(each.startswith("Blocks-") for each in named)
    for each in named:
        assert served.http.get(f"/assets/{each}").status_code == 200, each
    assert "link" not in served.http.get("/healthz").headers


def test_gradios_scripts_are_compressed_and_may_be_kept(served: Served) -> None:
    (name,) = re.findall(r'src="\./assets/(index-[\w-]+\.js)"', served.html)
    got = served.http.get(f"/assets/{name}", headers={"Accept-Encoding": "gzip"})
    assert got.headers["content-encoding"] == "gzip"
    assert "immutable" in got.headers["cache-control"]
    assert got.headers["content-type"].startswith("text/javascript")
    plain = served.http.get(f"/assets/{name}", headers={"Accept-Encoding": "identity"})
    assert plain.content == got.content
    assert served.http.get("/assets/index-nothere1.js").status_code == 404


def test_the_first_look_waits_for_none_of_the_forms(served: Served) -> None:
    parts = served.config["components"]
    seen = {each["type"] for each in parts if each["props"].get("visible", True) is True}
    assert seen == {"column", "row", "html", "textbox", "form"}
    sent = served.http.get("/static/longtake.css", headers={"Accept-Encoding": "gzip"})
    assert sent.headers["content-encoding"] == "gzip"


def test_the_examples_are_questions_that_the_model_can_answer(served: Served) -> None:
    loaded = served.call(served.event("", "load"), visitor="c" * 32)["output"]["data"]
    examples = [each["text"] for each in loaded[2]["examples"]]
    assert len(examples) == 3 and loaded[2]["visible"] is True
    for each in examples:
        drawn = json.dumps(served.call(served.event("lt-question", "submit"), each)["output"])
        assert "do not know that kind" not in drawn, each
