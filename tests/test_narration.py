"""Lines about a stream: rules by hand and beside plain transformers; what they leave alone."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake.asked import Asked
from longtake.engine import Engine
from longtake.models.decode import Decoding
from longtake.models.embedded.world import Film
from longtake.models.loader import load
from longtake.modes.round_stream import RoundStream
from longtake.narration import rules
from longtake.narration.narration import Line, Narration
from longtake.narration.narrator import Narrator
from longtake.narration.rules import Always, LiveStar, Silence, is_outdated, is_silent, perplexity
from longtake.narration.telling import REQUEST, Telling
from longtake.narration.voice import Voice
from longtake.seeing import MOST_FAILURES
from longtake.settings import MODES, TakeConfig
from tests import conformance, streams
from tests.clips import write_clip
from tests.streams import ONE_TOKEN, Listening

SHORT = Decoding(max_tokens=4)
ASIDE_MODES = [mode for mode in MODES if mode != "streamingvlm"]
CONFIG = TakeConfig(fps=1.0, window_s=4.0, decoding=SHORT)


@pytest.fixture(scope="module")
def adapter(tiny_model: Path) -> Any:
    return load(str(tiny_model), device="cpu")


@pytest.fixture(scope="module")
def engine(adapter: Any) -> Iterator[Engine]:
    with Engine(adapter) as made:
        yield made


def picture(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def spans(lines: Sequence[Line]) -> list[tuple[float, float | None]]:
    return [(line.start_s, line.end_s) for line in lines]


# ------------------------------------------------------------------ rules, by hand


def log(*shares: float) -> Tensor:
    return torch.tensor(shares, dtype=torch.float64).log()


def test_perplexity_is_the_inverse_geometric_mean_of_the_probabilities() -> None:
    assert perplexity(log(0.5, 0.25)) == pytest.approx(math.sqrt(8), rel=1e-12)
    assert perplexity(log(1.0)) == 1.0
    assert perplexity(log(0.2, 0.2, 0.2)) == pytest.approx(5.0, rel=1e-12)
    with pytest.raises(ValueError, match="no perplexity"):
        perplexity(log())


@pytest.mark.parametrize("mean", [-709.0, -710.0, -1e6, -math.inf])
def test_a_perplexity_beyond_a_float_is_infinite(mean: float) -> None:
    found = perplexity(torch.tensor([mean, mean]))
    assert found == (pytest.approx(math.exp(709.0)) if mean == -709.0 else math.inf)


def test_a_line_that_became_impossible_is_outdated_whatever_it_was() -> None:
    assert is_outdated(math.inf, 2.0, 1.03)
    assert is_outdated(math.inf, math.inf, 1.03)
    assert not is_outdated(5.0, math.inf, 1.03)


def test_livestar_speaks_where_its_line_became_impossible() -> None:
    scripted: Any = Scripted([2.0, math.inf, math.inf, math.inf, 3.0], [[5], [6], [7]])
    rule = LiveStar(SHORT)
    assert [rule.decide(scripted) for _ in range(3)] == [[5], [6], [7]]


def test_a_line_is_outdated_beyond_the_ratio_and_not_at_it() -> None:
    assert not is_outdated(2.0, 2.0, 1.0)
    assert is_outdated(2.07, 2.0, 1.03)
    assert not is_outdated(2.05, 2.0, 1.03)


@pytest.mark.parametrize(
    ("shares", "silence", "threshold", "silent"),
    [
        ((0.73, 0.20, 0.07), {0}, 0.725, True),
        ((0.72, 0.21, 0.07), {0}, 0.725, False),
        ((0.40, 0.26, 0.34), {0, 2}, 0.725, True),  # added up: 0.74
        ((0.30, 0.60, 0.10), {0}, 0.25, False),  # above the threshold, and not the likeliest
        ((0.50, 0.30, 0.20), {0}, 0.25, True),
        ((0.10, 0.80, 0.10), {0}, 0.0, False),
        ((0.99, 0.005, 0.005), {0}, 1.0, False),
    ],
)
def test_silence_is_told_by_its_probability(
    shares: tuple[float, ...], silence: set[int], threshold: float, silent: bool
) -> None:
    assert is_silent(log(*shares) + 3.0, silence, threshold) is silent


class Scripted:
    """A voice whose perplexities and lines are known."""

    stop_ids = frozenset({0})
    first_logits = log(0.9, 0.05, 0.05)

    def __init__(self, perplexities: Sequence[float], lines: Sequence[list[int]]) -> None:
        self.perplexities, self.lines = iter(perplexities), iter(lines)

    def log_probs(self, ids: Sequence[int]) -> Tensor:
        return torch.full((len(ids),), -math.log(next(self.perplexities)))  # of inf: -inf

    def speak(self, decoding: Decoding, never: frozenset[int] = frozenset()) -> list[int]:
        return next(self.lines)

    def text(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def test_livestar_speaks_where_its_line_became_unlikely() -> None:
    """Reference 2.0, then 2.06 (1.03 times: stands), 2.061 (over it: speaks, reference 3.0), 3.05
    (stands), 9.0 (speaks, reference 1.0), 1.02 (stands)."""
    scripted: Any = Scripted([2.0, 2.06, 2.061, 3.0, 3.05, 9.0, 1.0, 1.02], [[5], [6, 7], [8]])
    rule = LiveStar(SHORT, ratio=1.03)
    said = [rule.decide(scripted) for _ in range(6)]
    assert said == [[5], [], [6, 7], [], [8], []]
    assert rule.keeps and not Always(SHORT).keeps and not Silence(SHORT).keeps


def test_rules_ask_for_what_they_need(adapter: Any) -> None:
    """Over a real voice: silence and livestar do not begin with an end, always may."""
    with streams.session(adapter) as one:
        one.see(streams.frames(3))
        asked = Asked(question=REQUEST)
        laid = one.mode.lay(one, asked, one.mode.prompt(one, asked), _all(one))
        voice = Voice(adapter, laid.turn, torch.zeros(adapter.shape.trained_tokens))
        voice.first_logits = torch.full((320,), -10.0)
        voice.first_logits[sorted(adapter.stop_ids)] = 0.1  # together 0.9 and more: silence
        voice.first_logits[7] = 0.0
        assert Always(ONE_TOKEN).decide(voice) == []
        assert Silence(ONE_TOKEN, 0.6).decide(voice) == []
        assert Silence(ONE_TOKEN, 0.99).decide(voice) == [7]
        assert LiveStar(ONE_TOKEN).decide(voice) == [7]


def _all(one: Any) -> Any:
    from longtake import scope

    live = len(one.window.infos)
    return scope.settle(scope.When(), one.past(), live, one.window_shape)


def test_a_voice_forgets_what_it_tried(adapter: Any) -> None:
    """In any order, and after a failure, everything is as at first."""
    from longtake.narration.aside import open_aside

    with streams.session(adapter) as one:
        one.see(streams.frames(3))
        voice = open_aside(one, adapter.prompt(REQUEST), Decoding(max_tokens=6), 0)
        line = voice.speak(Decoding(max_tokens=6))
        assert len(line) > 1
        before = voice.log_probs(line)
        voice.speak(Decoding(max_tokens=3, temperature=1.0))
        voice.log_probs(line[::-1])
        assert torch.equal(voice.log_probs(line), before)
        embed = adapter.embed
        try:
            adapter.embed = lambda ids: embed(ids)[:, :-1]  # of the wrong width
            with pytest.raises(RuntimeError):
                voice.log_probs(line)
        finally:
            del adapter.embed
        assert torch.equal(voice.log_probs(line), before)
        assert voice.speak(Decoding(max_tokens=6)) == line
        everything = frozenset(range(len(voice.first_logits)))
        assert voice.speak(Decoding(temperature=1.0), never=everything) == []


# ------------------------------------------------------------------ against plain transformers


def test_livestar_decides_as_plain_transformers_do(
    tiny_model: Path, adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All frames in the window: the plain model over the same embeddings at the same positions,
    one forward a line.  Float32: perplexities of 2 to 300, 1e-4 of them."""
    ratio, decoding, request = 1.2, Decoding(max_tokens=5), "what is there?"
    found: list[float] = []

    def heard(log_probs: Tensor) -> float:
        found.append(perplexity(log_probs))
        return found[-1]

    monkeypatch.setattr(rules, "perplexity", heard)
    listening, narration = Listening(adapter), Narration()
    with streams.session(listening, window_s=100.0) as one:
        telling = Telling(request=request, rule="livestar", ratio=ratio, decoding=decoding)
        one.mode.narrate(one, telling, narration)
        one.see(streams.frames(10))
    narration.close()
    said = [(line.start_s, line.text) for line in narration.whole()]

    plain = conformance.load_plain(tiny_model)
    sink, *steps = streams.parts_of(adapter, listening.seen)
    prompt = adapter.prompt(request).ids

    def logits(upto: int, line: Sequence[int]) -> Tensor:
        text = conformance.text_part(adapter, torch.cat([prompt, torch.tensor(line).long()]))
        whole = conformance.plain_logits(plain, [sink, *steps[:upto], text])
        return whole[-1 - len(line) :]

    def plain_perplexity(upto: int, line: Sequence[int]) -> float:
        rows = logits(upto, line)[:-1].log_softmax(-1)
        return math.exp(-float(rows[range(len(line)), line].sum()) / len(line))

    def greedy(upto: int) -> list[int]:
        line: list[int] = []
        while len(line) < decoding.max_tokens:
            row = logits(upto, line)[-1].clone()
            if not line:
                row[list(adapter.stop_ids)] = float("-inf")
            token = int(row.argmax())
            if token in adapter.stop_ids:
                break
            line.append(token)
        return line

    expected, perplexities, line, reference = [], [], [], 0.0
    for upto in range(1, len(steps) + 1):
        if line:
            perplexities.append(now := plain_perplexity(upto, line))
            assert abs(now / reference - ratio) > 1e-3, "too near to the ratio to decide"
            if now <= ratio * reference:
                continue
        line = greedy(upto)
        perplexities.append(reference := plain_perplexity(upto, line))
        expected.append((upto - 1.0, " ".join(adapter.text(line).split())))
    assert found == pytest.approx(perplexities, rel=1e-4)
    assert said == expected
    assert 2 < len(expected) < 9, "both decisions should come up"


