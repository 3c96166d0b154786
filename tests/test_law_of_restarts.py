"""Law 9 over odd sequences: however a stream comes in, it ends as if it had come in quietly.

A stream is watched or pushed in pieces, and between them somebody asks, gives up asking, stops
the reading, interrupts, kills, closes and opens.  At the end chunks, window, index, pictures and
answers are those of one run that nobody disturbed:

* numbers, times and cameras of chunks are equal, and so are the answers' words and spans;
* a chunk that was once durable never changes: it stays bit for bit what it was;
* without a restart all keys and values are equal bit for bit, whatever was asked in between;
* after a restart those of later chunks are equal within rounding: the window was put back at the
  front, so its keys turn by other angles on their way to the same scores.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.answer import Answer
from longtake.engine import Engine
from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.config import MemoryConfig
from longtake.models.decode import Decoding
from longtake.settings import TakeConfig
from longtake.take import Take
from tests.clips import write_clip
from tests.streams import worst
from tests.walks import (
    HAPPENINGS,
    LONG_S,
    QUESTIONS,
    Gate,
    Pushing,
    Turn,
    Walk,
    Watching,
    gated,
    pushed_frames,
    stored,
)

TOLERANCE = {torch.float32: 2e-5}  # keys of size 5; 2e-6 was seen after many restarts


# ------------------------------------------------------------------ where it ends


@dataclass(frozen=True)
class End:
    """Everything that a stream has become."""

    infos: list[ChunkInfo]
    chunks: list[Chunk]
    window: list[int]
    indexed: list[int]
    pictures: list[bytes | None]
    answers: list[Answer]


def end_of(engine: Engine, take: Take) -> End:
    session = take._session

    def look() -> End:
        in_window = session.window.chunks()
        evicted = stored(take)[: session.chunks - len(in_window)]
        return End(
            session.past(),
            [*evicted, *in_window],
            [chunk.info.number for chunk in in_window],
            session.index.numbers().tolist(),
            [session.thumbnail(info.number) for info in session.past()],
            [],
        )

    found = engine.run(look)
    found.answers.extend(take.ask(question) for question in QUESTIONS)
    return found


def assert_same(end: End, expected: End, tolerance: float) -> None:
    assert end.infos == expected.infos
    assert [chunk.info for chunk in end.chunks] == expected.infos
    assert (end.window, end.indexed) == (expected.window, expected.indexed)
    assert end.pictures == expected.pictures
    for chunk, twin in zip(end.chunks, expected.chunks, strict=True):
        assert torch.equal(chunk.positions, twin.positions)
        assert worst(chunk.keys, twin.keys) <= tolerance
        assert worst(chunk.values, twin.values) <= tolerance
    for answer, twin in zip(end.answers, expected.answers, strict=True):
        assert (answer.text, answer.partial) == (twin.text, twin.partial)
        assert spans(answer) == spans(twin)
        assert (answer.as_of_s, answer.coverage) == (twin.as_of_s, 1.0)


def spans(answer: Answer) -> list[tuple[float, float, str]]:
    return [(m.start_s, m.end_s, m.camera) for m in answer.evidence]


# ------------------------------------------------------------------ the law

Start = Callable[[TakeConfig, Path], Walk]
Check = Callable[[list[Turn], TakeConfig], None]


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    with gated() as made:
        yield made


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("clips")
    first = write_clip(folder / "first.mp4", seconds=12, fps=4)
    return first, write_clip(folder / "second.mp4", seconds=7, fps=2, seed=1)


@pytest.fixture(scope="module", params=["watched", "pushed"])
def start(
    request: pytest.FixtureRequest, engine: Engine, clips: tuple[Path, Path], gate: Gate
) -> Start:
    if request.param == "watched":
        return lambda config, folder: Watching(engine, config, folder, gate, clips=clips)
    return lambda config, folder: Pushing(engine, config, folder, gate)


@pytest.fixture(scope="module")
def check(start: Start) -> Check:
    """Whether a stream to which this happens ends as one to which nothing did."""
    _, quiet = walk(start, [], settled())

    def compare(turns: list[Turn], config: TakeConfig) -> None:
        one, end = walk(start, turns, config)
        assert_same(end, quiet, TOLERANCE[torch.float32] if one.restarts else 0.0)

    return compare


def settled(commit_s: float = 0.0, ram_bytes: int = 1 << 20, batch_frames: int = 1) -> TakeConfig:
    memory = MemoryConfig(commit_s=commit_s, ram_bytes=ram_bytes, index="exact")
    return TakeConfig(
        fps=1.0,
        window_s=4.0,
        top_k=2,
        batch_frames=batch_frames,
        decoding=Decoding(max_tokens=3),
        memory=memory,
    )


def walk(start: Start, turns: list[Turn], config: TakeConfig) -> tuple[Walk, End]:
    with tempfile.TemporaryDirectory() as folder:
        one = start(config, Path(folder) / "take")
        try:
            for seen, what, waiting in turns:
                one.show(seen)
                one.take.drain()
                one.show(waiting)
                getattr(one, what)()
            one.finish()
            one.keep()
            return one, end_of(one.engine, one.take)
        finally:
            one.take.close()


WALKS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from(HAPPENINGS), st.integers(0, 2)), max_size=7
)
CONFIGS = st.builds(
    settled,
    commit_s=st.sampled_from([0.0, 1e9]),  # every chunk durable at once; none before a close
    ram_bytes=st.sampled_from([0, 1 << 20]),
    batch_frames=st.sampled_from([1, 5, 16]),
)


@settings(max_examples=14, deadline=None, derandomize=True)
@given(turns=WALKS, config=CONFIGS)
def test_law_9_whatever_happens_a_stream_ends_as_undisturbed(
    check: Check, turns: list[Turn], config: TakeConfig
) -> None:
    check(turns, config)


@pytest.mark.long
@settings(max_examples=400, deadline=None, derandomize=True)
@given(turns=WALKS, config=CONFIGS)
def test_law_9_over_many_more_sequences(
    check: Check, turns: list[Turn], config: TakeConfig
) -> None:
    check(turns, config)


@pytest.mark.parametrize("what", HAPPENINGS)
def test_law_9_whatever_happens_again_and_again(check: Check, what: str) -> None:
    check([(2, what, 1)] * 6, settled())


# ------------------------------------------------------------------ odd places to stop at


@pytest.mark.parametrize("what", ["stop", "reopen"])
def test_stopping_twice_at_one_place_keeps_it(
    engine: Engine, clips: tuple[Path, Path], gate: Gate, what: str
) -> None:
    def start(config: TakeConfig, folder: Path) -> Walk:
        return Watching(engine, config, folder, gate, clips=clips)

    _, quiet = walk(start, [], settled())
    _, end = walk(start, [(3, what, 0), (0, what, 0), (0, what, 0)], settled())
    assert_same(end, quiet, TOLERANCE[torch.float32])


@pytest.fixture(scope="module")
def in_pairs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two frames are one step, as in the embedded model."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("pairs") / "model")
    (folder / "longtake.json").write_text(json.dumps({"frames_per_step": 2}))
    with Engine(str(folder), device="cpu") as made:
        yield made


@pytest.mark.parametrize("frames", [4, 5])
@pytest.mark.parametrize("what", ["stop", "reopen", "leave_by_interrupt", "kill"])
def test_a_clip_cut_within_a_step_is_read_again_from_there(
    in_pairs: Engine,
    clips: tuple[Path, Path],
    gate: Gate,
    what: str,
    frames: int,
) -> None:
    """Only what can be read again: half a step of pushed frames is completed when a take closes."""

    def start(config: TakeConfig, folder: Path) -> Walk:
        return Watching(in_pairs, config, folder, gate, clips=clips[:1])

    _, quiet = walk(start, [], settled())
    _, end = walk(start, [(frames, what, 0)], settled())
    assert_same(end, quiet, TOLERANCE[torch.float32])


@pytest.mark.parametrize("what", ["stop", "reopen", "leave_by_interrupt"])
def test_a_rate_that_does_not_divide_the_clips_keeps_its_ticks(
    engine: Engine, gate: Gate, tmp_path: Path, what: str
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=6, fps=10)

    def start(config: TakeConfig, folder: Path) -> Walk:
        return Watching(engine, config, folder, gate, clips=(clip,))

    config = replace(settled(), fps=3.0)
    _, quiet = walk(start, [], config)
    _, end = walk(start, [(5, what, 0), (4, what, 0)], config)
    assert_same(end, quiet, TOLERANCE[torch.float32])


def test_drained_means_seen(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is in the middle of a frame until somebody waits for the worker."""
    begun, go_on = threading.Event(), threading.Event()
    with engine.open(config=settled()) as take:
        seeing, run = take._session.seeing, engine.run

        def see_slowly(frames: Any) -> Iterator[None]:
            begun.set()
            go_on.wait(LONG_S)
            yield from seeing(frames)

        def run_and_wait(*job: Any, **options: Any) -> Any:
            go_on.set()
            return run(*job, **options)

        monkeypatch.setattr(take._session, "seeing", see_slowly)
        monkeypatch.setattr(engine, "run", run_and_wait)
        pts_s, camera, image = pushed_frames()[0]
        take.push(image, pts_s, camera=camera)
        begun.wait(LONG_S)
        take.drain()
        seen = take.stats().chunks
        go_on.set()
    assert seen == 1
