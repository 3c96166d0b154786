"""`longtake bench serve` at sizes of seconds: every part has its rows, and says its targets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake import cli
from longtake.bench import (
    live_camera,
    serve,
    serve_browser,
    serve_child,
    serve_first,
    serve_page,
    serve_questions,
    serve_viewers,
    serve_webcam,
)
from longtake.bench.frame import Row
from longtake.bench.model import Model
from tests.test_bench import silent

FILM_S = 6.0
NOWHERE = Path("/nowhere/chromium")


@pytest.fixture(scope="module")
def server() -> Iterator[serve_child.Child]:
    """One server for all parts: it takes seconds to start."""
    with serve_child.child("take", **serve_child.taking(Model(), FILM_S)) as child:
        yield child


@pytest.fixture
def shared(server: serve_child.Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part measures that one; pages of Gradio's are started as ever."""

    @contextmanager
    def child(serves: str, **more: Any) -> Iterator[serve_child.Child]:
        if serves == "take":
            yield server
            return
        with serve_child.child(serves, **more) as started:
            yield started

    for part in (serve_first, serve_page, serve_questions, serve_viewers, serve_webcam):
        monkeypatch.setattr(part, "child", child)


def program() -> str:
    try:
        return serve_browser.found(None)
    except serve_browser.NoBrowser as none:
        pytest.skip(str(none))


def named(rows: list[Row]) -> dict[str, Row]:
    """By their names, which tell them apart; what one is compared with is there."""
    found = {row.name: row for row in rows}
    assert len(found) == len(rows)
    assert {row.reference for row in rows if row.reference is not None} <= set(found)
    return found


# ------------------------------------------------------------------------ what is measured


def test_what_cannot_be_measured_is_told_with_its_reason(
    shared: None, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    serve.run(Model(), ["first", "page"], 1.0, 1, 1, NOWHERE, True, said.append)
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["bench"]) == ("longtake.bench/1", "serve")
    assert found["sizes"]["page"] == f"not measured: --browser {NOWHERE}: is no program"
    assert f"page: not measured: --browser {NOWHERE}: is no program" in said
    assert found["sizes"]["parts"] == "first, page"
    rows = {row["name"]: row for row in found["rows"]}
    over_http, engine = (rows[f"first token, {way}, p50"] for way in ("HTTP", "take.stream"))
    assert over_http["ratio"] == pytest.approx(over_http["value"] / engine["value"])
    share = rows["server's own share of the first token [at most 10 ms]"]
    assert share["value"] == pytest.approx(over_http["value"] - engine["value"])
    assert engine["value"] > 0


def test_where_nothing_can_be_measured_it_fails_with_the_reason() -> None:
    with pytest.raises(RuntimeError, match=r"webcam: not measured: --browser .*: is no program"):
        serve.run(Model(), ["webcam"], 1.0, 1, 1, NOWHERE, True, silent)


def test_numbers_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "serve", "--only", "speed"]) == 2
    assert "--only speed: must be some of webcam, viewers" in capsys.readouterr().err
    assert cli.main(["bench", "serve", "--seconds", "0.5"]) == 2
    assert "--seconds 0.5: must be at least 1" in capsys.readouterr().err


def test_a_model_that_cannot_be_used_is_told_as_by_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "serve", "--only", "first", "--model", str(tmp_path)]
    assert cli.main(words) == 5
    assert str(tmp_path) in capsys.readouterr().err


# ------------------------------------------------------------------------ parts


def test_viewers_are_sent_pictures_and_their_cost_is_beside_one(
    shared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_viewers, "MANY", 3)
    monkeypatch.setattr(serve_viewers, "WARM_S", 0.2)
    rows, about = serve_viewers.rows(Model(), 1.0, 1, 1, silent)
    found = named(rows)
    many = found["server's CPU, 3 viewers [at most 1.5 x]"]
    assert many.reference == "server's CPU, 1 viewer"
    assert many.value > 0
    assert found["  previews each of 3 got"].value > 0
    assert "15 frames/s" in about