# ------------------------------------------------------------------ asides leave nothing


def run_stream(adapter: Any, mode: str, telling: Telling | None) -> tuple[list[Any], list[Line]]:
    """A stream's state, an answer's logits, and its lines."""
    listening, narration = Listening(adapter), Narration()
    window_s = None if mode == "full" else 4.0
    with streams.session(listening, mode=mode, window_s=window_s) as one:
        if telling is not None:
            one.mode.narrate(one, telling, narration)
        one.see(streams.frames(9))
        state = [*streams.state(one), one.window._rotated.clone()]
        archived = range(one.chunks - len(one.window.infos))
        state += [tensor for n in archived for tensor in one.segment(n)]
        narration.close()
        streams.answer(one, Asked(question="what was there?", decoding=ONE_TOKEN))
        assert listening.last_logits is not None
        state.append(listening.last_logits.clone())
    return state, [*narration.whole()]


@pytest.mark.parametrize("mode", ASIDE_MODES)
def test_a_stream_is_the_same_bit_for_bit_with_its_asides(adapter: Any, mode: str) -> None:
    silent, _ = run_stream(adapter, mode, None)
    told, lines = run_stream(adapter, mode, Telling(decoding=SHORT))
    assert lines
    assert len(silent) == len(told)
    assert all(torch.equal(a, b) for a, b in zip(silent, told, strict=True))


