"""Mode streamingvlm against a plain twin: what the tokens that it retains give, in one dense pass.

Rounds, their lines, the request; steps that fail.  Tolerances as in `tests.conformance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtake.asked import Asked
from longtake.models.decode import Decoding
from longtake.modes import find_mode, round_stream
from longtake.scope import When
from longtake.settings import TakeConfig
from tests import dense, streams
from tests.conformance import QUESTION, Twins, plain_logits, text_part
from tests.modes import Roomy, logits_of
from tests.streams import Listening


@pytest.fixture
def short_text(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Little previous text, so that it is trimmed soon."""
    monkeypatch.setattr(round_stream, "TEXT_SINK", 5)
    monkeypatch.setattr(round_stream, "TEXT_WINDOW", 7)
    yield


class Rounds:
    """The twin: which tokens StreamingVLM retains, said by part and token."""

    def __init__(self, adapter: Any, most: int, text_sink: int, text_window: int) -> None:
        self.adapter, self.most = adapter, most
        self.text_sink, self.text_window = text_sink, text_window
        self.parts: list[dense.Part] = []
        self.retained: list[list[tuple[int, int]]] = []  # for each part: (part, token) before it
        self._rounds: list[dict[str, list[int]]] = []
        self._lines: list[tuple[int, int]] = []  # tokens of previous text
        self._outer: list[int] = []

    def put(self, part: dense.Part) -> int:
        before = [(p, t) for p in self._outer[:1] for t in range(len(self.parts[p].embeds))]
        before += self._lines
        rest = [*self._outer[1:], *(p for r in self._rounds for p in r["all"])]
        before += [(p, t) for p in rest for t in range(len(self.parts[p].embeds))]
        self.retained.append(before)
        self.parts.append(part)
        return len(self.parts) - 1

    def outer(self, part: dense.Part) -> None:
        self._outer.append(self.put(part))

    def begin(self) -> None:
        while len(self._rounds) >= self.most:
            oldest = self._rounds.pop(0)
            for line in oldest["line"]:
                self._lines += [(line, t) for t in range(len(self.parts[line].embeds))]
            if len(self._lines) > self.text_sink + self.text_window:
                self._lines = self._lines[: self.text_sink] + self._lines[-self.text_window :]
        self._rounds.append({"all": [], "line": []})

    def add(self, part: dense.Part, kind: str = "") -> int:
        number = self.put(part)
        self._rounds[-1]["all"].append(number)
        if kind:
            self._rounds[-1][kind].append(number)
        return number

    def view(self, part: int) -> dense.View:
        """Contiguous places for what is retained, nothing else visible."""
        before = self.retained[part]
        order = list(dict.fromkeys(p for p, _ in before))
        tokens = {p: [t for q, t in before if q == p] for p in order}
        placed, visible, behind = [], [], 0
        for p in [*order, part]:
            offsets = self.parts[p].offsets
            kept = tokens.get(p, list(range(offsets.shape[1]))) if p != part else None
            if kept is None or len(kept) == offsets.shape[1]:
                placed.append(offsets + behind)
                visible.append(torch.ones(offsets.shape[1], dtype=torch.bool))
                behind = int(placed[-1].max()) + 1
                continue
            where = torch.zeros_like(offsets)  # a line of which a part was trimmed away
            where[:, kept] = behind + torch.arange(len(kept))
            mask = torch.zeros(offsets.shape[1], dtype=torch.bool)
            mask[kept] = True
            placed.append(where)
            visible.append(mask)
            behind += len(kept)
        own = self.parts[part].offsets.shape[1]
        total = sum(v.shape[0] for v in visible)
        seen = torch.cat(visible).expand(own, -1).clone()
        seen[:, total - own :] &= torch.ones(own, own, dtype=torch.bool).tril()
        return dense.View(order, torch.cat(placed, 1), None, seen)


