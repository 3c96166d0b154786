"""`longtake bench needle`: questions lie where they say, counting is fair, one seed one result."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake import Engine, Take, cli
from longtake.answer import Answer, Moment, Timings
from longtake.asked import Asked
from longtake.bench import needle as bench
from longtake.bench import needle_streams
from longtake.bench.needle_full import SPOKEN
from longtake.bench.needle_score import CONDITIONS, REFERENCE, TOGETHER, Ranked, Tally, Verdict
from longtake.bench.needle_setup import Setup, bytes_per_token
from longtake.bench.needle_streams import (
    KINDS,
    Grid,
    Needle,
    Plan,
    Stream,
    make_stream,
    make_streams,
)
from longtake.bench.statistics import mcnemar, wilson
from longtake.cli.bench import distances
from longtake.models.base import ModelError
from longtake.models.embedded.network import build_model
from longtake.models.embedded.weights_folder import write_folder
from longtake.models.embedded.world import COLORS, SHAPES, Film
from longtake.models.loader import load
from longtake.scope import When, settle
from longtake.settings import TakeConfig
from tests import checkpoints
from tests.chunks import make_chunk

GRID = Grid(frame_s=1.0, frames=2, window=4)
TOP_K = 8


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with random weights."""
    folder = tmp_path_factory.mktemp("untrained") / "model"
    torch.manual_seed(0)
    write_folder(build_model(), folder)
    return folder


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {"seed": 1, "episodes": 2, "distances_s": (8.0,), "top_k": TOP_K}
    return Plan(**(values | changes))


def needle(kind: str = "color", answer: str = "red", distance_s: float = 8.0) -> Needle:
    right = () if answer == "no" else (3, 4)
    return Needle(kind, "what?", answer, distance_s, edge=9, chunks=13, at_s=25.5, right=right)


# -------------------------------------------------------------------- streams and questions


@pytest.mark.parametrize(
    "grid", [GRID, Grid(frame_s=0.5, frames=2, window=3), Grid(frame_s=1.0, frames=1, window=5)]
)
def test_needles_lie_as_far_beyond_the_window_as_they_say(grid: Grid) -> None:
    """The last picture of a thing, looked for frame by frame, is in the last right chunk."""
    missing = Counter({(kind, d): 2 for kind in KINDS for d in (7.0, 40.0)})
    stream = make_stream(3, 0, missing, grid)
    assert Counter((n.kind, n.distance_s) for n in stream.needles) == missing
    for one in stream.needles:
        assert one.chunks == one.edge + grid.window
        frames = one.chunks * grid.frames
        assert (frames - 1) * grid.frame_s < one.at_s < frames * grid.frame_s
        assert one.at_s < stream.film.seconds
        if one.answer == "no":
            assert one.right == ()
            continue
        beyond_s = (one.edge - one.right[-1] - 1) * grid.chunk_s
        assert one.distance_s <= beyond_s < one.distance_s + grid.chunk_s
        words = one.text.strip("?").split()
        seen = [
            i // grid.frames
            for i in range(frames)
            for thing in stream.film.scene_at(i * grid.frame_s).things
            if thing.is_seen(i * grid.frame_s) and fits(thing, words)
        ]
        assert sorted(set(seen)) == list(one.right), "shown elsewhere too, or not there"


def fits(thing: Any, words: list[str]) -> bool:
    named = {word for word in words if word in COLORS or word in SHAPES}
    assert named
    return named <= {thing.shape, thing.color}


def test_every_kind_and_distance_gets_as_many_and_exist_as_many_no_as_yes() -> None:
    wanted = plan(episodes=5, distances_s=(8.0, 32.0))
    found = [n for stream in make_streams(wanted, GRID) for n in stream.needles]
    counts = Counter((n.kind, n.distance_s) for n in found)
    assert counts == {(kind, d): 6 if kind == "exist" else 5 for kind in KINDS for d in (8.0, 32.0)}
    assert len(found) == wanted.questions
    answers = Counter((n.answer, n.distance_s) for n in found if n.kind == "exist")
    assert set(answers.values()) == {3}


