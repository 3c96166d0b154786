"""Recall together, damaged chunks, dialogue: what an answer is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.answering import fit_dialogue
from longtake.asked import Asked
from longtake.memory.recall import shares
from longtake.models.loader import load
from longtake.recalling import blind_vectors
from longtake.scope import When, settle
from tests import streams
from tests.streams import ONE_TOKEN, Listening

QUESTION = "what was on the table?"


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> Any:
    return load(str(tiny_model), device="cpu")


@pytest.fixture
def adapter(loaded: Any) -> Iterator[Listening]:
    yield Listening(loaded)


def test_layers_that_recall_together_get_the_greatest_mean_shares(adapter: Any) -> None:
    adapter.recipe = replace(adapter.recipe, recall="together", sharpness=3.0)
    with streams.session(adapter) as one:
        one.see(streams.frames(24))
        prompt = adapter.prompt(QUESTION)
        known = settle(When(), one.past(), len(one.window.infos), one.window_shape)
        with torch.inference_mode():
            asked = Asked(question=QUESTION, top_k=3, select_by="blind")
            chosen = one.mode.lay(one, asked, prompt, known)
            blind = blind_vectors(one, prompt)
            share = shares(one.index.scores(blind), adapter.shape.head_dim, 3.0)
        expected = sorted(share.topk(3).indices.tolist())
        assert chosen.by_layer == [expected] * adapter.shape.layers
        given = Asked(question=QUESTION, select=lambda _s, n: [[1]] * n)
        with torch.inference_mode():
            own = one.mode.lay(one, given, prompt, known)
        assert own.by_layer == [[1]] * adapter.shape.layers


def test_a_damaged_chunk_lowers_the_coverage_and_nothing_else(adapter: Any, tmp_path: Path) -> None:
    with streams.session(adapter, folder=tmp_path / "take") as one:
        one.see(streams.frames(20))
    (segment,) = (tmp_path / "take" / "segments").iterdir()
    damaged = bytearray(segment.read_bytes())
    # Within the last layer of the first record: its header and vectors stay whole.
    place = len(damaged) // 20 - 200
    damaged[place] ^= 0xFF
    segment.write_bytes(damaged)
    with streams.session(adapter, folder=tmp_path / "take") as one:
        everything = Asked(question=QUESTION, top_k=100, decoding=ONE_TOKEN)
        answer = streams.answer(one, everything)
        assert 0.9 < answer.coverage < 1.0


def test_only_the_newest_turns_that_fit_are_kept(adapter: Any) -> None:
    with streams.session(adapter, dialogue_tokens=150) as one:
        turns = [(f"question {n}?", f"answer {n}") for n in range(30)]
        kept = fit_dialogue(one, Asked(question=QUESTION, dialogue=turns))
        assert 0 < len(kept) < len(turns)
        assert kept == turns[-len(kept) :]
        alone = len(adapter.prompt(QUESTION).ids)
        assert len(adapter.prompt(QUESTION, kept).ids) - alone <= 150
        assert len(adapter.prompt(QUESTION, turns[-len(kept) - 1 :]).ids) - alone > 150


def test_a_long_dialogue_leaves_room_for_the_question(adapter: Any) -> None:
    turns = [(f"question {n}?", "word " * 40) for n in range(200)]
    with streams.session(adapter, dialogue_tokens=1_000_000) as one:
        one.see(streams.frames(12))
        asked = Asked(question=QUESTION, dialogue=turns, decoding=ONE_TOKEN)
        kept = fit_dialogue(one, asked)
        assert 0 < len(kept) < len(turns)
        assert streams.answer(one, asked).question == QUESTION


def test_a_model_without_dialogue_gets_none(adapter: Any) -> None:
    with streams.session(adapter, dialogue_tokens=0) as one:
        assert fit_dialogue(one, Asked(question=QUESTION, dialogue=[("what?", "that")])) == []


def test_dialogue_changes_what_is_answered(adapter: Any) -> None:
    logits = []
    with streams.session(adapter) as one:
        one.see(streams.frames(12))
        for dialogue in ((), (("what colour?", "red"),)):
            asked = Asked(question="and then?", dialogue=dialogue, decoding=ONE_TOKEN)
            streams.answer(one, asked)
            logits.append(adapter.last_logits.clone())
    assert streams.worst(*logits) > 1e-3


def test_without_any_video_there_is_still_an_answer(adapter: Any) -> None:
    with streams.session(adapter) as one:
        answer = streams.answer(one, Asked(question=QUESTION, decoding=ONE_TOKEN))
    assert answer.evidence == () and answer.as_of_s == 0.0 and answer.coverage == 1.0