def test_an_aside_attends_to_sink_window_and_request(adapter: Any) -> None:
    """As a question does that recalls nothing; the window has moved."""
    from longtake.narration.aside import open_aside

    listening = Listening(adapter)
    with streams.session(listening, mode="window", window_s=4.0) as one:
        one.see(streams.frames(11))
        streams.answer(one, Asked(question=REQUEST, decoding=ONE_TOKEN))
        assert listening.last_logits is not None
        asked = listening.last_logits[-1].clone()
        voice = open_aside(one, adapter.prompt(REQUEST), SHORT, 0)
        assert torch.equal(voice.first_logits, asked)


def test_more_context_than_the_model_was_trained_for_ends_the_narration(adapter: Any) -> None:
    narration = Narration()
    with streams.session(adapter, mode="full", window_s=None) as one:
        long = Telling(request="word " * 2000, decoding=Decoding(max_tokens=4000))
        one.mode.narrate(one, long, narration)
        one.see(streams.frames(3))
        assert one.chunks == 3, "the stream goes on"
    with pytest.raises(ValueError, match="trained for 4096"):
        next(narration)


# ------------------------------------------------------------------ lines in the stream


def stream_of(one: Any) -> RoundStream:
    stream = one.stream
    assert isinstance(stream, RoundStream)
    return stream


