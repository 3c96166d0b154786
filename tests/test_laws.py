"""The engine against plain models: windows, recall, order, memory, and questions without trace.

Laws 1, 2, 3, 5, 6 and 9 of docs/architecture.md, on tiny random models of every family, and
mistakes that must be noticed.  How the two sides are computed, and what is allowed, stands in
`tests/conformance.py`; what was seen, in docs/exactness.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtake.asked import Asked
from longtake.models import loader
from longtake.models.bridge import check_identity
from longtake.models.positions import Rotary, axis_map
from longtake.scope import When
from longtake.settings import SELECTIONS
from tests import checkpoints, conformance, dense, mutations, streams
from tests.conformance import BFLOAT16_TOLERANCE, QUESTION, VARIANTS, Twins
from tests.streams import ONE_TOKEN, Listening, Tracked

FAMILIES = sorted(checkpoints.FAMILIES)
OF_VARYING_STEPS = ("internvl", "qwen3_vl")  # their words hold numbers
Write = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models as small as these only lose by more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Folders of checkpoints."""

    def in_own_folder(family: str, **text: Any) -> Path:
        return checkpoints.write(family, tmp_path_factory.mktemp("model") / family, **text)

    return in_own_folder


@dataclass(frozen=True)
class Model:
    """One family's, written and loaded once for all laws."""

    folder: Path
    twins: Twins


@pytest.fixture(scope="session", params=FAMILIES)
def model(request: pytest.FixtureRequest, write: Write) -> Model:
    folder = write(request.param)
    return Model(folder, Twins.load(folder))


@pytest.fixture(scope="session")
def twins(model: Model) -> Twins:
    return model.twins


@pytest.fixture
def adapter(twins: Twins) -> Listening:
    return Listening(twins.adapter)


def ask(one: Any, **changes: Any) -> Tensor:
    """Logits of the first answer token."""
    asked = Asked(question=QUESTION, decoding=ONE_TOKEN, **changes)
    streams.answer(one, asked)
    logits: Tensor = one.adapter.last_logits[-1].clone()
    return logits


def test_every_family_is_held_to_the_laws() -> None:
    assert FAMILIES == sorted(loader.FAMILIES)


# ------------------------------------------------------------------ against plain transformers


@pytest.mark.parametrize("count", [1, 7])
def test_law_1_a_window_longer_than_the_stream_is_the_plain_model(twins: Twins, count: int) -> None:
    assert conformance.all_in_window(twins, count).worst <= twins.tolerance


@pytest.mark.parametrize("count", [9, 24])
def test_law_2_recalling_everything_is_one_dense_pass(twins: Twins, count: int) -> None:
    assert conformance.all_recalled(twins, count).worst <= twins.tolerance


def test_law_2_holds_for_what_comes_back_from_files(twins: Twins, tmp_path: Path) -> None:
    recalled = conformance.all_recalled(twins, 23, tmp_path / "take")
    assert recalled.worst <= twins.tolerance


@pytest.mark.parametrize("select_by", SELECTIONS)
def test_recall_chooses_and_lays_out_as_the_formula_says(twins: Twins, select_by: str) -> None:
    """Mean queries, mean keys, the best chunks of every layer, all computed densely."""
    recalled, chosen = conformance.best_recalled(twins, select_by)
    assert all(len(row) == 3 for row in chosen)
    assert len({tuple(row) for row in chosen}) > 1, "layers should differ, or this tests little"
    assert recalled.worst <= twins.tolerance


def test_greedy_answers_are_the_plain_models(twins: Twins) -> None:
    ours = conformance.greedy_answer(twins.adapter, 7, window_s=20.0)
    heard = conformance.hear(twins.adapter, 7, window_s=20.0)
    assert len(ours) > 2
    assert ours == conformance.plain_greedy(twins, heard.parts)
    if twins.adapter.shape.axes == 1:
        assert ours == conformance.generated(twins, heard.parts)


def test_greedy_answers_from_recall_are_the_dense_passes(twins: Twins) -> None:
    ours = conformance.greedy_answer(twins.adapter, 12, 4.0, top_k=conformance.ALL)
    heard = conformance.hear(twins.adapter, 12, top_k=conformance.ALL)
    assert len(ours) > 2
    assert ours == conformance.dense_greedy(twins, heard)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_scaled_positions_and_other_heads_change_no_law(
    write: Write, family: str, variant: str, tmp_path: Path
) -> None:
    twins = Twins.load(write(family, **VARIANTS[variant]))
    found = [
        conformance.all_in_window(twins),
        conformance.all_recalled(twins, 9),
        conformance.all_recalled(twins, 9, tmp_path / "take"),
        *(conformance.best_recalled(twins, by)[0] for by in SELECTIONS),
    ]
    assert max(pair.worst for pair in found) <= twins.tolerance


def test_laws_hold_in_bfloat16(model: Model) -> None:
    twins = Twins.load(model.folder, "bfloat16")
    assert twins.adapter.dtype is torch.bfloat16
    assert conformance.all_in_window(twins).share <= BFLOAT16_TOLERANCE
    assert conformance.all_recalled(twins).share <= BFLOAT16_TOLERANCE


# ------------------------------------------------------------------ the stream and its memory