def test_every_one_of_many_questions_is_counted(
    shared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_questions, "AT_ONCE", 6)
    monkeypatch.setattr(serve_questions, "ALONE", 2)
    found = named(serve_questions.rows(Model(), 1, silent)[0])
    assert found["answered of 6, fewest [at least 6 questions]"].value == 6
    alone, slowest = found["one question alone, p50"], found["slowest of 6 [at most 6 x one alone]"]
    assert slowest.reference == alone.name
    assert slowest.value >= found["of 6 at once, p50"].value > 0


def test_questions_that_are_refused_are_counted_as_lost(
    server: serve_child.Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_questions, "QUESTION", "")
    with pytest.raises(RuntimeError, match="none was answered; 4"):
        asyncio.run(serve_questions.round_of(server, serve_questions.Crowd()))


def test_the_camera_of_a_browser_reaches_python(shared: None) -> None:
    rows, about = serve_webcam.rows(program(), Model(), 1.0, 1, silent)
    found = named(rows)
    for way in (serve_webcam.OURS, serve_webcam.FASTEST, serve_webcam.DEFAULT):
        starts = {row.name: row for row in rows if f", {way}" in row.name}
        assert len(starts) == 5
        assert all(row.value > 0 for row in starts.values())
    ours = found["picture's age when it comes, p95, longtake [at most 0.5 x]"]
    assert ours.reference == f"picture's age when it comes, p95, {serve_webcam.FASTEST}"
    assert "640 x 360 at 15 frames/s" in about


def test_a_question_can_be_typed_into_both_pages(shared: None) -> None:
    rows, _ = serve_page.rows(program(), Model(), 1, silent)
    ours, theirs = rows
    assert ours.reference == theirs.name
    assert min(ours.value, theirs.value) > 0.05  # Gradio's scripts have to come first


# ------------------------------------------------------------------------ arithmetic


def test_a_picture_is_as_old_as_its_last_showing() -> None:
    shown = [(1.0, 7), (2.0, 8), (11.0, 7), (12.0, 8)]  # the film begins anew
    came = [(2.25, 8), (11.5, 7), (11.75, 7), (12.125, 8), (12.25, 99)]
    found = serve_webcam.Came()
    serve_webcam.add(found, shown, came, "x")
    assert found.age_ms == [250, 500, 750, 125]
    assert found.fps == [pytest.approx(3 / (12.125 - 2.25))]
    with pytest.raises(RuntimeError, match="0 pictures of 1 were recognised"):
        serve_webcam.add(found, shown, [(0.5, 7)], "x")


def test_the_newest_picture_grows_older_until_the_next_one_comes() -> None:
    ages = serve_webcam.newest([(1.0, 0.9), (1.05, 1.04), (1.06, 1.05)])
    assert ages == pytest.approx([100, 110, 120, 130, 140, 10])


def test_places_are_counted_from_the_own_turn() -> None:
    assert serve_questions.farthest([1.0, 2.0, 3.0]) == 0
    assert serve_questions.farthest([2.0, 1.0, 3.0]) == 1
    assert serve_questions.farthest([4.0, 1.0, 2.0, 3.0]) == 3
    assert serve_questions.farthest([]) == 0


def test_the_number_in_the_camera_s_film_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "camera.y4m"
    serve_browser.film(path, seconds=1)
    width, height = serve_browser.WIDTH, serve_browser.HEIGHT
    frames = path.read_bytes().split(b"FRAME\n")[1:]
    assert len(frames) == serve_browser.FPS
    assert serve_browser.number_in(np.full((height, width, 3), 128, np.uint8)) is None
    columns, row = serve_browser.bars()
    for number, frame in enumerate(frames):
        luma = np.frombuffer(frame, np.uint8)[: width * height].reshape(height, width)
        image = np.repeat(luma[..., None], 3, axis=2)
        assert serve_browser.number_in(image) == number
        assert serve_browser.number_in(255 - image) == (1 << live_camera.BITS) - 1 - number
        line = luma[round(row * height)]
        bits = [int(line[round(column * width)] > 128) << bit for bit, column in enumerate(columns)]
        assert sum(bits) == number