def speech_of(one: Any) -> Any:
    return stream_of(one).speech


def test_in_streamingvlm_a_narration_gives_the_lines_of_the_stream(adapter: Any) -> None:
    """Its own rule and decoding change nothing: the stream is the one nobody listens to."""
    told: list[list[tuple[float, str]]] = []
    states, narration = [], Narration()
    for is_narrated in (False, True):
        heard: list[tuple[float, str]] = []
        with streams.session(adapter, mode="streamingvlm", window_s=4.0) as one:
            if is_narrated:
                one.mode.narrate(one, Telling(), narration)
            speech_of(one).told.append(
                lambda start_s, _, ids, heard=heard: heard.append((start_s, adapter.text(ids)))
            )
            one.see(streams.frames(6))
            states.append(streams.state(one))
        told.append(heard)
    narration.close()
    assert told[0] == told[1] and len(told[0]) == 6
    expected = [(s, " ".join(t.removesuffix("...").split())) for s, t in told[1] if t.strip()]
    assert [(line.start_s, line.text) for line in narration] == expected
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_in_streamingvlm_what_a_narration_skips_is_silence(adapter: Any) -> None:
    narration, heard = Narration(), []
    with streams.session(adapter, mode="streamingvlm", window_s=4.0) as one:
        one.mode.narrate(one, Telling(request="what is it?", every_s=3.0), narration)
        speech_of(one).told.append(lambda start_s, _, ids: heard.append((start_s, bool(ids))))
        one.see(streams.frames(5))
        assert [start_s for start_s, spoke in heard if spoke] == [0.0, 3.0]
        narration.close()
        one.see(streams.frames(7)[5:])
        assert speech_of(one).speak is None and stream_of(one).request == "what is it?"
    assert spans([*narration.whole()]) == [(0.0, 3.0), (3.0, 5.0)]


def test_in_streamingvlm_what_cannot_be_is_refused(adapter: Any) -> None:
    with streams.session(adapter, mode="streamingvlm", window_s=4.0) as one:
        with pytest.raises(ValueError, match="at most 20"):
            one.mode.narrate(one, Telling(decoding=Decoding(max_tokens=21)), Narration())
        one.see(streams.frames(2))
        with pytest.raises(ValueError, match="before its first frame"):
            one.mode.narrate(one, Telling(request="another thing?"), Narration())
        one.mode.narrate(one, Telling(), Narration())
        assert stream_of(one).request == REQUEST