def test_law_3_kept_and_evicted_hold_every_token_once_in_order(twins: Twins) -> None:
    """Layer 0's keys depend on nothing before, so each chunk's are known beforehand."""
    adapter = Listening(twins.adapter)
    with streams.session(adapter, window_s=6.0) as one:
        one.see(streams.frames(21))
        one.flush()
        infos, segments = one.past(), [one.segment(number) for number in range(one.chunks)]
    assert [info.number for info in infos] == list(range(len(adapter.seen)))
    if adapter.family in OF_VARYING_STEPS:
        assert len({info.tokens for info in infos}) > 1, "steps should differ in length"
    layer = twins.decoder.layers[0]
    for segment, step in zip(segments, adapter.seen, strict=True):
        with torch.no_grad():
            _, keys, _ = dense.project(layer.self_attn, layer.input_layernorm(step.embeds))
        assert streams.worst(segment.keys[0], keys) <= 1e-5
        assert torch.equal(segment.positions.long(), step.positions)


@pytest.mark.parametrize("batch_frames", [1, 2, 7])
def test_how_frames_arrive_changes_nothing(
    twins: Twins, adapter: Listening, batch_frames: int
) -> None:
    results = []
    for batch, together in ((16, True), (batch_frames, False)):
        with streams.session(adapter, batch_frames=batch) as one:
            shown = streams.frames(18)
            if together:
                one.see(shown)
            else:
                for frame in shown:
                    one.see([frame])
            results.append(ask(one))
    assert streams.worst(*results) <= twins.tolerance


def test_law_5_device_bytes_and_positions_stay_bounded(adapter: Listening) -> None:
    tracked = Tracked(adapter.rotary)
    adapter.rotary = tracked  # type: ignore[attr-defined]
    with streams.session(adapter, window_s=4.0) as one:
        sizes = set()
        for frame in streams.frames(130):
            one.see([frame])
            sizes.add(one.window.device_bytes)
            assert one.window.tokens <= one.window.shape.window_tokens
        assert len(sizes) == 1
        sink = one.window.sink.positions.shape[1]
        bound = sink + 2 * one.window.shape.window_tokens + one.window.shape.step_tokens
        assert 0 < tracked.greatest <= bound


def test_law_6_questions_leave_the_stream_as_it_was(twins: Twins) -> None:
    """After every chunk; not one bit differs in the end."""
    assert conformance.trace_of_questions(twins) == 0.0


def test_law_6_a_question_leaves_the_window_as_it_was(adapter: Listening) -> None:
    with streams.session(adapter) as one:
        one.see(streams.frames(14))
        before = streams.state(one)
        for when in (When(), When(at_s=9.0), When(between_s=(2.0, 6.0))):
            ask(one, when=when)
            for a, b in zip(before, streams.state(one), strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("split", [2, 10, 17])
def test_law_9_a_take_split_by_a_restart_equals_the_same_unsplit(
    twins: Twins, adapter: Listening, tmp_path: Path, split: int
) -> None:
    shown = streams.frames(24)
    with streams.session(adapter) as whole:
        whole.see(shown)
        expected = ask(whole, top_k=3)
    split -= split % adapter.recipe.frames_per_step
    with streams.session(adapter, folder=tmp_path / "take") as first:
        first.see(shown[:split])
    with streams.session(adapter, folder=tmp_path / "take") as second:
        second.see(shown[split:])
        assert second.chunks == whole.chunks
        assert streams.worst(ask(second, top_k=3), expected) <= twins.tolerance


def test_answering_at_a_time_equals_having_stopped_there(twins: Twins, adapter: Listening) -> None:
    shown = streams.frames(30)
    with streams.session(adapter) as stopped:
        stopped.see(shown[:16])
        expected = ask(stopped, top_k=2)
    with streams.session(adapter) as one:
        one.see(shown)
        at_15 = ask(one, top_k=2, when=When(at_s=15.0))
        assert streams.worst(at_15, expected) <= twins.tolerance
        assert streams.worst(ask(one, top_k=2), expected) > 1e-2


def test_a_forward_that_fails_leaves_the_window_as_it_was(
    adapter: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    with streams.session(adapter) as one:
        one.see(streams.frames(12))
        before = streams.state(one)
        decode, calls = adapter.decode_step, []

        def fail(*args: Any) -> Tensor:
            calls.append(decode(*args))
            raise RuntimeError("out of memory")

        monkeypatch.setattr(adapter, "decode_step", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            one.see(streams.frames(4))
        monkeypatch.undo()
        assert calls
        for a, b in zip(before, streams.state(one), strict=True):
            assert torch.equal(a, b)


# ------------------------------------------------------------------ mistakes must be noticed


@pytest.mark.parametrize("mistake", mutations.MISTAKES)
def test_a_mistake_would_be_noticed(twins: Twins, mistake: str) -> None:
    apart = mutations.MISTAKES[mistake](twins)
    can_be_made = twins.adapter.family in mutations.ONLY_FOR.get(mistake, FAMILIES)
    assert (apart is not None) == can_be_made
    assert apart is None or apart > mutations.LEAST * twins.tolerance


def test_models_that_turn_otherwise_are_refused(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M-RoPE's axes rolled by one; a model with one axis gets wrong frequencies instead."""
    decoder = model.twins.decoder
    frequency = decoder.rotary_emb.inv_freq
    axes = axis_map(frequency.numel(), decoder.config)
    if int(axes.max()) == 0:
        frequency = frequency * 1.3
    rolled = Rotary(frequency, axes.roll(1))
    monkeypatch.setattr(Rotary, "of", classmethod(lambda _cls, _decoder: rolled))
    with pytest.raises(Exception, match="un-rotated keys"):
        loader.load(str(model.folder), device="cpu")


def test_the_identity_is_proved_at_load(twins: Twins) -> None:
    ours = twins.adapter
    assert check_identity(ours.decoder, ours.rotary, ours.shape.layers) < 1e-5
