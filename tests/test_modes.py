"""Each mode against a plain twin: one dense pass in which every part's view is written out.

ReKV by the formulas of its paper, dependent selection layer by layer; what all modes have in
common, and what each refuses.  Tolerances as in `tests.conformance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtake.answering import fit_dialogue
from longtake.asked import Asked
from longtake.memory import full_window
from longtake.models.base import ModelError
from longtake.models.decode import Decoding
from longtake.models.loader import load
from longtake.modes import find_mode
from longtake.scope import When
from longtake.settings import MODES, TakeConfig
from longtake.strategies.parse import plan
from tests import checkpoints, dense, streams
from tests.conformance import BFLOAT16_TOLERANCE, QUESTION, Twins, text_part
from tests.modes import Roomy, logits_of
from tests.streams import ONE_TOKEN, Listening

TOP_K = 3
RESTARTED = 1e-4  # float32: a restored window turns its keys by other angles, as in law 9


# ------------------------------------------------------------------ dependent selection


@dataclass
class Chooser:
    """ReKV's scores in expanded heads, of one asking part, layer by layer."""

    decoder: Any
    asking: int  # the part that asks
    candidates: Sequence[int]
    asked: Tensor  # bool [T]

    def __post_init__(self) -> None:
        self._queries: dict[int, Tensor] = {}
        self._keys: dict[int, dict[int, Tensor]] = {}

    def watch(self, layer: int, part: int, queries: Tensor, keys: Tensor) -> None:
        if part == self.asking:
            self._queries[layer] = queries[:, self.asked].mean(1)
        self._keys.setdefault(layer, {})[part] = keys.mean(1)

    def chosen(self, layer: int) -> list[int]:
        query = self._queries[layer]
        scores = []
        for part in self.candidates:
            mean = self._keys[layer][part]
            mean = mean.repeat_interleave(query.shape[0] // mean.shape[0], 0)
            scores.append(float((query * mean).sum()))
        best = sorted(range(len(scores)), key=lambda i: -scores[i])[:TOP_K]
        return sorted(self.candidates[i] for i in best)


def test_dependent_layers_choose_by_what_lower_layers_recalled(
    twins: Twins, adapter: Listening
) -> None:
    with streams.session(adapter, window_s=4.0) as one:
        one.see(streams.frames(24))
        logits = logits_of(one, top_k=TOP_K, select_by="dependent")
        blind = logits_of(one, top_k=TOP_K, select_by="blind")
        held, chunks = len(one.window.infos), one.chunks
    prompt = adapter.prompt(QUESTION)
    parts = [*streams.parts_of(adapter, adapter.seen), text_part(adapter, prompt.ids)]
    question, first_held = len(parts) - 1, chunks - held + 1
    chooser = Chooser(twins.decoder, question, range(1, first_held), prompt.asked)

    def sees(layer: int, part: int) -> list[int]:
        if part == question:
            return [0, *chooser.chosen(layer), *range(first_held, question)]
        return [0, *range(max(1, part - held), part)] if part else []

    hidden = dense.run(twins.decoder, parts, sees, chooser.watch)
    expected = twins.plain.lm_head(hidden[-1][-1])
    assert streams.worst(logits, expected) <= twins.tolerance
    assert streams.worst(blind, expected) > 100 * twins.tolerance, "blind should choose others"


# ------------------------------------------------------------------ rekv


def rekv_views(sizes: Sequence[int], n_local: int, *, twice: bool = False) -> Any:
    """Every stream token sees the band, and the sink's tokens at the one far distance.

    Args:
        twice: as the released code: in the chunk that first overflows the window, sink tokens
            count as local ones and once more at the far distance.
    """
    starts = torch.tensor([0, *sizes]).cumsum(0)

    def view(part: int) -> dense.View:
        sink, end = sizes[0], int(starts[part + 1])
        queries = torch.arange(int(starts[part]), end)[:, None]
        keys = torch.arange(end)
        age = queries - keys
        is_near = (age >= 0) & (age < n_local)
        far = (keys < sink) & ~is_near & (part > 0)
        toward = torch.where(far, keys + n_local - 1, queries)
        if not twice:
            return dense.View(range(part), keys[None], toward[None], is_near | far)
        # A second copy of the sink in front, at the far distance, from the flipping chunk on.
        flips = part > 0 and end > n_local
        copies = torch.full((len(queries), sink), flips)
        seen = torch.cat([copies, is_near], 1)
        toward = torch.cat([keys[:sink] + n_local - 1 + 0 * queries, queries + 0 * keys], 1)
        positions = torch.cat([keys[:sink], keys])
        return dense.View([0, *range(part)], positions[None], toward[None], seen)

    return view


def test_rekv_is_the_papers(twins: Twins, adapter: Listening) -> None:
    """Encoding, dependent selection by the raw question, answer over ``[sink | top-k]``."""
    step = twins.adapter.step_tokens
    n_local = 3 * step + step // 2
    is_flat = twins.adapter.shape.axes == 1
    with streams.session(adapter, mode="rekv", window_tokens=n_local) as one:
        one.see(streams.frames(22))
        logits = logits_of(one, top_k=TOP_K)
        held, chunks = len(one.window.infos), one.chunks
    raw = text_part(adapter, adapter.encode(QUESTION))
    asked = text_part(adapter, adapter.prompt(QUESTION).ids)
    seen = streams.parts_of(adapter, adapter.seen)
    parts = [*seen, raw, asked]
    assert 1 < held < chunks == len(seen) - 1
    chooser = Chooser(
        twins.decoder,
        len(seen),
        range(1, len(seen)),
        torch.ones(len(raw.embeds), dtype=torch.bool),
    )
    views = rekv_views([len(p.embeds) for p in seen], n_local)

    def sees(layer: int, part: int) -> Any:
        if part >= len(seen):
            return [0, *chooser.chosen(layer)]
        if is_flat:
            return views(part)
        return [0, *range(max(1, part - held), part)] if part else []

    hidden = dense.run(twins.decoder, parts, sees, chooser.watch)
    expected = twins.plain.lm_head(hidden[-1][-1])
    assert streams.worst(logits, expected) <= twins.tolerance


def test_rekv_counts_the_sink_once_where_the_window_first_overflows(
    twins: Twins, adapter: Listening
) -> None:
    if twins.adapter.shape.axes > 1:
        pytest.skip("the one distance of the sink is defined for 1-D positions")
    step = twins.adapter.step_tokens
    n_local = 3 * step + step // 2
    with streams.session(adapter, mode="rekv", window_tokens=n_local) as one:
        one.see(streams.frames(6))
    parts = streams.parts_of(adapter, adapter.seen)
    sizes = [len(p.embeds) for p in parts]
    once, twice = (
        dense.run(twins.decoder, parts, lambda _l, p, t=t: rekv_views(sizes, n_local, twice=t)(p))
        for t in (False, True)
    )
    flipping = next(i for i in range(1, len(parts)) if sum(sizes[: i + 1]) > n_local)
    for i in range(len(parts)):
        ours = adapter.hidden[i]
        assert streams.worst(ours, once[i]) <= twins.tolerance
    assert streams.worst(adapter.hidden[flipping], twice[flipping]) > 10 * twins.tolerance


def test_rekv_survives_a_restart(adapter: Listening, tmp_path: Path) -> None:
    n_local = 3 * adapter.step_tokens + 2
    results = []
    for split in (None, 4, 14):
        where: dict[str, Any] = {"mode": "rekv", "window_tokens": n_local}
        if split is not None:
            where["folder"] = tmp_path / f"take-{split}"
            with streams.session(adapter, **where) as one:
                one.see(streams.frames(18)[:split])
        with streams.session(adapter, **where) as one:
            one.see(streams.frames(18)[split:])
            results.append(logits_of(one, top_k=2))
    for other in results[1:]:
        assert streams.worst(results[0], other) <= RESTARTED


def test_rekv_has_the_papers_numbers(adapter: Listening) -> None:
    """Where the model was trained for enough; a tiny one gets what it can hold."""
    pace = find_mode("rekv").pace(TakeConfig(), adapter)
    assert pace.fps == 0.5 and pace.select == "dependent" and pace.dialogue_tokens == 0
    roomy = Roomy(adapter, 1 << 20)
    pace = find_mode("rekv").pace(TakeConfig(), roomy)
    each = adapter.recipe.frames_per_step
    assert (pace.window_tokens, pace.top_k) == (15_000, 64 // each)


# ------------------------------------------------------------------ window and full


def test_window_mode_sees_the_window_alone(twins: Twins, adapter: Listening) -> None:
    with streams.session(adapter, window_s=4.0, mode="window") as one:
        one.see(streams.frames(24))
        logits = logits_of(one)
        held = len(one.window.infos)
        answer = streams.answer(one, Asked(question=QUESTION, decoding=ONE_TOKEN))
        oldest_s = one.window.infos[0].start_s
    assert answer.evidence and all(m.start_s >= oldest_s for m in answer.evidence)
    parts = [*streams.parts_of(adapter, adapter.seen)]
    parts.append(text_part(adapter, adapter.prompt(QUESTION).ids))

    def sees(_layer: int, part: int) -> list[int]:
        return [0, *range(max(1, part - held), part)] if part else []

    hidden = dense.run(twins.decoder, parts, sees)
    assert streams.worst(logits, twins.plain.lm_head(hidden[-1][-1])) <= twins.tolerance


def test_full_keeps_everything_and_grows(
    twins: Twins, adapter: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than its first buffers hold."""
    monkeypatch.setattr(full_window, "_FIRST_STEPS", 1)
    with streams.session(adapter, window_s=None, mode="full") as one:
        sizes = []
        for frame in streams.frames(24, height=48, width=64):
            one.see([frame])
            sizes.append(one.window.device_bytes)
        logits = logits_of(one)
        assert len(one.window.infos) == one.chunks
        assert len(one._store) == 0
    assert len(set(sizes)) > 2, "the buffers should have grown, or this tests little"
    parts = [*streams.parts_of(adapter, adapter.seen)]
    parts.append(text_part(adapter, adapter.prompt(QUESTION).ids))
    hidden = dense.run(twins.decoder, parts, lambda _layer, part: range(part))
    assert streams.worst(logits, twins.plain.lm_head(hidden[-1][-1])) <= twins.tolerance


def test_full_refuses_what_the_model_was_not_trained_for(adapter: Listening) -> None:
    most = 2 * adapter.step_tokens
    with streams.session(adapter, window_s=None, mode="full", window_tokens=most) as one:
        with pytest.raises(ValueError, match=r"--fps .*--mode recall"):
            one.see(streams.frames(60, height=48, width=64))
        assert most - adapter.step_tokens < one.window.tokens <= most
        logits_of(one)


# ------------------------------------------------------------------ across modes and restarts


@pytest.mark.parametrize("first", MODES)
@pytest.mark.parametrize("second", ["recall", "full", "streamingvlm", "rekv"])
def test_a_memory_of_one_mode_is_opened_in_another(
    adapter: Listening, tmp_path: Path, first: str, second: str
) -> None:
    """Every chunk is there; 40 of them are more than the first buffers of full hold."""
    each = adapter.recipe.frames_per_step
    count = 40

    def rate(mode: str) -> dict[str, Any]:
        seconds = None if mode == "full" else 3.0
        return {"mode": mode, "fps": float(each), "window_s": seconds, "folder": tmp_path / "m"}

    with streams.session(adapter, **rate(first)) as one:
        one.see(streams.frames(count * each))
        assert one.chunks == count
    brief = Decoding(max_tokens=1)  # in streamingvlm rounds are caught up with
    with streams.session(adapter, **rate(second), decoding=brief) as one:
        assert [info.number for info in one.past()] == list(range(count))
        if second == "full":
            assert len(one.window.infos) == count
        one.see(streams.frames((count + 1) * each)[-each:])  # a round, in streamingvlm
        assert one.chunks == count + 1
        logits_of(one)


def test_full_does_not_open_a_memory_that_it_cannot_hold(
    adapter: Listening, tmp_path: Path
) -> None:
    with streams.session(adapter, folder=tmp_path / "m") as one:
        one.see(streams.frames(60, height=48, width=64))
    most = 2 * adapter.step_tokens
    where: dict[str, Any] = {"folder": tmp_path / "m", "window_s": None, "window_tokens": most}
    with pytest.raises(ValueError, match=r"mode full can hold .*--mode recall"):
        with streams.session(adapter, mode="full", **where):
            pass


def test_full_answers_as_of_any_time_from_everything_before(adapter: Listening) -> None:
    shown = streams.frames(20)
    with streams.session(adapter, window_s=None, mode="full") as one:
        one.see(shown[:12])
        expected = logits_of(one)
    with streams.session(adapter, window_s=None, mode="full") as one:
        one.see(shown)
        assert streams.worst(logits_of(one, when=When(at_s=11.0)), expected) <= 1e-4


def test_full_grows_all_its_buffers_or_none(
    adapter: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_window, "_FIRST_STEPS", 1)
    shown = streams.frames(40, height=48, width=64)
    with streams.session(adapter, window_s=None, mode="full") as one:
        larger, left = full_window.FullWindow._larger, 1

        def fail(self: Any, held: Tensor, slots: int) -> Tensor:
            nonlocal left
            left -= 1
            if left < 0:
                raise torch.OutOfMemoryError("no room")
            return larger(self, held, slots)

        with monkeypatch.context() as full:
            full.setattr(full_window.FullWindow, "_larger", fail)
            with pytest.raises(torch.OutOfMemoryError):
                one.see(shown[:20])
        one.see(shown[20:])
        logits_of(one)


@pytest.mark.parametrize(
    ("mode", "changes", "word"),
    [
        ("full", {"window_s": 4.0}, "keeps everything"),
        ("window", {"recall": "recent:4"}, "recalls nothing"),
        ("full", {"recall": "times"}, "recalls nothing"),
        ("streamingvlm", {"select": "blind"}, "recalls nothing"),
        ("streamingvlm", {"window_tokens": 900}, "--window"),
        ("streamingvlm", {"dialogue_tokens": 64}, "alone"),
        ("rekv", {"dialogue_tokens": 64}, "alone"),
    ],
)
def test_what_a_mode_cannot_use_is_refused(
    adapter: Listening, mode: str, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        find_mode(mode).pace(TakeConfig(mode=mode, **changes), adapter)


def test_full_keeps_a_dialogue(adapter: Listening) -> None:
    with streams.session(adapter, window_s=None, mode="full", dialogue_tokens=256) as one:
        one.see(streams.frames(8))
        turns = [("what was it?", "a ring"), ("and then?", "a star")]
        assert fit_dialogue(one, Asked(question=QUESTION, dialogue=turns)) == turns


@pytest.mark.parametrize("mode", ["rekv", "streamingvlm", "window", "full"])
def test_modes_hold_in_bfloat16(twins: Twins, tmp_path: Path, mode: str) -> None:
    """As a share of the greatest logit, as much as rounding alone allows elsewhere too."""
    folder = checkpoints.write(twins.adapter.family, tmp_path / "model")
    found = []
    for dtype in ("float32", "bfloat16"):
        adapter = Listening(load(str(folder), device="cpu", dtype=dtype))
        each = adapter.recipe.frames_per_step
        seconds = None if mode == "full" else 4.0
        rate = {"fps": float(each), "window_s": seconds}
        with streams.session(adapter, mode=mode, **rate) as one:
            stream: Any = one.stream
            if mode == "streamingvlm":
                stream.speech.speak = lambda voice, a, b: [5, 6, 7]
            one.see(streams.frames(9 * each))
            chosen: Any = lambda scope, layers: [[1, 2]] * layers  # noqa: E731
            asked: dict[str, Any] = {"select": chosen} if mode == "rekv" else {}
            found.append(logits_of(one, **asked).float())
    assert streams.worst(*found) <= BFLOAT16_TOLERANCE * float(found[0].abs().max())


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize("mode", MODES)
def test_no_mode_lets_a_question_change_the_stream(adapter: Listening, mode: str) -> None:
    seconds = None if mode == "full" else 4.0
    with streams.session(adapter, window_s=seconds, mode=mode) as one:
        for frame in streams.frames(14):
            one.see([frame])
            before = streams.state(one)
            logits_of(one)
            for a, b in zip(before, streams.state(one), strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("mode", sorted({*MODES} - {"full"}))  # full says it when it gets there
def test_no_mode_goes_beyond_what_the_model_was_trained_for(adapter: Listening, mode: str) -> None:
    with pytest.raises(ValueError, match=r"trained for 600.*--(window|fps|max-pixels)"):
        config = TakeConfig(mode=mode, fps=1.0, window_s=1000.0)
        find_mode(mode).pace(config, Roomy(adapter, 600))


def test_an_unknown_mode_lists_them() -> None:
    with pytest.raises(ValueError, match=r"mode='best': known are recall, rekv"):
        TakeConfig(mode="best")
    with pytest.raises(ValueError, match="known are"):
        find_mode("best")
    assert all(find_mode(mode).name == mode for mode in MODES)


@pytest.mark.parametrize("asked", [{"select_by": "blind"}, {"plan": plan("recent:2")}])
def test_a_question_cannot_recall_where_the_mode_does_not(
    adapter: Listening, asked: dict[str, Any]
) -> None:
    with streams.session(adapter, mode="window") as one:
        one.see(streams.frames(6))
        with pytest.raises(ValueError, match="mode window recalls nothing"):
            logits_of(one, **asked)


@pytest.mark.parametrize("mode", ["recall", "rekv"])
def test_evidence_names_only_what_some_layer_attended_to(adapter: Listening, mode: str) -> None:
    with streams.session(adapter, mode=mode, window_s=4.0) as one:
        one.see(streams.frames(30))
        chosen = [2, 5]
        held = [info.number for info in one.window.infos] if mode == "recall" else []
        past = one.past()
        asked = Asked(question=QUESTION, select=lambda _s, n: [chosen] * n, decoding=ONE_TOKEN)
        moments = streams.answer(one, asked).evidence
    assert moments
    for moment in moments:
        named = {i.number for i in past if moment.start_s <= i.start_s <= i.end_s <= moment.end_s}
        assert named and named <= {*chosen, *held}


def test_a_question_longer_than_the_context_is_refused_before_anything(adapter: Listening) -> None:
    with streams.session(adapter) as one:
        one.see(streams.frames(6))
        calls = len(adapter.hidden)
        with pytest.raises(ValueError, match="Shorten the question"):
            streams.answer(one, Asked(question="x " * 60_000))
        assert len(adapter.hidden) == calls


def test_outputs_that_are_no_numbers_are_no_answer(
    adapter: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    with streams.session(adapter) as one:
        one.see(streams.frames(6))
        head = adapter._adapter.logits
        monkeypatch.setattr(adapter._adapter, "logits", lambda h: head(h) * float("nan"))
        with pytest.raises(ModelError, match=r"no numbers .*download it again"):
            streams.answer(one, Asked(question=QUESTION))