def test_in_streamingvlm_a_failing_rule_leaves_the_stream_whole(
    adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    narration = Narration()
    with streams.session(adapter, mode="streamingvlm", window_s=4.0) as one:
        one.mode.narrate(one, Telling(rule="livestar", decoding=SHORT), narration)
        one.see(streams.frames(1))
        monkeypatch.setattr(LiveStar, "decide", _fail)
        one.see(streams.frames(5)[1:])
        assert one.chunks == 5 and len(one.window.infos) == 4
    assert next(narration).start_s == 0.0
    with pytest.raises(ArithmeticError, match="broken"):
        next(narration)


def _fail(*_: Any) -> Any:
    raise ArithmeticError("broken")


# ------------------------------------------------------------------ moments and silence


def test_moments_lie_on_a_grid_of_every_s() -> None:
    telling = Telling(every_s=0.3).settle("always", SHORT)
    narrator = Narrator(telling, Narration(), 0.1)
    due = [tenth for tenth in range(13) if narrator.is_due(5 + tenth * 0.1)]
    assert due == [0, 3, 6, 9, 12]
    narrator = Narrator(Telling(every_s=3.0).settle("always", SHORT), Narration(), 1.0)
    assert [s for s in range(1, 20, 2) if narrator.is_due(s)] == [1, 5, 7, 11, 13, 17, 19]


@pytest.mark.parametrize(("rule", "end_s"), [("livestar", 9.0), ("silence", 4.0), ("always", 4.0)])
def test_silence_ends_a_line_unless_the_rule_says_that_it_stands(rule: str, end_s: float) -> None:
    narration = Narration()
    narrator = Narrator(Telling(rule=rule).settle("always", SHORT), narration, 1.0)
    for start_s, text in ((2.0, "a  dog\nbarks"), (4.0, ""), (6.0, " "), (8.0, "")):
        narrator.is_due(start_s)
        narrator.tell(start_s, text)
    narration.end()
    assert [*narration.whole()] == [Line(2.0, end_s, "a dog barks")]


# ------------------------------------------------------------------ lines on their way


def test_a_line_is_given_out_at_once_and_whole_when_its_end_is_known() -> None:
    narration = Narration()
    assert narration.poll() is None
    narration.add(1.0, "one")
    assert narration.poll(whole=True) is None
    assert narration.poll() == Line(1.0, None, "one")
    narration.add(2.0, "two")
    narration.add(3.0, "three")
    assert narration.poll() == Line(2.0, 3.0, "two"), "its end is known by now"
    narration.fall_silent(5.0)
    narration.add(7.0, "seven")
    narration.reach(8.0)
    narration.end()
    narration.add(9.0, "too late")
    assert [*narration.whole()] == [Line(3.0, 5.0, "three"), Line(7.0, 8.0, "seven")]
    assert [*narration] == [] and narration.is_over


def test_a_full_queue_drops_the_oldest_lines_counted() -> None:
    narration = Narration(capacity=3)
    for second in range(10):
        narration.add(float(second), str(second))
    narration.close()
    assert [line.text for line in narration] == ["7", "8", "9"] and narration.dropped == 7


def test_a_failure_comes_behind_the_last_line_every_time() -> None:
    narration = Narration()
    narration.add(1.0, "one")
    narration.fail(ArithmeticError("broken"))
    narration.fail(KeyError("too late"))
    assert next(narration) == Line(1.0, 1.0, "one")
    for _ in range(2):
        with pytest.raises(ArithmeticError, match="broken"):
            next(narration)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"request": " "}, "the request is empty"),
        ({"request": "caf\udce9"}, "no UTF-8"),
        ({"every_s": 0.0}, "every_s=0.0"),
        ({"every_s": math.inf}, "every_s=inf"),
        ({"every_s": math.nan}, "every_s=nan"),
        ({"every_s": 0.00099}, "every_s=0.00099: must be at least 0.001 seconds"),
        ({"every_s": 1e-320}, "at least 0.001 seconds"),
        ({"rule": "sometimes"}, "livestar, silence, always"),
        ({"ratio": 0.0}, "ratio=0.0"),
        ({"threshold": 1.5}, "threshold=1.5"),
    ],
)
def test_values_without_sense_are_refused(
    engine: Engine, values: dict[str, Any], said: str
) -> None:
    with engine.open(config=CONFIG) as take, pytest.raises(ValueError, match=said):
        take.narrate(**values)


# ------------------------------------------------------------------ takes


def test_a_watched_file_is_narrated_to_its_end(engine: Engine, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=9, fps=4)
    with engine.open(tmp_path / "memory", CONFIG) as take:
        narration = take.narrate(rule="always")
        take.watch(clip)
        lines = [*narration]
        assert [line.start_s for line in lines] == [float(s) for s in range(9)]
        assert take.stats().chunks == 9
        assert take.ask("what was there?").coverage == 1.0
        again = take.narrate(rule="always")
        assert take.watch(clip).is_known
        assert [*again] == [], "seen before"


def test_pushed_frames_are_narrated_while_another_thread_listens(engine: Engine) -> None:
    heard: list[Line] = []
    with engine.open(config=CONFIG) as take:
        take.push(picture(0), 0.0)
        take.drain()
        with take.narrate(rule="always", every_s=2.0) as narration:
            listener = threading.Thread(target=lambda: heard.extend(narration))
            listener.start()
            for second in range(1, 8):
                assert take.push(picture(second), float(second)).accepted
            take.drain()
            with pytest.raises(RuntimeError, match="narrated already"):
                take.narrate()
        listener.join()
        assert [line.start_s for line in heard] == [1.0, 3.0, 5.0, 7.0]
        take.push(picture(8), 8.0)
        take.drain()
        second_one = take.narrate(rule="always")
        take.push(picture(9), 9.0)
    assert spans([*second_one.whole()]) == [(9.0, 10.0)], "closing the take ends it"
    with pytest.raises(RuntimeError, match="closed"):
        take.narrate()


