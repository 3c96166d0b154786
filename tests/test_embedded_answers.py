"""The model that ships, through the whole of longtake: a drawn film in, right answers out.

One film a seed; the measured accuracies, over many, are in its model card.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from longtake.engine import Engine
from longtake.models.embedded import questions, world
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.questions import Question
from longtake.take import Take

SECONDS, GONE_S = 280, 200
SEEDS = (901, 902)


@dataclass
class Seen:
    film: world.Film
    take: Take
    far: list[Question]  # about what left the picture at least GONE_S before the end


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine("embedded", device="cpu") as made:
        yield made


@pytest.fixture(scope="module", params=SEEDS)
def seen(
    request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seen]:
    rng = random.Random(request.param)
    film = world.long_film(rng, SECONDS)
    clip = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(film, clip, fps=1)
    far = [
        question
        for thing in film.things
        if thing.end_s <= SECONDS - GONE_S
        for kind in questions.KINDS
        if (question := questions.ask_about(rng, film, thing, kind, SECONDS, held_out=True))
    ]
    with engine.open() as take:
        report = take.watch(clip).wait()
        assert report.complete and take.stats().frames == SECONDS
        yield Seen(film, take, far)


def share_right(take: Take, asked: list[Question], **options: Any) -> float:
    right = [take.ask(q.text, **options).text == q.answer for q in asked]
    return sum(right) / len(right)


def test_what_left_the_window_long_ago_is_answered(seen: Seen) -> None:
    assert len(seen.far) >= 12
    assert share_right(seen.take, seen.far) >= 0.85


def test_without_memory_it_is_not(seen: Seen) -> None:
    """So the answers come from recall, and not from habit."""
    known = [q for q in seen.far if q.kind != "exist"]
    assert known
    assert share_right(seen.take, known, select=lambda _scope, layers: [[]] * layers) <= 0.25


def test_the_best_evidence_shows_it(seen: Seen) -> None:
    hits = []
    for question in seen.far:
        answer = seen.take.ask(question.text)
        if answer.text == question.answer:
            best = answer.evidence[0]
            hits.append(any(a <= best.end_s and best.start_s < b for a, b in question.spans))
    assert sum(hits) / len(hits) >= 0.75


def test_what_never_was_is_denied(seen: Seen) -> None:
    rng = random.Random(1)
    absent = [
        q
        for _ in range(200)
        if (q := questions.ask_absent(rng, seen.film, "exist", SECONDS, held_out=True))
    ][:12]
    assert share_right(seen.take, absent) >= 0.8


def test_what_is_not_in_its_language_is_said_to_be(seen: Seen) -> None:
    for question in (
        "What is the woman in the grey cardigan holding?",
        "how many stars did you see?",
        "when did the star appear?",
        "Was there a dog?",
        "describe the scene",
        "xyzzy",
    ):
        assert seen.take.ask(question).text == questions.UNKNOWN_KIND


def test_asked_in_time_it_answers_from_its_window(seen: Seen) -> None:
    rng = random.Random(2)
    near = [
        q
        for thing in seen.film.things
        if thing.end_s - thing.start_s >= 4
        if (q := questions.ask_about(rng, seen.film, thing, "shape", thing.start_s + 4))
    ]
    right = [seen.take.ask(q.text, at_s=q.asked_s - 1).text == q.answer for q in near[:20]]
    assert sum(right) >= 0.9 * len(right)


def test_the_folder_is_small_and_names_its_world(engine: Engine) -> None:
    folder = Path(world.__file__).parent / "weights"
    assert sum(p.stat().st_size for p in folder.iterdir()) < 16 << 20
    assert engine.adapter.recipe.world_version == world.WORLD_VERSION
    assert engine.adapter.recipe.note


def test_a_second_question_of_a_dialogue_is_answered_as_if_it_were_alone(seen: Seen) -> None:
    for question in seen.far[:4]:
        alone = seen.take.ask(question.text).text
        assert seen.take.ask(question.text, conversation="one").text == alone