def stream_rounds(
    adapter: Listening, rounds: int, most: int, steps: int = 1
) -> tuple[Rounds, list[Tensor], Any]:
    """Run the mode over noise; its twin's parts, and the logits at each line's beginning.

    Args:
        most: rounds that are kept.
        steps: of a round.
    """
    heard: list[Tensor] = []
    lines: list[list[int]] = []
    each = adapter.recipe.frames_per_step
    decoding = Decoding(max_tokens=4)

    def speak(voice: Any, start_s: float, end_s: float) -> Sequence[int]:
        heard.append(voice.first_logits.clone())
        lines.append(list(voice.speak(decoding, voice.stop_ids)))
        if len(lines) % 5 == 4:
            lines[-1] = []  # silence
        return lines[-1]

    rate = {"fps": float(steps * each), "window_s": float(most)}
    with streams.session(adapter, mode="streamingvlm", **rate) as one:
        stream: Any = one.stream
        stream.speech.speak = speak
        shown = streams.frames(rounds * steps * each)
        for frame in shown:
            one.see([frame])
        logits = logits_of(one)
        pieces = stream.conversation
        infos = one.window.infos
        assert stream.window.previous_tokens <= 12
        assert len(infos) == min(rounds, most) * steps
        assert [i.number for i in one.past()] == list(range(rounds * steps))
        prompt = pieces.question(QUESTION)
    twin = Rounds(adapter, most, 5, 7)
    twin.outer(text_part(adapter, torch.tensor(pieces.head_ids())))
    if pieces.foot_ids():
        twin.outer(text_part(adapter, torch.tensor(pieces.foot_ids())))
    seen = streams.parts_of(adapter, adapter.seen)[1:]
    closings = []
    for i, line in enumerate(lines):
        start_s = shown[i * steps * each].pts_s
        opened, closed = pieces.round_ids(start_s, start_s + 1.0, is_first=i == 0)
        twin.begin()
        twin.add(text_part(adapter, torch.tensor(opened)))
        for step in seen[i * steps : (i + 1) * steps]:
            twin.add(step)
        closings.append(twin.add(text_part(adapter, torch.tensor(closed))))
        if line:
            twin.add(text_part(adapter, torch.tensor(line)), "line")
        twin.add(text_part(adapter, torch.tensor(pieces.end_ids())))
    twin.put(text_part(adapter, prompt.ids))
    return twin, [*heard, logits], closings


@pytest.mark.usefixtures("short_text")
@pytest.mark.parametrize(("rounds", "steps"), [(11, 1), (6, 2)])
def test_streamingvlm_is_what_its_retained_tokens_give(
    twins: Twins, adapter: Listening, rounds: int, steps: int
) -> None:
    twin, heard, closings = stream_rounds(adapter, rounds, most=3, steps=steps)
    hidden = dense.run(twins.decoder, twin.parts, lambda _layer, part: twin.view(part))
    for ours, part in zip(heard, [*closings, len(twin.parts) - 1], strict=True):
        expected = twins.plain.lm_head(hidden[part][-1])
        assert streams.worst(ours, expected) <= twins.tolerance


@pytest.mark.usefixtures("short_text")
@torch.no_grad()
def test_streamingvlm_is_one_plain_forward_while_nothing_left(
    twins: Twins, adapter: Listening
) -> None:
    """In transformers' own classes, its own causal mask, contiguous position ids."""
    twin, heard, closings = stream_rounds(adapter, rounds=4, most=6)
    logits = plain_logits(twins.plain, twin.parts)
    ends = torch.tensor([len(p.embeds) for p in twin.parts]).cumsum(0)
    for ours, part in zip(heard, [*closings, len(twin.parts) - 1], strict=True):
        assert streams.worst(ours, logits[ends[part] - 1]) <= twins.tolerance


def test_streamingvlm_has_the_papers_numbers(adapter: Listening) -> None:
    pace = find_mode("streamingvlm").pace(TakeConfig(), Roomy(adapter, 1 << 20))
    assert (pace.fps, pace.window_s) == (2.0, 16.0)
    assert round_stream.TEXT_SINK == round_stream.TEXT_WINDOW == 512
    line = round_stream.LINE
    assert (line.max_tokens, line.temperature, line.repetition_penalty) == (20, 0.9, 1.05)


def test_streamingvlm_keeps_no_earlier_windows(adapter: Listening) -> None:
    with streams.session(adapter, mode="streamingvlm") as one:
        one.see(streams.frames(6))
        with pytest.raises(ValueError, match="--mode recall"):
            streams.answer(one, Asked(question=QUESTION, when=When(at_s=2.0)))