def test_what_goes_wrong_while_narrating_reaches_the_listener_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.open(config=CONFIG) as take:
        narration = take.narrate(rule="livestar")
        take.push(picture(0), 0.0)
        take.drain()
        monkeypatch.setattr(LiveStar, "decide", _fail)
        for second in range(1, 4):
            assert take.push(picture(second), float(second)).accepted
        take.drain()
        assert take.stats().chunks == 4
        assert next(narration).start_s == 0.0
        with pytest.raises(ArithmeticError, match="broken"):
            next(narration)
        monkeypatch.undo()
        take.narrate().close()


@pytest.mark.parametrize("place", ["_is_first", "tell"])
@pytest.mark.parametrize("mode", ["recall", "streamingvlm"])
def test_no_part_of_a_narrator_can_fail_the_frames(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, mode: str, place: str
) -> None:
    """Its own sums, or its listener's queue: the stream goes on, and the listener is told."""
    with engine.open(config=replace(CONFIG, mode=mode)) as take:
        narration = take.narrate(rule="always")
        broken = (Narrator, "_is_first") if place == "_is_first" else (Narration, "add")
        monkeypatch.setattr(*broken, _fail)
        for second in range(4):
            assert take.push(picture(second), float(second)).accepted
        take.drain()
        assert take.stats().chunks == 4
        with pytest.raises(ArithmeticError, match="broken"):
            next(narration)


def test_a_time_beyond_all_moments_ends_the_narration_and_no_more() -> None:
    narration = Narration()
    narrator = Narrator(Telling(every_s=0.001).settle("always", SHORT), narration, 1.0)
    assert narrator.is_due(0.0)
    assert not narrator.is_due(1e308) and narration.is_over
    with pytest.raises(OverflowError):
        next(narration)


def test_frames_that_fail_end_the_narration_with_the_reason(
    engine: Engine, adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.open(config=CONFIG) as take:
        narration = take.narrate()
        monkeypatch.setattr(adapter, "steps", _fail, raising=False)
        for second in range(MOST_FAILURES):  # once may be an accident
            assert not narration.is_over
            take.push(picture(0), float(second))
            with pytest.raises(ArithmeticError, match="broken"):
                take.drain()
        with pytest.raises(ArithmeticError, match="broken"):
            next(narration)


def test_a_model_that_says_nothing_is_silent(ending_model: Path) -> None:
    with Engine(str(ending_model), device="cpu") as engine, engine.open(config=CONFIG) as take:
        for rule in rules.RULES:
            with take.narrate(rule=rule) as narration:
                newest_s = take.stats().newest_s
                for second in range(1, 4):
                    take.push(picture(second), newest_s + second)
                take.drain()
            assert [*narration] == []


# ------------------------------------------------------------------ the embedded model


def test_the_embedded_model_says_what_the_star_is_like_now() -> None:
    """In the middle of each scene: the colour of its star, or that there is none."""
    film = Film(random.Random(4), 48)
    config = TakeConfig(window_s=2.0)
    with Engine("embedded", device="cpu") as engine, engine.open(config=config) as take:
        narration = take.narrate("what colour was the star?")
        for pts_s, image in film.frames():
            take.push(image, pts_s)
        take.drain()
        narration.close()
    lines = [*narration.whole()]
    assert lines[0].start_s == 0.0 and lines[-1].end_s == 48.0
    assert all(a.end_s == b.start_s for a, b in pairwise(lines)), "livestar: each stands"
    for scene in film.scenes:
        stars = [t.color for t in scene.things if t.shape == "star"]
        about_s = (scene.start_s + min(scene.end_s, 48.0)) / 2
        held = [line.text for line in lines if line.start_s <= about_s < (line.end_s or 0.0)]
        assert held == (stars or ["I have not seen that"]), f"at {about_s} s"