def test_a_seed_draws_the_same_streams_and_another_draws_others() -> None:
    def texts(seed: int) -> list[tuple[str, int]]:
        streams = make_streams(plan(seed=seed), GRID)
        return [(n.text, n.edge) for stream in streams for n in stream.needles]

    assert texts(1) == texts(1) != texts(2)


@pytest.mark.parametrize(
    ("text", "found"),
    [("8s,64s", (8.0, 64.0)), ("64, 8,8", (8.0, 64.0)), ("1:30", (90.0,)), ("0.5s", (0.5,))],
)
def test_distances_are_times_in_order(text: str, found: tuple[float, ...]) -> None:
    assert distances(text) == found


# -------------------------------------------------------------------- counting


def verdicts(condition: str, kind: str, expected: str, said: str, count: int) -> list[Verdict]:
    return [Verdict(needle(kind, expected), condition, said)] * count


def test_always_yes_gets_a_half_however_many_no_there_are() -> None:
    tally = Tally((8.0,), layers=2, top_k=4)
    tally.add(
        verdicts("recall", "exist", "yes", "Yes", 30) + verdicts("recall", "exist", "no", "yes", 5),
        [],
    )
    assert tally.share("recall", ["exist"]).accuracy == 0.5
    assert tally.share("recall").accuracy == 0.5
    assert tally.share("recall").n == 35
    assert tally.share("oracle").accuracy is None


def test_yes_without_no_says_nothing() -> None:
    tally = Tally((8.0,), layers=2, top_k=4)
    tally.add(verdicts("recall", "exist", "yes", "yes", 3), [])
    assert tally.share("recall", ["exist"]).accuracy is None
    assert tally.share("recall").n == 0


def test_balanced_counts_give_the_plain_share_and_its_interval() -> None:
    tally = Tally((8.0, 16.0), layers=2, top_k=4)
    tally.add(
        [
            *verdicts("recall", "color", "red", "red", 7),
            *verdicts("recall", "color", "red", "I have not seen that", 3),
            *verdicts("recall", "shape", "star", "star", 9),
            *verdicts("recall", "shape", "star", "ring", 1),
            *verdicts("recall", "exist", "yes", "yes", 5),
            *verdicts("recall", "exist", "no", "no", 4),
            *verdicts("recall", "exist", "no", "yes", 1),
            *[Verdict(needle(distance_s=16.0), "recall", "blue")] * 10,
        ],
        [],
    )
    assert tally.share("recall").accuracy == 25 / 40
    low, high = wilson(25, 40)
    assert (tally.share("recall").low, tally.share("recall").high) == (
        pytest.approx(low, abs=1e-4),
        pytest.approx(high, abs=1e-4),
    )
    by_type, by_distance = tally.by_type(), tally.by_distance()
    assert by_type["color"]["recall"].accuracy == 7 / 20
    assert by_type["shape"]["recall"].accuracy == 0.9
    assert by_type["exist"]["recall"].accuracy == 0.9
    assert by_distance["8"]["recall"].accuracy == pytest.approx(25 / 30, abs=1e-4)
    assert by_distance["16"]["recall"].accuracy == 0.0
    assert tally.questions == 40
    assert "62.5% [47%-76%] 40" in tally.tables()


def test_recall_at_k_counts_the_first_right_chunk() -> None:
    tally = Tally((8.0,), layers=1, top_k=6)
    assert tally.ks == [1, 2, 4, 6]
    for place in (1, 2, 5, None):
        tally.add([], [Ranked(needle(), {"0": place, TOGETHER: 1}, candidates=20)])
    tally.add([], [Ranked(needle("exist", "no"), {"0": None, TOGETHER: None}, candidates=30)])
    assert tally.recall_at_k() == {
        "0": {"1": 0.25, "2": 0.5, "4": 0.5, "6": 0.75},
        TOGETHER: {"1": 1.0, "2": 1.0, "4": 1.0, "6": 1.0},
    }
    assert tally.candidates() == {"8": 22.0}


