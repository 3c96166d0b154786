"""Answers that are one of some given strings: probabilities beside plain transformers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.answer import Answer
from longtake.answering import MOST_GAPS
from longtake.answering import answer as answer_pieces
from longtake.asked import MOST_CHOICES, Asked
from longtake.choosing import rank, spell
from longtake.memory.marks import Gap
from longtake.models.base import ModelError
from longtake.models.decode import Decoding
from longtake.models.loader import load
from longtake.scope import When
from longtake.settings import MODES
from tests import checkpoints, conformance, streams
from tests.conformance import QUESTION, Twins
from tests.streams import Listening

CHOICES = ("yes", "no", "yes please", "a red ring")
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=sorted(checkpoints.FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    folder = tmp_path_factory.mktemp("choices") / request.param
    return Twins.load(checkpoints.write(request.param, folder))


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> Any:
    return load(str(tiny_model), device="cpu")


@pytest.fixture
def adapter(loaded: Any) -> Listening:
    return Listening(loaded)


def by_text(answer: Answer) -> dict[str, float]:
    return {choice.text: choice.probability for choice in answer.choices}


def plain_logs(twins: Twins, seen: Sequence[Any], choices: Sequence[str]) -> torch.Tensor:
    """ln of each choice's probability, one unmodified forward over everything for each."""
    adapter, logs = twins.adapter, []
    prompt = adapter.prompt(QUESTION).ids
    for ids in spell(adapter, choices):
        whole = torch.cat([prompt, torch.tensor(ids)])
        parts = [*streams.parts_of(adapter, seen), conformance.text_part(adapter, whole)]
        tail = conformance.plain_logits(twins.plain, parts)[-len(ids) - 1 :].log_softmax(-1)
        end = tail[-1, sorted(adapter.stop_ids)].logsumexp(0)
        logs.append(sum((tail[i, token] for i, token in enumerate(ids)), end))
    return torch.stack(logs)


def test_probabilities_are_those_of_a_plain_forward_over_prompt_and_choice(family: Twins) -> None:
    listening = Listening(family.adapter)
    with streams.session(listening, window_s=20.0) as one:
        one.see(streams.frames(6))
        one.flush()
        asked = Asked(question=QUESTION, choices=CHOICES)
        before = streams.state(one)
        answer = streams.answer(one, asked)
        turned = streams.answer(one, Asked(question=QUESTION, choices=CHOICES[::-1]))
        assert all(map(torch.equal, before, streams.state(one)))
    logs = plain_logs(family, listening.seen, CHOICES)
    found = by_text(answer)
    for choice, expected in zip(CHOICES, logs.softmax(0).tolist(), strict=True):
        assert found[choice] == pytest.approx(expected, abs=TOLERANCE)
    assert answer.mass == pytest.approx(float(logs.exp().sum()), abs=TOLERANCE, rel=1e-3)
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-12)
    assert by_text(turned) == pytest.approx(found, abs=1e-12)
    assert answer.text == turned.text == answer.choices[0].text == max(found, key=found.__getitem__)
    assert not answer.partial


def test_a_choice_is_written_as_the_template_writes_answers(family: Twins) -> None:
    """Some put a space before them, which makes other tokens."""
    adapter = family.adapter
    before = adapter.prompt(QUESTION).ids.tolist()
    written = adapter.prompt("and then?", [(QUESTION, "a red ring")]).ids.tolist()
    (ids,) = spell(adapter, ["a red ring"])
    behind = written[len(before) :]
    assert behind[: len(ids)] == ids and behind[len(ids)] in adapter.stop_ids
    assert (ids != adapter.encode("a red ring").tolist()) == (adapter.family == "smolvlm")


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_can_choose(adapter: Any, mode: str) -> None:
    given = {} if mode == "full" else {"window_s": 4.0}
    with streams.session(adapter, mode=mode, **{"window_s": None, **given}) as one:
        one.see(streams.frames(9))
        answer = streams.answer(one, Asked(question=QUESTION, choices=CHOICES))
        longer = "a rather long choice " * 8
        roomy = Asked(question=QUESTION, choices=(*CHOICES, longer), decoding=streams.ONE_TOKEN)
        found = by_text(streams.answer(one, roomy))
    assert {choice.text for choice in answer.choices} == set(CHOICES)
    left = {text: share / (1 - found[longer]) for text, share in found.items() if text != longer}
    assert left == pytest.approx(by_text(answer), abs=1e-6)


