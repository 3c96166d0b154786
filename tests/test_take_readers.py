"""Takes that only read, beside a process that writes: what it made durable, and no other byte."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xxhash

from longtake import cli
from longtake.engine import Engine
from longtake.memory.config import MemoryConfig
from longtake.models.decode import Decoding
from longtake.settings import TakeConfig
from longtake.take import Take

ROOT = Path(__file__).resolve().parents[1]
SHORT = Decoding(max_tokens=3)
CONFIG = TakeConfig(
    fps=1.0, window_s=4.0, top_k=2, decoding=SHORT, memory=MemoryConfig(commit_s=0.0)
)
LONG_S = 120.0
HEAD = f"""
import json, runpy, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
runpy.run_path({str(ROOT / "tests" / "conftest.py")!r})  # maps `longtake` like the tests' own
import numpy as np, torch
torch.set_num_threads(1)
from longtake.engine import Engine
from tests.test_take_readers import CONFIG, ask, picture
model, folder = sys.argv[1:3]
"""
# Shows frames as it is told how many, says how far it is, and closes at the end.
WRITER = (
    HEAD
    + """
with Engine(model, device="cpu") as engine, engine.open(folder, CONFIG) as take:
    seen = 0
    for line in sys.stdin:
        for _ in range(int(line)):
            take.push(picture(seen), float(seen))
            seen += 1
            take.drain()
        print(seen, flush=True)
"""
)
# Asks until it knows all up to a time; one line of JSON an answer.
READER = (
    HEAD
    + """
with Engine(model, device="cpu") as engine, engine.open(folder, CONFIG, read_only=True) as take:
    told = {"as_of_s": -1.0}
    while told["as_of_s"] < float(sys.argv[3]):
        told = ask(take)
        print(json.dumps(told), flush=True)