def test_mcnemar_is_the_tail_of_tossed_coins() -> None:
    assert mcnemar(0, 0) == mcnemar(4, 4) == mcnemar(4, 5) == 1.0
    assert mcnemar(0, 5) == mcnemar(5, 0) == pytest.approx(0.0625)
    assert mcnemar(1, 9) == pytest.approx(22 / 1024)
    assert mcnemar(6, 15) == pytest.approx(0.078354, abs=1e-6)
    with pytest.raises(ValueError, match="0 or more"):
        mcnemar(-1, 2)


def test_a_lossless_memory_is_paired_question_by_question() -> None:
    tally = Tally((8.0,), layers=1, top_k=2)
    told = [("red", "red"), ("red", "blue"), ("blue", "red"), ("green", "blue"), ("blue", "blue")]
    needles = [dataclasses.replace(needle(), text=f"what {i}?") for i in range(len(told))]
    tally.add([Verdict(n, "recall", "red") for n in needles], [])
    assert tally.paired.questions == 0 and "same words" not in tally.tables()
    recalled = [Verdict(n, "recall", here) for n, (_, here) in zip(needles, told, strict=True)]
    lossless = [Verdict(n, REFERENCE, there) for n, (there, _) in zip(needles, told, strict=True)]
    tally.add(recalled + lossless, [])
    assert tally.paired.as_json() == {
        "identical": 0.4,
        "mcnemar": {"p": 1.0, "only_lossless_right": 1, "only_codec_right": 1, "n": 5},
    }
    assert "2 of 5 answers are the same words; 1 were right there alone" in tally.tables()
    with pytest.raises(ValueError, match="is paired with"):
        tally.add(recalled + lossless[::-1], [])


def test_evidence_counts_its_best_moment_and_any() -> None:
    tally = Tally((8.0,), layers=1, top_k=2)
    assert tally.evidence() == {"best": None, "any": None, "n": 0}
    places = (1, 1, 3, None)
    tally.add([Verdict(needle(), "recall", "red", place) for place in places], [])
    tally.add(
        [Verdict(needle("exist", "no"), "recall", "no"), Verdict(needle(), "oracle", "red")], []
    )
    assert tally.evidence() == {"best": 0.5, "any": 0.75, "n": 4}
    assert "a right chunk in 50.0% of 4 questions, any moment in 75.0%" in tally.tables()


def test_evidence_shows_a_needle_where_its_moment_touches_a_right_chunk() -> None:
    def told(*spans: tuple[float, float]) -> Answer:
        moments = tuple(Moment(start_s, end_s, 0.5, "", None) for start_s, end_s in spans)
        return Answer("what?", "red", moments, 0.0, 0.0, 1.0, False, Timings(0.0, 0.0, 0.0, 1))

    right = needle()  # chunks 3 and 4: 6 s to 10 s, with frames at 6, 7, 8 and 9 s
    assert bench.shown(told((0.0, 5.0), (6.0, 7.0)), right, GRID) == 2
    assert bench.shown(told((8.0, 13.0)), right, GRID) == 1
    assert bench.shown(told((2.0, 5.0), (10.0, 11.0)), right, GRID) is None
    assert bench.shown(told(), right, GRID) is None


def test_wilson_is_what_the_tables_say() -> None:
    assert wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson(10, 10) == (pytest.approx(0.7225, abs=1e-4), pytest.approx(1.0))
    assert wilson(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    for right, asked in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="a share needs"):
            wilson(right, asked)


def test_uniform_chunks_are_spread_over_the_whole_past() -> None:
    assert bench.spread(range(10, 26), 4) == [12, 16, 20, 24]
    assert bench.spread(range(3), 4) == [0, 1, 2]
    assert bench.spread(range(0), 4) == []
    for count in range(1, 40):
        found = bench.spread(range(count), 8)
        assert len(set(found)) == min(8, count) and max(found) < count


# -------------------------------------------------------------------- asking


