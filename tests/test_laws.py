"""The engine against plain models: windows, recall, order, memory, and questions without trace.

Laws 1, 2, 3, 5, 6 and 9 of docs/architecture.md, on tiny random models of both families.
Tolerance beside the dtype: float32, logits of size about 5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from longtake.answering import Asked
from longtake.models.bridge import check_identity
from longtake.models.loader import load
from longtake.models.positions import Rotary, axis_map
from longtake.scope import When
from tests import checkpoints, dense, streams
from tests.streams import ONE_TOKEN, Listening

TOLERANCE = {torch.float32: 1e-4}
QUESTION = "what was on the table?"
FAMILIES = sorted(checkpoints.FAMILIES)


@pytest.fixture(scope="session", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write(request.param, tmp_path_factory.mktemp("model") / request.param)


@pytest.fixture(scope="session")
def loaded(folder: Path) -> Any:
    return load(str(folder), device="cpu")


@pytest.fixture
def adapter(loaded: Any) -> Listening:
    return Listening(loaded)


@pytest.fixture(scope="session")
def plain(folder: Path) -> Any:
    """The same weights, loaded apart, in classes that know nothing of us."""
    config = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, config.architectures[0])
    return model_class.from_pretrained(folder, attn_implementation="eager").eval()


def question_part(adapter: Any) -> dense.Part:
    prompt = adapter.prompt(QUESTION)
    offsets = torch.arange(len(prompt.ids)).expand(adapter.shape.axes, -1)
    with torch.no_grad():
        return dense.Part(adapter.embed(prompt.ids), offsets)


def ask(one: Any, **changes: Any) -> Tensor:
    """Logits of the first answer token."""
    asked = Asked(question=QUESTION, decoding=ONE_TOKEN, **changes)
    streams.answer(one, asked)
    logits: Tensor = one.adapter.last_logits[-1].clone()
    return logits


def sees_window(window: int, question: int) -> dense.Sees:
    """A chunk sees the sink and ``window`` chunks before it; the question everything."""

    def sees(_layer: int, part: int) -> list[int]:
        if part == 0:
            return []
        first = 1 if part == question else max(1, part - window)
        return [0, *range(first, part)]

    return sees


@torch.no_grad()
def test_law_1_a_window_longer_than_the_stream_is_the_plain_model(
    adapter: Listening, plain: Any
) -> None:
    with streams.session(adapter, window_s=20.0) as one:
        one.see(streams.frames(7))
        one.flush()
        logits = ask(one)
        assert not len(one.index)
    parts = [*streams.parts_of(adapter, adapter.seen), question_part(adapter)]
    embeds = torch.cat([p.embeds for p in parts])[None]
    positions = dense.contiguous(parts)
    where = positions[:, None] if adapter.shape.axes > 1 else positions
    expected = plain.lm_head(
        plain.get_decoder()(inputs_embeds=embeds, position_ids=where, use_cache=False)[0]
    )[0, -1]
    assert streams.worst(logits, expected) <= TOLERANCE[torch.float32]


@torch.no_grad()
@pytest.mark.parametrize("count", [9, 24])
def test_law_2_recalling_everything_is_one_dense_pass(
    adapter: Listening, plain: Any, count: int
) -> None:
    with streams.session(adapter, window_s=4.0) as one:
        one.see(streams.frames(count))
        one.flush()
        logits = ask(one, top_k=10_000)
        held = len(one.window.infos)
        assert held < one.chunks
    parts = [*streams.parts_of(adapter, adapter.seen), question_part(adapter)]
    sees = sees_window(held, question=len(parts) - 1)
    hidden = dense.run(plain.get_decoder(), parts, sees)
    assert streams.worst(logits, plain.lm_head(hidden[-1][-1])) <= TOLERANCE[torch.float32]


@torch.no_grad()
def test_recall_chooses_and_lays_out_as_the_formula_says(adapter: Listening, plain: Any) -> None:
    """Blind query, mean keys, the best chunks of every layer, all computed densely."""
    with streams.session(adapter, window_s=4.0) as one:
        one.see(streams.frames(24))
        logits = ask(one, top_k=3)
        held, chunks = len(one.window.infos), one.chunks
    parts = [*streams.parts_of(adapter, adapter.seen), question_part(adapter)]
    question = len(parts) - 1
    asked = adapter.prompt(QUESTION).asked
    chosen = best_by_formula(plain.get_decoder(), parts, held, asked, 3)
    assert all(len(row) == 3 for row in chosen)
    assert len({tuple(row) for row in chosen}) > 1, "layers should differ, or this tests little"
    window = range(chunks - held + 1, chunks + 1)

    def sees(layer: int, part: int) -> list[int]:
        if part == question:
            return [0, *chosen[layer], *window]
        return list(sees_window(held, question)(layer, part))

    hidden = dense.run(plain.get_decoder(), parts, sees)
    assert streams.worst(logits, plain.lm_head(hidden[-1][-1])) <= TOLERANCE[torch.float32]


def best_by_formula(
    decoder: Any, parts: list[dense.Part], held: int, asked: Tensor, k: int
) -> list[list[int]]:
    """ReKV's scores in expanded heads; part numbers in time order, by layer."""
    question = len(parts) - 1
    inputs: dict[tuple[int, int], Tensor] = {}

    def listen(kind: int) -> Any:
        def hook(module: Any, args: Any, output: Tensor) -> None:
            inputs.setdefault((kind, module.number), []).append(output)  # type: ignore[arg-type]

        return hook

    handles = []
    for number, layer in enumerate(decoder.layers):
        layer.input_layernorm.number = number
        handles.append(layer.input_layernorm.register_forward_hook(listen(0)))
    try:
        dense.run(decoder, parts, sees_window(held, question))
        stream = {n: inputs.pop((0, n)) for n in range(len(decoder.layers))}
        dense.run(decoder, [parts[0], parts[-1]], lambda _l, p: [0] if p else [])
        blind = {n: inputs.pop((0, n)) for n in range(len(decoder.layers))}
    finally:
        for handle in handles:
            handle.remove()
    found = []
    for number, layer in enumerate(decoder.layers):
        attention = layer.self_attn
        dim, groups = attention.head_dim, attention.num_key_value_groups
        q = attention.q_proj(blind[number][1])[asked].view(int(asked.sum()), -1, dim).mean(0)
        scores = []
        for part in range(1, question - held):
            k_heads = attention.k_proj(stream[number][part])
            mean = k_heads.view(k_heads.shape[0], -1, dim).mean(0).repeat_interleave(groups, 0)
            scores.append(float((q * mean).sum()))
        best = sorted(range(len(scores)), key=lambda i: -scores[i])[:k]
        found.append(sorted(i + 1 for i in best))
    return found