"""
)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


def picture(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def push(take: Take, *times_s: int) -> None:
    for t in times_s:
        assert take.push(picture(t), float(t)).accepted
    take.drain()


def durable(take: Take, *times_s: int) -> None:
    push(take, *times_s)
    take._engine.run(take._store.sync)


def hashes(take: Take) -> dict[str, str]:
    """Of all chunks that can be read, by number."""

    def look() -> dict[str, str]:
        found = {}
        for info in take._session.past():
            segment = take._session.segment(info.number)
            parts = [t.contiguous().numpy().tobytes() for t in (segment.keys, segment.values)]
            found[str(info.number)] = xxhash.xxh3_64_hexdigest(b"".join(parts))
        return found

    return take._engine.run(look)


def ask(take: Take) -> dict[str, Any]:
    """What an answer says, and what the chunks are that it may know of."""
    answer = take.ask("what was there?", top_k=100)
    told = {"as_of_s": answer.as_of_s, "coverage": answer.coverage}
    return {**told, "hashes": hashes(take)}


def state(take: Take) -> tuple[list[int], list[int], list[float]]:
    """Numbers in the window, in the index, and times that are shown."""
    take._engine.run(take._current)
    shown = [p.start_s for p in take.frames(0.0, 1000.0)]
    window = [info.number for info in take._session.window.infos]
    return window, take._session.index.numbers().tolist(), shown


def test_a_reader_follows_its_writer(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        durable(take, *range(6))
        with engine.open(tmp_path / "take", CONFIG, read_only=True) as reader:
            assert reader.ask("what?").as_of_s == 1.0  # the writer's window is not durable
            durable(take, *range(6, 12))
            answer = reader.ask("what was there?", top_k=100)
            assert answer.as_of_s == 7.0 and answer.coverage == 1.0
            assert state(reader) == ([4, 5, 6, 7], [0, 1, 2, 3], [float(n) for n in range(8)])
            window = engine.run(lambda: reader._session.window.chunks())
            durable(take, 12)
            assert state(reader)[0] == [5, 6, 7, 8]
            after = engine.run(lambda: reader._session.window.chunks())
            for chunk, twin in zip(after[:3], window[1:], strict=True):
                assert torch.equal(chunk.keys, twin.keys)
            for name, found in hashes(reader).items():
                assert hashes(take)[name] == found
            assert reader.search("what was there?") and reader.stats().newest_s == 8.0
            engine.run(take._session.save)
            assert reader.ask("what?").as_of_s == 12.0
            assert reader.stats().chunks == 13


def test_what_a_writer_forgets_leaves_its_readers(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        durable(take, *range(16))
        with engine.open(tmp_path / "take", CONFIG, read_only=True) as reader:
            assert reader.ask("what?", top_k=100).coverage == 1.0
            assert state(reader)[0] == [8, 9, 10, 11]
            take.forget(2.0, 3.0)  # in its index
            take.forget(9.0, 9.5)  # in its window
            answer = reader.ask("what?", top_k=100)
            assert answer.coverage == 1.0 and answer.as_of_s == 11.0
            assert state(reader)[:2] == ([8, 10, 11], [0, 1, 4, 5, 6, 7])
            take.forget(10.0, 11.0)  # its newest
            assert reader.ask("what?", top_k=100).as_of_s == 8.0
            assert state(reader)[:2] == ([5, 6, 7, 8], [0, 1, 4])
            take.forget(0.0, 100.0)
            empty = reader.ask("what?")
            assert empty.evidence == () and state(reader) == ([], [], [])
            assert reader.search("what?") == []
            durable(take, *range(16, 24))
            assert reader.ask("what?").as_of_s == 19.0


def test_what_ages_leaves_a_readers_index(engine: Engine, tmp_path: Path) -> None:
    memory = MemoryConfig(ladder="picture@8s", commit_s=0.0, segment_bytes=20_000)
    config = replace(CONFIG, memory=memory)
    with engine.open(tmp_path / "take", config) as take:
        durable(take, *range(10))
        with engine.open(tmp_path / "take", config, read_only=True) as reader:
            reader.ask("what?")
            durable(take, *range(10, 24))
            take._store.tidy()
            answer = reader.ask("what was there?", top_k=100)
            assert answer.coverage == 1.0 and answer.as_of_s == 19.0
            pictures = reader.stats().rungs["picture"]
            window, indexed, shown = state(reader)
            assert pictures > 4 and [*indexed, *window] == list(range(pictures, 20))
            assert shown == [float(n) for n in range(20)]


def test_a_reader_writes_nothing(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        push(take, *range(12))
    with engine.open(tmp_path / "take", CONFIG, read_only=True) as reader:
        for change in (reader.keep, reader.release, reader.forget):
            with pytest.raises(OSError, match="open read-only"):
                change(0.0, 3.0)
        assert state(reader)[2] == [float(n) for n in range(12)]
        assert reader.ask("what?", top_k=100).coverage == 1.0


@contextmanager
def process(script: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait(LONG_S)
        assert child.stdin is not None and child.stdout is not None
        child.stdin.close()
        child.stdout.close()


def tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def hear(child: subprocess.Popen[str]) -> Any:
    assert child.stdout is not None
    return json.loads(child.stdout.readline())


def test_two_readers_and_a_writer_in_processes_of_their_own(
    tiny_model: Path, engine: Engine, tmp_path: Path
) -> None:
    folder, frames = tmp_path / "take", 40
    durable_s = frames - 5.0  # the newest four stand in the writer's window
    with process(WRITER, tiny_model, folder) as writer:
        tell(writer, "8")
        assert hear(writer) == 8
        with (
            process(READER, tiny_model, folder, durable_s) as other,
            engine.open(folder, CONFIG, read_only=True) as take,
        ):
            told = [ask(take)]
            others = [hear(other)]  # from here on both ask while frames come in
            tell(writer, str(frames - 8))
            while told[-1]["as_of_s"] < durable_s:
                told.append(ask(take))
            out, _ = other.communicate(timeout=LONG_S)
            assert other.returncode == 0
            others += [json.loads(line) for line in out.splitlines()]
        assert hear(writer) == frames
        writer.communicate(timeout=LONG_S)
        assert writer.returncode == 0
    with engine.open(folder, CONFIG, read_only=True) as take:
        right = hashes(take)
    assert len(right) == frames
    for answers in (told, others):
        times_s = [answer["as_of_s"] for answer in answers]
        assert times_s == sorted(times_s) and times_s[0] < times_s[-1] == durable_s
        assert {answer["coverage"] for answer in answers} == {1.0}
        for answer in answers:
            assert answer["hashes"] == {n: right[n] for n in answer["hashes"]}
            assert len(answer["hashes"]) == answer["as_of_s"] + 1


@pytest.mark.parametrize("command", ["ask", "chat"])
def test_the_commands_read_beside_a_writer_and_say_so(
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    import io

    folder, flags = tmp_path / "take", ["--model", str(tiny_model), "--fps", "1", "--window", "4"]
    with Engine(str(tiny_model), device="cpu") as engine, engine.open(folder, CONFIG) as take:
        durable(take, *range(70))
        words = ["what was there?"] if command == "ask" else []
        monkeypatch.setattr("sys.stdin", io.StringIO("what was there?\n"))
        code = cli.main([command, *flags, *words, "--memory", str(folder), "--json"])
        out, err = capsys.readouterr()
        assert code == 0
        assert "another process writes to it; answers are as of 1:05" in err
        shown = json.loads(out)
        answer = shown["answers"][0] if command == "ask" else shown
        assert answer["as_of_s"] == 65.0
        if command == "ask":  # a video has to be written: the writer's lock speaks
            code = cli.main(["ask", *flags, "x.mp4", "what?", "--memory", str(folder)])
            assert code != 0