def push(take: Take, film: Film, frames: int) -> None:
    for at_s, picture in islice(film.frames(1.0), frames):
        assert take.push(picture, at_s).accepted
        if int(at_s) % 32 == 31:
            take.drain()
    take.drain()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine("embedded", device="cpu") as loaded:
        yield loaded


def test_asking_at_a_time_is_asking_a_stream_that_ends_there(engine: Engine) -> None:
    """The same answer, the same evidence, for every question of a stream."""
    stream = make_stream(1, 0, Counter({(kind, 16.0): 2 for kind in KINDS}), GRID)
    needles = stream.needles[::3]
    config = TakeConfig(top_k=TOP_K, decoding=SPOKEN)
    with engine.open(config=config) as whole:
        push(whole, stream.film, stream.film.seconds)
        later = [whole.ask(n.text, at_s=n.at_s) for n in needles]
    for one, asked in zip(needles, later, strict=True):
        with engine.open(config=config) as ended:
            push(ended, stream.film, one.chunks * GRID.frames)
            now = ended.ask(one.text)
        assert asked.text == now.text
        assert asked.as_of_s == now.as_of_s == one.chunks * GRID.chunk_s - GRID.frame_s
        assert spans(asked) == spans(now)
        scores = [moment.score for moment in asked.evidence]
        assert scores == pytest.approx([moment.score for moment in now.evidence], abs=1e-3)


def spans(answer: Answer) -> list[tuple[float, float]]:
    return [(moment.start_s, moment.end_s) for moment in answer.evidence]


def test_each_condition_gives_as_many_chunks_and_the_right_ones_are_the_oracles(
    engine: Engine,
) -> None:
    stream = make_stream(1, 0, Counter({("color", 16.0): 1}), GRID)
    (one,) = stream.needles
    given: dict[str, Any] = {}
    with engine.open(config=TakeConfig(top_k=4, decoding=SPOKEN)) as take:
        push(take, stream.film, stream.film.seconds)
        ask = take.ask

        def listen(text: str, **options: Any) -> Answer:
            select = options.get("select")
            if select is not None:

                def spy(known: Any, layers: int) -> Any:
                    assert known.last == one.edge
                    chosen = select(known, layers)
                    given[len(given)] = chosen
                    return chosen

                options["select"] = spy
            return ask(text, **options)

        take.ask = listen  # type: ignore[method-assign]
        said = {v.condition: v for v in bench.ask(take, one, 4, random.Random(0), GRID)}
        take.ask = ask  # type: ignore[method-assign]
        ranked = engine.run(lambda: bench.rank(take._session, one, 4))
    assert set(said) == set(CONDITIONS) - {"full"}
    chosen = [rows[0] for rows in given.values()]
    assert all(rows == [rows[0]] * 4 for rows in given.values()), "layers got different chunks"
    oracle, at_random, uniform, recent, window, blind = chosen
    assert set(oracle) == set(one.right[:4]) or len(one.right) > 4
    assert set(oracle) <= set(one.right) and len(oracle) == min(4, len(one.right))
    assert len(set(at_random)) == len(set(uniform)) == 4
    assert max(at_random) < one.edge and max(uniform) < one.edge
    assert recent == list(range(one.edge - 4, one.edge))
    assert list(window) == list(blind) == []
    assert said["oracle"].is_right and not said["blind"].is_right
    assert ranked.candidates == one.edge and set(ranked.places) == {*"0123", TOGETHER}
    assert all(place is None or 1 <= place <= 4 for place in ranked.places.values())


@pytest.mark.parametrize("apart_s", [0.0, 4.0])
@pytest.mark.parametrize("scores", ["plain", "centred:6"])
def test_the_joint_ranking_is_what_the_model_recalls(
    scores: str, apart_s: float, engine: Engine
) -> None:
    """The first right chunk's place says from which top-k on the engine recalls it."""
    stream = make_stream(2, 0, Counter({(kind, 32.0): 2 for kind in KINDS}), GRID)
    with engine.open(config=Setup(scores=scores, diversity_s=apart_s).config(8)) as take:
        push(take, stream.film, stream.film.seconds)
        session = take._session
        for one in stream.needles:
            place = engine.run(lambda one=one: bench.rank(session, one, 8)).places[TOGETHER]  # type: ignore[misc]
            for k in (1, 2, 4):
                numbers = engine.run(lambda one=one, k=k: recalled(session, one, k))  # type: ignore[misc]
                assert len(set(numbers)) == k
                assert bool(set(numbers) & set(one.right)) == (place is not None and place <= k)
                steps = [after - before for before, after in pairwise(numbers)]
                assert not apart_s or all(step * GRID.chunk_s > apart_s for step in steps)