@torch.no_grad()
def test_law_3_kept_and_evicted_hold_every_token_once_in_order(
    adapter: Listening, plain: Any
) -> None:
    """Layer 0's keys depend on nothing before, so each chunk's are known beforehand."""
    with streams.session(adapter, window_s=6.0) as one:
        one.see(streams.frames(21))
        one.flush()
        chunks = [one._store.read(info.number) for info in one._store.infos()]
        chunks += one.window.chunks()
    assert [c.info.number for c in chunks] == list(range(len(adapter.seen)))
    layer = plain.get_decoder().layers[0]
    for chunk, step in zip(chunks, adapter.seen, strict=True):
        keys = layer.self_attn.k_proj(layer.input_layernorm(step.embeds))
        expected = keys.view(step.tokens, -1, adapter.shape.head_dim).transpose(0, 1)
        assert streams.worst(chunk.keys[0], expected) <= 1e-5
        assert torch.equal(chunk.positions.long(), step.positions)


@pytest.mark.parametrize("batch_frames", [1, 2, 7])
def test_how_frames_arrive_changes_nothing(adapter: Listening, batch_frames: int) -> None:
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
    assert streams.worst(*results) <= TOLERANCE[torch.float32]


def test_law_5_device_bytes_and_positions_stay_bounded(adapter: Listening) -> None:
    with streams.session(adapter, window_s=4.0) as one:
        greatest, sizes = 0, set()
        for frame in streams.frames(130):
            one.see([frame])
            held = one.window._held
            if held:
                greatest = max(greatest, held[-1].base + one.window.shape.step_tokens)
            sizes.add(one.window.device_bytes)
            assert one.window.tokens <= one.window.shape.window_tokens
        assert len(sizes) == 1
        assert greatest <= one.window._keys.shape[2] + one.window.shape.step_tokens


