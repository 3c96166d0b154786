"""The page as Gradio is told it: its places, and what it keeps from the outside."""

from __future__ import annotations

import re
from typing import Any

import pytest

from longtake.ui import head, live
from longtake.ui.building import built
from tests.rigs.made_up_backend import MadeUpBackend

PLACES = ("live", "sources", "timeline", "alerts", "meters", "span", "upload")


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    made: dict[str, Any] = built(lambda: live.build(MadeUpBackend())).get_config_file()
    return made


def test_every_place_of_the_pages_scripts_is_there_once(config: dict[str, Any]) -> None:
    html = "".join(str(each["props"].get("value", "")) for each in config["components"])
    for place in PLACES:
        assert html.count(f'id="lt-{place}"') == 1, place


def test_no_event_is_public_and_every_call_says_where_its_visitor_is(
    config: dict[str, Any],
) -> None:
    calls = [each for each in config["dependencies"] if each["backend_fn"]]
    assert len(calls) >= 14
    for each in config["dependencies"]:
        assert each["api_visibility"] == "private", each
    for each in calls:
        if each["targets"][0][1] == "example_select":  # the same for all visitors
            continue
        assert "longtakeVisit" in str(each["js"]), each


def test_nothing_goes_through_gradio_by_itself(config: dict[str, Any]) -> None:
    assert not [each for each in config["components"] if each["type"] == "timer"]
    targets = [list(target)[1] for each in config["dependencies"] for target in each["targets"]]
    started = [each for each in targets if each == "load"]
    assert len(started) == 1


def test_the_chat_takes_no_message_from_a_browser(config: dict[str, Any]) -> None:
    """What comes back from a browser could name files and components of Gradio's."""
    (chat,) = (each for each in config["components"] if each["type"] == "chatbot")
    assert not [each for each in config["dependencies"] if chat["id"] in each["inputs"]]
    assert chat["props"]["render_markdown"] is False
    assert chat["props"]["sanitize_html"] is True
    assert chat["props"]["latex_delimiters"] == []


def test_the_fallback_camera_is_not_mirrored_and_many_may_use_it(config: dict[str, Any]) -> None:
    (camera,) = (each for each in config["components"] if each["type"] == "image")
    assert camera["props"]["webcam_options"]["mirror"] is False
    page = built(lambda: live.build(MadeUpBackend()))
    (stream,) = (fn for fn in page.fns.values() if fn.concurrency_id == "camera")
    assert isinstance(stream.concurrency_limit, int) and stream.concurrency_limit >= 16


def test_the_page_says_nothing_of_itself_to_others(config: dict[str, Any]) -> None:
    assert config["analytics_enabled"] is False


def test_nothing_of_the_head_comes_from_another_origin() -> None:
    used = re.findall(r'(?:src|href)="([^"]*)"', head.head())
    assert used and all(each.startswith("/static/") for each in used)
    theme = head.theme()
    fonts = [*theme._font, *theme._font_mono]
    assert not [each for each in fonts if "url(" in str(getattr(each, "stylesheet", lambda: "")())]
    assert "http" not in "".join(map(str, theme._stylesheets))