def recalled(session: Any, one: Needle, k: int) -> Sequence[int]:
    """Chunks that come back to every layer, in time order."""
    asked = Asked(question=one.text, when=When(at_s=one.at_s), top_k=k)
    known = settle(asked.when, session.past(), len(session.window.infos), session.window_shape)
    with torch.inference_mode():
        laid = session.mode.lay(session, asked, session.adapter.prompt(one.text), known)
    numbers = laid.by_layer[0]
    assert all(row == numbers for row in laid.by_layer)
    return list(numbers)


def test_a_stream_cut_otherwise_than_supposed_is_an_error(engine: Engine) -> None:
    with engine.open(config=TakeConfig(decoding=SPOKEN)) as take:
        push(take, Film(random.Random(0), 30), 30)
        shifted = dataclasses.replace(needle(), edge=8)
        select = bench.given(shifted, lambda past: past[-2:])
        with pytest.raises(RuntimeError, match="begins with chunk 9, not with 8"):
            take.ask("was there a star?", at_s=shifted.at_s, select=select)


def test_full_attention_is_the_plain_model_over_the_stream_so_far(untrained: Path) -> None:
    """Questions in between leave no trace: each sees what one forward over everything would."""
    adapter = load(str(untrained), device="cpu")
    whole = bench.WholeStream(adapter, str(untrained))
    heard: list[torch.Tensor] = []
    whole._model.lm_head.register_forward_hook(lambda m, i, out: heard.append(out.detach()))
    images = [picture for _, picture in Film(random.Random(0), 40).frames(1.0)]
    whole.begin(images)
    for chunks in (5, 13, 13, 20):
        asked = dataclasses.replace(needle(), text="was there a red star?", chunks=chunks)
        assert whole.fits(asked)
        heard.clear()
        whole.answer(asked)
        said = heard[0]
        once = whole.first_logits(whole.pixels(images[: 2 * chunks]), asked.text)
        torch.testing.assert_close(said, once, rtol=1e-4, atol=1e-4)  # float32
    assert not whole.fits(dataclasses.replace(needle(), chunks=170))