@pytest.mark.parametrize("when", ["opening", "frames", "line"])
def test_a_round_that_fails_leaves_everything_as_it_was(
    adapter: Listening, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, when: str
) -> None:
    """Nothing is lost either: the memory holds every chunk that was seen, before and after."""
    each = adapter.recipe.frames_per_step
    where: dict[str, Any] = {"mode": "streamingvlm", "folder": tmp_path / "take"}
    where |= {"fps": float(each), "window_s": 3.0}
    shown = streams.frames(8 * each)
    with streams.session(adapter, **where) as one:
        one.see(shown[: 6 * each])
        before, past = streams.state(one), [info.number for info in one.past()]
        decode, left = adapter._adapter.decode_step, {"opening": 0, "frames": 1, "line": 3}[when]

        def fail(*args: Any) -> Tensor:
            nonlocal left
            if left == 0:
                raise RuntimeError("out of memory")
            left -= 1
            return decode(*args)

        with monkeypatch.context() as broken:
            broken.setattr(adapter._adapter, "decode_step", fail)
            with pytest.raises(RuntimeError, match="out of memory"):
                one.see(shown[6 * each : 7 * each])
        assert [info.number for info in one.past()] == past
        for a, b in zip(before, streams.state(one), strict=True):
            assert torch.equal(a, b)
        one.see(shown[7 * each :])
        seen = one.chunks
    with streams.session(adapter, **where) as one:
        assert [info.number for info in one.past()] == list(range(seen))
        assert not one.window.infos


def test_lines_are_sampled_from_the_seed_and_differ_by_round(adapter: Listening) -> None:
    """The same numbers in every round would say the same thing over the same picture."""
    each = adapter.recipe.frames_per_step
    still = [replace(f, image=streams.frames(1)[0].image) for f in streams.frames(6 * each)]
    said: dict[int, list[Sequence[int]]] = {}
    for seed in (1, 1, 2):
        lines: list[Sequence[int]] = []
        decoding = Decoding(seed=seed)
        rate = {"fps": float(each), "window_s": 3.0, "decoding": decoding}
        with streams.session(adapter, mode="streamingvlm", **rate) as one:
            stream: Any = one.stream
            stream.speech.told.append(lambda _a, _b, ids, to=lines: to.append(tuple(ids)))
            one.see(still)
        assert said.setdefault(seed, lines) == lines
    assert said[1] != said[2]
    assert len(set(said[1])) > 1


def test_a_request_opens_no_turn_and_leaves_with_its_round(adapter: Listening) -> None:
    special = adapter.template._special
    stop = max(special, key=len)
    honest, sneaky = (adapter.conversation(f"tell {x} what you see") for x in (" ", stop))
    ids = [c.round_ids(0.0, 1.0, is_first=True)[1] for c in (honest, sneaky)]
    marks = set(adapter.template.encode(stop))
    assert sum(i in marks for i in ids[0]) == sum(i in marks for i in ids[1])
    first, later = (honest.round_ids(0.0, 1.0, is_first=is_first) for is_first in (True, False))
    assert len([*later[0], *later[1]]) < len([*first[0], *first[1]])
    with pytest.raises(ValueError, match="at least one word"):
        adapter.conversation(stop)


@pytest.mark.parametrize("question", ["an", "user", "assistant", "what was there?"])
def test_a_questions_own_words_are_found_in_its_turn(adapter: Listening, question: str) -> None:
    prompt = adapter.conversation("tell").question(question)
    assert adapter.template.text(prompt.ids[prompt.asked].tolist()) == question
    elsewhere = prompt.asked.nonzero()
    assert int(elsewhere[-1] - elsewhere[0]) + 1 == len(elsewhere), "one stretch"


def test_a_request_beyond_the_trained_context_is_refused(adapter: Listening) -> None:
    each = adapter.recipe.frames_per_step
    rate = {"fps": float(each), "window_s": 3.0}
    with streams.session(adapter, mode="streamingvlm", **rate) as one:
        stream: Any = one.stream
        stream.ask_for("tell me everything " * 1500)
        with pytest.raises(ValueError, match=r"trained for .*--request"):
            one.see(streams.frames(each))
        assert not one.window.infos


def test_streamingvlm_says_that_an_opened_memory_has_no_rounds(
    adapter: Listening, tmp_path: Path
) -> None:
    where: dict[str, Any] = {"mode": "streamingvlm", "folder": tmp_path / "m"}
    with streams.session(adapter, **where) as one:
        one.see(streams.frames(4))
    with streams.session(adapter, **where) as one:
        with pytest.raises(ValueError, match="begins with no rounds"):
            logits_of(one)
        one.see(streams.frames(8)[4:])
        logits_of(one)