def test_the_answer_is_given_as_it_was_written(adapter: Any) -> None:
    with streams.session(adapter) as one:
        one.see(streams.frames(4))
        answer = streams.answer(one, Asked(question=QUESTION, choices=(" Yes ", "NO!")))
    assert answer.text in (" Yes ", "NO!")


def test_a_free_answer_has_no_choices(adapter: Any) -> None:
    with streams.session(adapter) as one:
        answer = streams.answer(one, Asked(question=QUESTION, decoding=streams.ONE_TOKEN))
    assert (answer.choices, answer.mass) == ((), None)


@pytest.mark.parametrize("scored", [0, 1, 3])
def test_what_ends_it_between_two_choices_leaves_what_was_scored(
    adapter: Any, scored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[str] = []
    laid: list[bool] = []
    with streams.session(adapter) as one:
        one.see(streams.frames(4))
        lay = one.mode.lay
        monkeypatch.setattr(one.mode, "lay", lambda *args: laid.append(True) or lay(*args))
        asked = Asked(question=QUESTION, choices=CHOICES)
        answering = answer_pieces(
            one, asked, lambda: 0.0, lambda: bool(laid) and len(pieces) >= scored
        )
        answer = run(answering, pieces)
    assert answer.partial and len(answer.choices) == scored
    assert {c.text for c in answer.choices} == set(CHOICES[:scored])
    assert sum(c.probability for c in answer.choices) == pytest.approx(1.0 if scored else 0.0)
    assert (answer.mass is None) == (scored == 0)
    assert answer.text == (answer.choices[0].text if scored else "")


def run(answering: Any, pieces: list[str]) -> Answer:
    while True:
        try:
            pieces.append(next(answering))
        except StopIteration as stop:
            whole: Answer = stop.value
            return whole


def test_there_is_a_place_to_pause_behind_every_token(adapter: Any) -> None:
    pieces: list[str] = []
    with streams.session(adapter) as one:
        one.see(streams.frames(4))
        asked = Asked(question=QUESTION, decoding=Decoding(max_tokens=8))
        answer = run(answer_pieces(one, asked, lambda: 0.0), pieces)
    assert "".join(pieces) == answer.text
    assert len(pieces) >= answer.timings.tokens == len(adapter.answered)


def test_frames_between_two_tokens_change_nothing_of_an_answer(adapter: Any) -> None:
    """Neither do they where choices are scored; how far behind it is, is told at its end."""
    for choices in ((), CHOICES):
        asked = Asked(question=QUESTION, choices=choices, decoding=Decoding(max_tokens=6))
        with streams.session(adapter) as one:
            one.see(streams.frames(10))
            alone = streams.answer(one, asked)
            answering = answer_pieces(one, asked, lambda: 0.0)
            pieces = [next(answering)]
            for frame in streams.frames(20)[10:]:
                one.see([frame])
            meanwhile = run(answering, pieces)
            newest_s = one.newest_s
        assert (meanwhile.text, meanwhile.choices) == (alone.text, alone.choices)
        assert alone.staleness_s == 0.0
        assert meanwhile.staleness_s == newest_s - meanwhile.as_of_s > 5.0


def test_staleness_counts_what_came_while_it_was_answered(adapter: Any) -> None:
    come = iter([3.0, 30.0, 60.0])
    with streams.session(adapter) as one:
        one.see(streams.frames(4))
        asked = Asked(
            question=QUESTION,
            decoding=streams.ONE_TOKEN,
            newest_received_s=lambda: next(come),
        )
        next(come)
        answer = streams.answer(one, asked)
    assert answer.staleness_s == 30.0 - answer.as_of_s


def test_an_answer_tells_what_is_missing_of_what_was_asked_about(
    adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = [Gap(float(n), n + 0.5, 0, "offline", "door") for n in range(40)]
    with streams.session(adapter) as one:
        one.see(streams.frames(31))
        monkeypatch.setattr(one._store, "gaps", lambda *given, **named: gaps)
        everything = streams.answer(one, Asked(question=QUESTION, decoding=streams.ONE_TOKEN))
        span = When(between_s=(3.2, 5.0))
        some = streams.answer(one, Asked(question=QUESTION, when=span, choices=CHOICES))
    assert everything.gaps == tuple(gaps[31 - MOST_GAPS : 31])
    assert some.gaps == tuple(gaps[3:6])


# ------------------------------------------------------------------ what cannot be chosen from


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (("yes",), "1 choices: must be 2 to 64"),
        (tuple(map(str, range(MOST_CHOICES + 1))), "65 choices"),
        (("yes", " "), "' ' is empty"),
        (("yes", "no", "yes"), "'yes' stands there twice"),
        (("yes", "\udc80"), "no UTF-8"),
        ("yes", "not one"),
    ],
)
def test_choices_that_make_no_sense_are_told_at_once(choices: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Asked(question=QUESTION, choices=choices)


def test_choices_that_are_the_same_tokens_are_refused(adapter: Any) -> None:
    with pytest.raises(ValueError, match="' yes' and 'yes ': the same words"):
        spell(adapter, [" yes", "yes "])


def test_what_the_template_means_for_itself_is_no_choice(adapter: Any) -> None:
    with pytest.raises(ValueError, match=r"'<\|im_end\|>' holds no word"):
        spell(adapter, ["<|im_end|>", "no"])


def test_numbers_that_are_none_are_no_probabilities(
    adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = adapter.logits
    monkeypatch.setattr(adapter, "logits", lambda hidden: logits(hidden) * float("nan"))
    with streams.session(adapter) as one:
        one.see(streams.frames(4))
        with pytest.raises(ModelError, match="NaN"):
            streams.answer(one, Asked(question=QUESTION, choices=CHOICES))


def test_impossible_choices_are_all_as_good() -> None:
    ranking = rank(("a", "b"), [float("-inf")] * 2)
    assert [choice.probability for choice in ranking.choices] == [0.5, 0.5] and ranking.mass == 0.0


# ------------------------------------------------------------------ the model that ships


@pytest.fixture(scope="module")
def embedded() -> Any:
    return load("embedded", device="cpu")


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (("red", "dog"), "'dog' in 'dog' is no word of this model"),
        (("red", "a 2nd star"), "'2nd' in 'a 2nd star'"),
        (("Yes.", "yes"), "'Yes.' and 'yes': the same words"),
        (("yes", "?"), "holds no word"),
    ],
)
def test_words_that_were_never_taught_are_refused(
    embedded: Any, choices: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        spell(embedded, choices)


def test_it_chooses_what_it_would_say(embedded: Any) -> None:
    from longtake.models.embedded import world
    from longtake.streaming.frame import Frame

    film = world.Film(random.Random(5), 12)
    with streams.session(embedded, window_s=8.0) as one:
        one.see([Frame(t, image) for t, image in film.frames()])
        thing = film.things[-1]
        for question, choices in (
            (f"what colour was the {thing.shape}?", tuple(world.COLORS)),
            (f"is there a {thing.color} {thing.shape}?", ("yes", "no")),
        ):
            free = streams.answer(one, question)
            chosen = streams.answer(one, Asked(question=question, choices=choices))
            assert chosen.text == free.text
            assert chosen.mass is not None and chosen.mass > 0.9