# -------------------------------------------------------------------- the command


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = cli.main(["bench", "needle", *words, "--json"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert "questions" in shown.err, "no progress"
    result: dict[str, Any] = json.loads(shown.out)
    return result


def test_the_object_has_its_documented_shape_and_a_seed_gives_it_again(
    untrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SCALE", 1)  # small films
    words = ("--model", str(untrained), "--episodes", "1", "--distance", "8s", "--top-k", "2")
    found = run(capsys, *words)
    assert list(found) == [
        *("schema", "machine", "model", "settings", "codec"),
        *("accuracy", "intervals", "recall_at_k", "evidence", "by_type", "by_distance", "n"),
    ]
    assert found["schema"] == "longtake.bench.needle/1"
    assert found["model"]["world_version"] == 1
    assert found["settings"]["distances_s"] == [8.0]
    assert found["settings"].items() >= Setup().as_json().items()
    size = 4 * 2 * 64 * 4  # layers, keys and values, width, float32
    assert found["codec"] == {
        "name": "raw",
        "bytes_per_token": size,
        "identical": None,
        "mcnemar": None,
    }
    assert set(found["accuracy"]) == set(found["intervals"]) == set(CONDITIONS)
    for name, share in found["accuracy"].items():
        low, high = found["intervals"][name]
        assert low <= share <= high
    assert set(found["recall_at_k"]) == {*"0123", "together"}
    assert all(set(row) == {"1", "2"} for row in found["recall_at_k"].values())
    assert set(found["by_type"]) == set(KINDS) and set(found["by_distance"]) == {"8"}
    for group in (*found["by_type"].values(), *found["by_distance"].values()):
        assert set(group) == set(CONDITIONS)
        assert all(set(cell) == {"accuracy", "low", "high", "n"} for cell in group.values())
    assert found["n"]["questions"] == found["n"]["full"] == found["n"]["planned"] == 4
    assert found["n"]["complete"] is True
    assert found["n"]["recall_at_k"] == found["evidence"]["n"] == 3
    assert 0 <= found["evidence"]["best"] <= found["evidence"]["any"] <= 1
    assert run(capsys, *words) == found


def test_a_codec_is_compared_with_a_lossless_memory_of_the_same_film(
    untrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SCALE", 1)  # small films
    codecs: list[str] = []
    opened = Engine.open

    def listen(self: Engine, *given: Any, config: TakeConfig, **others: Any) -> Take:
        codecs.append(config.memory.codec)
        return opened(self, *given, config=config, **others)

    monkeypatch.setattr(Engine, "open", listen)
    words = ("--model", str(untrained), "--episodes", "1", "--distance", "8s", "--top-k", "2")
    found = run(capsys, *words, "--codec", "kivi2", "--scores", "centred:4", "--diversity", "2")
    setup = Setup(codec="kivi2", scores="centred:4", diversity_s=2.0)
    assert found["settings"].items() >= setup.as_json().items()
    assert codecs == ["kivi2", "raw"]
    codec = found["codec"]
    assert codec["name"] == "kivi2" and 0 < codec["bytes_per_token"] < 2048 / 4
    assert 0 <= codec["identical"] <= 1
    assert set(codec["mcnemar"]) == {"p", "only_lossless_right", "only_codec_right", "n"}
    assert codec["mcnemar"]["n"] == found["n"]["questions"] == 4


def test_what_a_codec_changed_is_what_is_asked(engine: Engine) -> None:
    """Neither RAM nor a queue serves chunks as they came; in mode rekv neither."""
    keys = {}
    for codec in ("raw", "kivi2"):
        for mode in ("recall", "rekv"):
            setup = Setup(codec=codec, mode=mode)
            with engine.open(config=bench.Bench(engine, plan(), setup).config) as take:
                push(take, Film(random.Random(0), 40), 40)
                engine.run(take._session.save)
                store = take._session._store
                assert set(store.rungs()) == {codec}
                keys[mode, codec] = store.layer(2, 1)[0]
    for mode in ("recall", "rekv"):
        lossless, lossy = keys[mode, "raw"], keys[mode, "kivi2"]
        assert 0.01 < float((lossy - lossless).norm() / lossless.norm()) < 0.9


def test_bytes_of_a_token_are_those_of_its_codec() -> None:
    torch.manual_seed(0)
    keys, values = torch.randn(2, 2, 3, 70, 16).half()
    chunk = dataclasses.replace(make_chunk(0, tokens=70), keys=keys, values=values)
    assert bytes_per_token("raw", chunk) == 2 * 2 * 3 * 16 * 2
    assert bytes_per_token("int8", chunk) < 0.8 * bytes_per_token("raw", chunk)


def test_streams_are_cut_alike_in_every_mode(engine: Engine) -> None:
    recall, rekv = (bench.Bench(engine, plan(), Setup(mode=mode)) for mode in ("recall", "rekv"))
    assert recall.grid == rekv.grid == GRID
    with engine.open(config=rekv.config) as take:
        assert take.pace.fps == 1.0 and take.pace.window_s == 8.0
        push(take, Film(random.Random(0), 40), 40)
        one = dataclasses.replace(needle(), edge=9, chunks=13, at_s=25.5)
        said = list(bench.ask(take, one, 2, random.Random(0), GRID))
        assert {verdict.condition for verdict in said} == set(CONDITIONS) - {"full"}


def test_what_is_done_is_shown_when_interrupted(
    untrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def interrupted(self: bench.Bench, stream: Any) -> Any:
        if seen:
            raise KeyboardInterrupt
        seen.append(stream)
        return [], [Ranked(n, {"0": 1}, 5) for n in stream.needles]

    monkeypatch.setattr(bench.Bench, "judge", interrupted)
    words = ["bench", "needle", "--model", str(untrained), "--episodes", "4", "--distance", "8s"]
    assert cli.main([*words, "--json"]) == cli.INTERRUPTED
    found = json.loads(capsys.readouterr().out)
    assert found["n"]["complete"] is False and found["n"]["streams"] == 1
    assert found["n"]["questions"] < found["n"]["planned"] == 12
    assert found["accuracy"]["full"] is None and found["intervals"]["full"] is None
    assert cli.main(words) == cli.INTERRUPTED
    assert capsys.readouterr().out == "", "nothing was done"
    seen.clear()
    assert cli.main(words) == cli.INTERRUPTED
    assert "Partial" in capsys.readouterr().out


def test_fewer_questions_than_planned_are_told(
    untrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Films that end before most things have come leave no place for them."""
    monkeypatch.setattr(needle_streams, "LEAD_S", 80)
    monkeypatch.setattr(bench.Bench, "judge", answered_right)
    words = ["bench", "needle", "--model", str(untrained), "--episodes", "4", "--distance", "8s"]
    assert cli.main([*words, "--json"]) == 0
    shown = capsys.readouterr()
    count = json.loads(shown.out)["n"]
    assert 0 < count["questions"] < count["planned"] == 12
    assert count["complete"] is True, "nothing interrupted it"
    told = f"only {count['questions']} of 12 questions could be made"
    assert told in shown.err.splitlines()[-1]
    assert cli.main([*words, "-q"]) == 0
    assert f"- questions: {count['questions']} of 12 planned" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setattr(bench.Bench, "judge", answered_right)
    assert cli.main(words) == 0
    shown = capsys.readouterr()
    assert "could be made" not in shown.err and "- questions: 12 of 12 planned" in shown.out


def answered_right(self: bench.Bench, stream: Stream) -> tuple[list[Verdict], list[Ranked]]:
    """As `Bench.judge`, without a film or a model."""
    return [Verdict(n, "recall", n.answer) for n in stream.needles], []


@pytest.mark.parametrize("version", [None, 77])
def test_weights_of_another_world_are_refused(
    version: int | None,
    untrained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in untrained.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    recipe = json.loads((folder / "longtake.json").read_text())
    (folder / "longtake.json").write_text(json.dumps(recipe | {"world_version": version}))
    assert cli.main(["bench", "needle", "--model", str(folder)]) == cli.MODEL
    told = capsys.readouterr().err
    assert "version 1 of the drawn world" in told
    assert ("names none" if version is None else "knows version 77") in told


def test_a_model_that_never_saw_the_world_is_refused(tmp_path: Path) -> None:
    adapter = load(str(checkpoints.write("qwen2_5_vl", tmp_path / "model")), device="cpu")
    with pytest.raises(ModelError, match="names none"):
        bench.check_world(adapter, "some")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--distance", "0s"], "more than 0 s"),
        (["--distance", "8s,-2s"], "must be seconds"),
        (["--distance", "8s,,16s"], "must be seconds"),
        (["--distance", "far"], "far"),
        (["--episodes", "0"], "episodes=0: must be at least 1"),
        (["--top-k", "0"], "top_k=0: must be at least 1"),
        (["--seed", "x"], "'x' is not a whole number"),
        (["--codec", "zip"], "codec='zip'"),
        (["--index", "tree"], "index='tree'"),
        (["--scores", "high"], "scores='high': must be plain, centred, or centred:N"),
        (["--diversity", "-2"], "diversity_s=-2.0: must be 0"),
        (["--mode", "window"], "mode='window': needles are recalled or not found"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "needle", *words]) == cli.USAGE
    assert told in capsys.readouterr().err
