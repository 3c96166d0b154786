"""What fails must not take others with it: disks, models, full queues, closing at a bad moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake.engine import Engine
from longtake.memory.store import Store
from longtake.models.decode import Decoding
from longtake.settings import TakeConfig
from longtake.streaming.report import SourceReport
from longtake.worker import MAX_WAITING
from tests.clips import write_clip

CONFIG = TakeConfig(fps=1.0, window_s=4.0, top_k=2, decoding=Decoding(max_tokens=3))
LONG_S = 60.0


@pytest.fixture
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=20, fps=4)


def picture(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def fail(*_: Any, **__: Any) -> Any:
    raise OSError(5, "the disk is gone")


def test_a_disk_that_fails_ends_the_watch_and_not_the_engine(
    engine: Engine, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, other = engine.open(config=CONFIG), engine.open(config=CONFIG)
    monkeypatch.setattr(Store, "put", fail)
    watch = take.watch(clip)
    monkeypatch.setattr(Store, "note", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        watch.wait(LONG_S)
    assert take.ask("what?").question == "what?"
    with pytest.raises(OSError):
        take.close()
    monkeypatch.undo()
    assert other.watch(clip).wait(LONG_S).complete
    other.close()


def test_chunks_that_the_store_refused_are_put_when_it_can(
    engine: Engine, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        for t in range(6):
            take.push(picture(t), float(t))
        take.drain()
        monkeypatch.setattr(Store, "put", fail)
        take.push(picture(6), 6.0)
        with pytest.raises(OSError, match="the disk is gone"):
            take.drain()
        monkeypatch.undo()
        for t in range(7, 12):
            take.push(picture(t), float(t))
        take.drain()
        assert take.stats().chunks == 12
    with engine.open(tmp_path / "take", CONFIG) as take:
        assert take.stats().chunks == 12
        assert take.ask("what?", top_k=100).coverage == 1.0


def test_a_pushed_frame_that_fails_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine.open(config=CONFIG) as take:
        monkeypatch.setattr(engine.adapter, "steps", fail)
        assert take.push(picture(), 0.0).accepted
        with pytest.raises(OSError, match="the disk is gone"):
            take.drain()
        assert take.push(picture(), 1.0).accepted
        engine.run(take.work)
        monkeypatch.undo()
        told = take.push(picture(), 2.0)
        assert not told.accepted and "the disk is gone" in told.reason
        assert take.push(picture(), 3.0).accepted
        take.drain()
        assert take.stats().dropped["failed"] == 2
        assert take.stats().chunks == 1


def test_closing_while_many_questions_wait_writes_everything(
    engine: Engine, tmp_path: Path
) -> None:
    gate, running = threading.Event(), threading.Event()

    def hold() -> None:
        running.set()
        gate.wait()

    take = engine.open(tmp_path / "take", CONFIG)
    for t in range(3):
        take.push(picture(t), float(t))
    take.drain()
    blocked = threading.Thread(target=lambda: engine.run(hold))
    blocked.start()
    running.wait()
    asked = [take.submit("what?") for _ in range(MAX_WAITING)]
    closing = threading.Thread(target=take.close)
    closing.start()
    gate.set()
    closing.join()
    blocked.join()
    assert all(a.done() for a in asked)
    with engine.open(tmp_path / "take", CONFIG) as again:
        assert again.stats().chunks == 3


def test_one_source_is_watched_at_a_time(engine: Engine, clip: Path) -> None:
    with engine.open(config=CONFIG) as take:
        gate = threading.Event()
        blocked = threading.Thread(target=lambda: engine.run(gate.wait))
        blocked.start()
        first = take.watch(clip)
        with pytest.raises(RuntimeError, match="still being watched"):
            take.watch(clip, stop_s=5.0)
        gate.set()
        blocked.join()
        first.wait(LONG_S)
        assert not take.push(picture(), 3.0).accepted, "earlier than what was watched"
        assert take.push(picture(), 30.0).accepted


@pytest.mark.parametrize("stop_s", [None, 7.5])
def test_a_source_killed_behind_its_last_frame_is_complete(
    engine: Engine, clip: Path, tmp_path: Path, stop_s: float | None
) -> None:
    """The last frame was durable, and the word that the source had ended was not."""
    with engine.open(tmp_path / "take", CONFIG) as take:
        take.watch(clip, stop_s=stop_s).wait(LONG_S)
        chunks = take.stats().chunks
        ended = take._ledger.newest()
        assert ended is not None
        begun = replace(ended, done=False, is_running=True, report=SourceReport())
        take._ledger.record(begun)
    for _ in range(2):
        with engine.open(tmp_path / "take", CONFIG) as take:
            report = take.watch(clip, stop_s=stop_s).wait(LONG_S)
            assert report.complete and report.ended_s == pytest.approx(chunks - 1)
            assert take.stats().chunks == chunks
            entry = take._ledger.newest()
            assert entry is not None and entry.done and not entry.is_running


def test_a_file_killed_behind_a_cut_is_not_complete(engine: Engine, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", seconds=20, fps=4).read_bytes()
    (tmp_path / "short.mkv").write_bytes(whole[: len(whole) // 2])
    with engine.open(tmp_path / "take", CONFIG) as take:
        take.watch(tmp_path / "short.mkv").wait(LONG_S)
        ended = take._ledger.newest()
        assert ended is not None
        take._ledger.record(replace(ended, done=False, is_running=True, report=SourceReport()))
    for _ in range(2):
        with engine.open(tmp_path / "take", CONFIG) as take:
            assert not take.watch(tmp_path / "short.mkv").wait(LONG_S).complete


def test_a_source_that_cannot_be_noted_is_closed(
    engine: Engine, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held() -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum(os.readlink(link) == str(clip) for link in links if link.is_symlink())

    with engine.open(config=CONFIG) as take:
        monkeypatch.setattr(Store, "note", fail)
        with pytest.raises(OSError, match="the disk is gone"):
            take.watch(clip)
        monkeypatch.undo()
        assert held() == 0


def test_engines_close_all_takes(tiny_model: Path, clip: Path) -> None:
    engine = Engine(str(tiny_model), device="cpu")
    takes = [engine.open(config=CONFIG) for _ in range(3)]
    takes[0].watch(clip)
    engine.close()
    for take in takes:
        assert take.stats().waiting == 0
        with pytest.raises(RuntimeError, match="closed"):
            take.ask("what?")
    with pytest.raises(RuntimeError, match="closed"):
        engine.open()


def test_a_killed_ingest_goes_on_where_it_was_durable(
    engine: Engine, clip: Path, tmp_path: Path
) -> None:
    """As after kill -9: nothing was closed, and the same command comes again."""
    import shutil

    take = engine.open(tmp_path / "take", CONFIG)
    watch = take.watch(clip)
    while take.stats().chunks < 8:
        threading.Event().wait(0.002)
    engine.run(take._store.sync)
    shutil.copytree(tmp_path / "take", tmp_path / "copy")
    watch.wait(LONG_S)
    take.close()
    with engine.open(tmp_path / "copy", CONFIG) as again:
        again.watch(clip).wait(LONG_S)
        assert again.stats().newest_s == pytest.approx(19.0)


def test_a_source_interrupted_before_anything_was_seen_is_seen_whole(
    engine: Engine, clip: Path, tmp_path: Path
) -> None:
    other = write_clip(tmp_path / "other.mp4", seconds=5, fps=2)
    gate, running = threading.Event(), threading.Event()

    def hold() -> None:
        running.set()
        gate.wait()

    take = engine.open(tmp_path / "take", CONFIG)
    blocked = threading.Thread(target=lambda: engine.run(hold))
    blocked.start()
    running.wait()
    take.watch(clip)
    while take.stats().waiting < 20:
        threading.Event().wait(0.002)
    take._inbox.read.drop_all("interrupted")  # as leaving by Ctrl-C does
    gate.set()
    blocked.join()
    take.close()
    with engine.open(tmp_path / "take", CONFIG) as again:
        for source, chunks in ((other, 5), (clip, 25)):
            again.watch(source).wait(LONG_S)
            assert again.stats().chunks == chunks


def test_a_pipe_that_says_no_more_does_not_keep_a_take_open(engine: Engine, tmp_path: Path) -> None:
    data = write_clip(tmp_path / "clip.mkv", seconds=20, fps=4).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ended = threading.Event()

    def feed() -> None:
        with pipe.open("wb", buffering=0) as end:
            end.write(data[: len(data) // 2])
            ended.wait(LONG_S)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with engine.open(config=CONFIG) as take:
        watch = take.watch(pipe)
        while take.stats().chunks < 3:
            threading.Event().wait(0.002)
        take.close()
        assert not watch.report.complete
    ended.set()
    feeder.join()