def test_law_6_a_question_leaves_the_stream_as_it_was(adapter: Listening) -> None:
    asked = Asked(question=QUESTION, when=When(at_s=9.0))
    with streams.session(adapter) as quiet, streams.session(adapter) as talkative:
        for frame in streams.frames(30):
            quiet.see([frame])
            talkative.see([frame])
            before = streams.state(talkative)
            streams.answer(talkative, Asked(question=QUESTION, decoding=ONE_TOKEN))
            if frame.pts_s > 12:
                streams.answer(talkative, asked)
            for a, b in zip(before, streams.state(talkative), strict=True):
                assert torch.equal(a, b)
        for a, b in zip(streams.state(quiet), streams.state(talkative), strict=True):
            assert torch.equal(a, b)
        for number in range(len(quiet._store)):
            a, b = (s._store.read(number) for s in (quiet, talkative))
            assert torch.equal(a.keys, b.keys) and torch.equal(a.values, b.values)


@pytest.mark.parametrize("split", [2, 10, 17])
def test_law_9_a_take_split_by_a_restart_equals_the_same_unsplit(
    adapter: Listening, tmp_path: Path, split: int
) -> None:
    shown = streams.frames(24)
    with streams.session(adapter) as whole:
        whole.see(shown)
        expected = ask(whole, top_k=3)
    steps = adapter.recipe.frames_per_step
    split -= split % steps
    with streams.session(adapter, folder=tmp_path / "take") as first:
        first.see(shown[:split])
    with streams.session(adapter, folder=tmp_path / "take") as second:
        second.see(shown[split:])
        assert second.chunks == whole.chunks
        assert streams.worst(ask(second, top_k=3), expected) <= TOLERANCE[torch.float32]


def test_answering_at_a_time_equals_having_stopped_there(adapter: Listening) -> None:
    shown = streams.frames(30)
    with streams.session(adapter) as stopped:
        stopped.see(shown[:16])
        expected = ask(stopped, top_k=2)
    with streams.session(adapter) as one:
        one.see(shown)
        at_15 = ask(one, top_k=2, when=When(at_s=15.0))
        assert streams.worst(at_15, expected) <= TOLERANCE[torch.float32]
        assert streams.worst(ask(one, top_k=2), expected) > 1e-2


# ------------------------------------------------------------------ mistakes must be noticed


def test_a_position_off_by_one_would_be_noticed(adapter: Listening, plain: Any) -> None:
    with streams.session(adapter, window_s=4.0) as one:
        one.see(streams.frames(24))
        logits = ask(one, top_k=10_000)
        held = len(one.window.infos)
    parts = [*streams.parts_of(adapter, adapter.seen), question_part(adapter)]
    hidden = dense.run(plain.get_decoder(), parts, sees_window(held, len(parts) - 1), shift=1)
    with torch.no_grad():
        off = streams.worst(logits, plain.lm_head(hidden[-1][-1]))
    assert off > 100 * TOLERANCE[torch.float32]


def test_a_wrong_axis_would_be_noticed(
    folder: Path, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M-RoPE's axes rolled by one; a 1-D model has one axis, so its frequencies are wrong."""
    decoder = plain.get_decoder()
    frequency = decoder.rotary_emb.inv_freq
    axes = axis_map(frequency.numel(), decoder.config)
    if int(axes.max()) == 0:
        frequency = frequency * 1.3
    rolled = Rotary(frequency, axes.roll(1))
    monkeypatch.setattr(Rotary, "of", classmethod(lambda _cls, _decoder: rolled))
    with pytest.raises(Exception, match="un-rotated keys"):
        load(str(folder), device="cpu")


def test_a_forward_that_fails_leaves_the_window_as_it_was(
    adapter: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    with streams.session(adapter) as one:
        one.see(streams.frames(12))
        before = streams.state(one)
        decode, calls = adapter._adapter.decode_step, []

        def fail(*args: Any) -> Tensor:
            calls.append(decode(*args))
            raise RuntimeError("out of memory")

        monkeypatch.setattr(adapter._adapter, "decode_step", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            one.see(streams.frames(4))
        monkeypatch.undo()
        assert calls
        for a, b in zip(before, streams.state(one), strict=True):
            assert torch.equal(a, b)


def test_the_identity_is_proved_at_load(loaded: Any) -> None:
    error = check_identity(loaded.decoder, loaded.rotary, loaded.shape.layers)
    assert error < 1e-5
