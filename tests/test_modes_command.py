"""Modes and strategies of recall as people reach them: flags, Python, and what is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import longtake
from longtake import cli
from longtake.models.embedded.world import Film
from longtake.settings import MODES
from tests.clips import write_clip

WORDS = "what was there?"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "street.mp4", seconds=14, fps=2)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tiny_model: Path, clip: Path) -> Any:
    def call(*flags: object, question: str = WORDS) -> tuple[int, str, str]:
        fixed = ["--model", str(tiny_model), "--fps", "1"]
        fixed += [] if "full" in flags else ["--window", "4"]
        code = cli.main(["ask", str(clip), question, *map(str, flags), *fixed])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_answers(ask: Any, mode: str) -> None:
    code, out, err = ask("--mode", mode, "--json")
    assert code == 0, err
    (answer,) = json.loads(out)["answers"]
    assert answer["coverage"] == 1.0 and answer["evidence"]
    if mode in ("window", "streamingvlm"):
        assert all(moment["start_s"] >= 9.0 for moment in answer["evidence"])


@pytest.mark.parametrize("mode", MODES)
def test_the_model_that_ships_runs_in_every_mode(mode: str) -> None:
    """At that mode's own rate and window, where the film says what is right."""
    film = Film(random.Random(3), 60)
    with longtake.open(mode=mode) as take:
        fps = take.pace.fps
        for t, image in film.frames(fps):
            take.push(np.asarray(image), t)
            take.drain()
        answer = take.ask("was there a red star?")
    assert answer.text
    assert answer.as_of_s > 55


def test_an_unknown_mode_is_a_wrong_flag(ask: Any) -> None:
    code, out, err = ask("--mode", "best")
    assert (code, out) == (2, "") and "known are recall, rekv, streamingvlm, window, full" in err
    code, _, err = ask("--select", "lucky")
    assert code == 2 and "dependent or blind" in err


def test_blind_and_dependent_are_both_to_be_had(ask: Any) -> None:
    shown = [json.loads(ask("--select", how, "--top-k", 2, "--json")[1]) for how in HOWS]
    scores = [[m["score"] for m in s["answers"][0]["evidence"]] for s in shown]
    assert scores[0] != scores[1]


HOWS = ("dependent", "blind")


def test_strategies_of_recall_bring_their_chunks(tiny_model: Path) -> None:
    """What came back is seen in how the first token's chances change: not at all where two plans
    choose the same chunks, and otherwise yes."""
    rng = np.random.default_rng(0)
    with longtake.open(str(tiny_model), fps=1.0, window_s=2.0, top_k=3) as take:
        for t in range(20):
            take.push(rng.integers(0, 255, (28, 28, 3), dtype=np.uint8), float(t))
        take.drain()
        texts = {}
        for recall in ("model", "recent:3", "uniform:3", "times", "model,recent:3"):
            texts[recall] = take.ask(WORDS, recall=recall).text
        given = take.ask(WORDS, select=lambda scope, n: [[15, 16, 17]] * n).text
        assert texts["recent:3"] == given
        assert texts["uniform:3"] != texts["recent:3"]
        between = "what was there at 0:05?"
        assert (
            take.ask(between, recall="times:1").text
            == take.ask(between, select=lambda scope, n: [[5]] * n).text
        )


def test_a_token_budget_bounds_what_comes_back(tiny_model: Path) -> None:
    rng = np.random.default_rng(0)
    with longtake.open(str(tiny_model), fps=1.0, window_s=2.0) as take:
        for t in range(20):
            take.push(rng.integers(0, 255, (28, 28, 3), dtype=np.uint8), float(t))
        take.drain()
        step = take.adapter.step_tokens
        small = take.ask(WORDS, recall="recent:8", recall_tokens=2 * step).text
        assert small == take.ask(WORDS, select=lambda scope, n: [[16, 17]] * n).text
        with pytest.raises(ValueError, match="recall_tokens=0"):
            take.ask(WORDS, recall_tokens=0)


@pytest.mark.parametrize("plan", ["", "everything", "recent:0", "model,,recent"])
def test_a_plan_that_is_not_understood_is_a_wrong_flag(ask: Any, plan: str) -> None:
    code, out, err = ask("--recall", plan)
    assert (code, out) == (2, "") and err.count("\n") == 1, err
