"""What a person wants forgotten is in no tier of a take, and does not come again.

Files alone are looked at in test_memory_forgetting; here there is a window, an index, pictures,
lines, conversations and frames that wait.
"""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtake import cli
from longtake.asked import Asked
from longtake.engine import Engine
from longtake.memory.config import MemoryConfig
from longtake.memory.store import Store
from longtake.narration.narration import Narration
from longtake.settings import MODES
from longtake.strategies.gallery import Galleries
from longtake.streaming.frame import Frame
from longtake.streaming.mailbox import Mailbox
from longtake.stretch import LATEST_S, SEEN, Hidden, Stretch
from longtake.take import Take
from tests import checkpoints, streams, text_image
from tests.clips import write_clip
from tests.pushed import CONFIG, LONG_S, SHORT, indexed, numbers, picture, push, window
from tests.streams import worst

SEEDS = count(1000, 100)  # of pictures that no other test has


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


# ------------------------------------------------------------------ forgetting, in every tier


def canaries(take: Take, forgotten: Sequence[int]) -> list[bytes]:
    """Bytes that only these chunks have: of their keys in every layer, and of their pictures."""

    def look() -> list[bytes]:
        session, found = take._session, []
        for number in forgotten:
            segment = session.segment(number)
            for keys in segment.keys:
                found.append(keys[0, 0].contiguous().numpy().tobytes())
            jpeg = session.thumbnail(number)
            assert jpeg is not None
            found.append(jpeg[-80:-20])  # behind the tables that all have
        return found

    return engine_of(take).run(look)


def engine_of(take: Take) -> Engine:
    return take._engine


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def bytes_in_ram() -> bytes:
    """Of all tensors that are alive, and of all bytes that are held in something."""
    gc.collect()
    found = []
    for each in gc.get_objects():
        if issubclass(type(each), torch.Tensor) and each.device.type == "cpu" and each.numel():
            found.append(each.detach().contiguous().view(torch.uint8).numpy().tobytes())
        elif type(each) is dict:
            found += [value for value in each.values() if type(value) is bytes]
    return b"".join(found)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("span", [(3.0, 5.0), (10.5, 12.0), (8.0, 100.0), (0.0, 100.0)])
def test_what_is_forgotten_is_in_no_tier(
    engine: Engine, tmp_path: Path, mode: str, span: tuple[float, float]
) -> None:
    window_s = None if mode == "full" else 4.0
    config = replace(CONFIG, mode=mode, window_s=window_s, memory=MemoryConfig(index="exact"))
    gone = [n for n in range(13) if span[0] <= n <= span[1]]
    seed = next(SEEDS)
    with engine.open(tmp_path / "take", config) as take:
        with take.narrate(rule="always", every_s=1.0) as narration:
            push(take, *range(13), seed=seed)
            take.ask("what was there?")  # the RAM cache has them now
            take._store.sync()
            secret = canaries(take, gone)
            words = f"canary-{mode}"
            take._session._store.album.add_caption(float(gone[0]), float(gone[0]), words)
            if mode == "recall":
                take.ask("who?", conversation="a")
            held, alive = bytes_of(tmp_path), bytes_in_ram()
            assert sum(piece in held or piece in alive for piece in secret) > 0
            forgotten = take.forget(*span)
            assert forgotten.chunks == len(gone) and list(forgotten.numbers) == gone
            held, alive = bytes_of(tmp_path), bytes_in_ram()
            assert not any(piece in held for piece in secret)
            assert not any(piece in alive for piece in secret)
            assert words.encode() not in held
            kept = [n for n in range(13) if n not in gone]
            assert numbers(take) == sorted({*indexed(take), *window(take)}) == kept
            waiting = []
            while (line := narration.poll()) is not None:
                waiting.append(line.start_s)
            assert not any(span[0] <= start_s <= span[1] for start_s in waiting)
            assert take._dialogues.turns("a") == ()
            assert take.stats().chunks == len(kept)
            assert sum(gap.chunks for gap in take.stats().gaps) == len(gone)
            push(take, *range(13, 20))
            assert narration.poll(LONG_S) is not None  # it goes on
        answer = take.ask("what was there?", **({"top_k": 100} if mode == "recall" else {}))
        assert answer.coverage == 1.0 and answer.as_of_s == 19.0
        assert take.search("what was there?", top=40)
    held = bytes_of(tmp_path)
    assert not any(piece in held for piece in secret)
    if mode == "full":
        return
    with engine.open(tmp_path / "take", replace(config, mode="recall")) as again:
        assert numbers(again) == [*kept, *range(13, 20)]
        assert again.ask("what was there?", top_k=100).coverage == 1.0


def test_the_window_is_what_opening_the_memory_would_make_of_it(
    engine: Engine, tmp_path: Path
) -> None:
    """And so is all that comes after."""
    with engine.open(tmp_path / "take", CONFIG) as take:
        push(take, *range(10))
        take.forget(7.5, 8.5)
        assert window(take) == [6, 7, 9]
        kept = engine.run(lambda: take._session.window.chunks())
    with engine.open(tmp_path / "take", CONFIG) as again:
        assert window(again) == [6, 7, 9]
        for chunk, twin in zip(again._session.window.chunks(), kept, strict=True):
            assert torch.equal(chunk.keys, twin.keys)
        push(again, 10, 11)
        after = again._session.window.chunks()
    with engine.open(tmp_path / "other", CONFIG) as take:
        push(take, *range(10))
        take.forget(7.5, 8.5)
        push(take, 10, 11)
        for chunk, twin in zip(take._session.window.chunks(), after, strict=True):
            assert chunk.info == twin.info
            assert worst(chunk.keys, twin.keys) < 2e-5  # keys of size 5


def test_one_camera_is_forgotten_and_another_is_not(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        for t in range(12):
            push(take, t, camera="door" if t % 3 == 0 else "hall")
        take.forget(0.0, 10.0, camera="door")
        assert [p.camera for p in take.frames(0.0, 8.0)] == ["hall"] * 6
        assert numbers(take) == [1, 2, 4, 5, 7, 8, 10, 11]


def test_questions_about_a_past_with_holes(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        push(take, *range(24))
        take.forget(3.0, 4.0)
        take.forget(8.0, 11.0)
        held = [n for n in range(24) if n not in (3, 4, 8, 9, 10, 11)]
        seen: list[list[int]] = []

        def all_of_it(known: Any, layers: int) -> list[list[int]]:
            past = [i.number for i in known.past if known.first <= i.number < known.last]
            seen.append(past)
            return [past] * layers

        for when in ({}, {"at_s": 15.0}, {"at_s": 10.5}, {"between_s": (2.0, 13.0)}):
            answer = take.ask("what was there?", top_k=100, **when)  # type: ignore[arg-type]
            assert answer.coverage == 1.0
            take.ask("what?", select=all_of_it, **when)  # type: ignore[arg-type]
        assert seen[0] == held[:-4]
        assert seen[1] == [n for n in held if n <= 11]
        assert seen[2] == [0, 1, 2]  # 5 to 7 stand in the window of then
        assert seen[3] == [2, 5, 6, 7, 12, 13]
        for plan in ("uniform:5", "recent:30", "times:9", "model,uniform:3"):
            answer = take.ask("what was between 0:02 and 0:12?", recall=plan)
            assert answer.coverage == 1.0
            gone = ((3.0, 4.0), (8.0, 11.0))
            for m in answer.evidence:
                assert not any(a <= m.start_s <= b or a <= m.end_s <= b for a, b in gone)


def test_overlapping_spans_may_be_forgotten_again_and_again(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(12))
        assert take.forget(2.0, 5.0).chunks == 4
        assert take.forget(4.0, 7.0).chunks == 2
        assert take.forget(2.0, 7.0).chunks == 0
        assert numbers(take) == [0, 1, 8, 9, 10, 11]
        assert take.stats().newest_s == 11.0


@pytest.mark.parametrize(
    "span", [(5.0, 1.0), (-1.0, 2.0), (0.0, float("inf")), (float("nan"), 1.0)]
)
def test_times_to_forget_check_themselves(engine: Engine, span: tuple[float, float]) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, 0, 1)
        with pytest.raises(ValueError, match="two times in order"):
            take.forget(*span)
        assert numbers(take) == [0, 1]


# ------------------------------------------------------------------ what would come again


@pytest.mark.parametrize("span", [(6.0, 9.0), (15.0, 19.0), (0.0, 19.0)])
def test_a_file_that_goes_on_does_not_bring_back_what_was_forgotten(
    engine: Engine, tmp_path: Path, span: tuple[float, float]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=30, fps=2)
    kept = [n for n in range(20) if not span[0] <= n <= span[1]]
    with engine.open(tmp_path / "take", CONFIG) as take:
        watch = take.watch(clip)
        while take.stats().chunks < 20:
            pass
        engine.run(watch.stop)  # nothing is seen meanwhile
        watch.wait(LONG_S)
        most = take.stats().newest_s
        take.forget(*span)
    with engine.open(tmp_path / "take", CONFIG) as again:
        assert again.stats().newest_s == most
        assert again.watch(clip).wait(LONG_S).complete
        times_s = [p.start_s for p in again.frames(0.0, 100.0)]
        assert times_s == [float(n) for n in (*kept, *range(20, 30))]
        shown = [p.number for p in again.frames(0.0, 100.0)]
        assert shown == sorted(set(shown)) and shown[: len(kept)] == kept
    with engine.open(tmp_path / "take", CONFIG) as again:
        assert again.watch(clip).is_known


def test_a_video_is_not_seen_again_for_what_was_purged(engine: Engine, tmp_path: Path) -> None:
    """By the command, without a model: the end of a video, and then all that is left of it."""
    clip, folder = write_clip(tmp_path / "clip.mp4", seconds=12, fps=2), tmp_path / "take"
    with engine.open(folder, CONFIG) as take:
        take.watch(clip).wait(LONG_S)
        assert numbers(take) == list(range(12))
    for start, left in ((8, list(range(8))), (0, [])):
        purge = ["memory", "purge", str(folder), "--from", str(start), "--to", "60", "--yes", "-q"]
        assert cli.main(purge) == 0
        with Store.open_as_found(folder, read_only=True) as store:
            assert store.noted(SEEN) == 11.0
        with engine.open(folder, CONFIG) as again:
            watch = again.watch(clip)
            watch.wait(LONG_S)
            assert watch.is_known and again.stats().received == 0
            assert numbers(again) == left and again.stats().newest_s == 11.0


def test_frames_that_wait_are_forgotten_too(engine: Engine, tmp_path: Path) -> None:
    gate, running = threading.Event(), threading.Event()

    def hold() -> None:
        running.set()
        gate.wait(LONG_S)

    with engine.open(tmp_path / "take", CONFIG) as take:
        push(take, *range(6))
        blocked = threading.Thread(target=lambda: engine.run(hold))
        blocked.start()
        running.wait(LONG_S)
        for t in range(6, 12):
            assert take.push(picture(t), float(t)).accepted
        forgetting = threading.Thread(target=lambda: take.forget(4.5, 9.5))
        forgetting.start()
        while not engine._worker._queue:
            pass
        gate.set()
        forgetting.join()
        blocked.join()
        take.drain()
        assert numbers(take) == [0, 1, 2, 3, 4, 6, 7]
        assert [p.start_s for p in take.frames(0.0, 50.0)] == [0.0, 1, 2, 3, 4, 10, 11]
        assert take.stats().dropped["forgotten"] == 4
        assert take.stats().frames == 8
    with engine.open(tmp_path / "take", CONFIG) as again:  # the same frames come again
        for t in range(12, 14):
            again.push(picture(t), float(t))
        again.drain()
        assert [p.start_s for p in again.frames(8.0, 50.0)] == [10.0, 11, 12, 13]


def test_half_a_step_is_forgotten_and_not_seen_when_it_comes_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = checkpoints.write("qwen2_5_vl", tmp_path_factory.mktemp("two") / "model")
    with Engine(str(model), device="cpu") as engine:
        config = replace(CONFIG, memory=MemoryConfig(commit_s=0.0))
        with engine.open(tmp_path / "take", config) as take:
            push(take, *range(9))  # the last one waits for another
            take.forget(7.5, 8.5)
            assert take.stats().dropped["forgotten"] == 1
            assert take.stats().frames == 8
            engine.run(take._store.sync)
            shutil.copytree(tmp_path / "take", tmp_path / "killed")
        with engine.open(tmp_path / "killed", config) as again:
            for t in range(20):
                again.push(picture(t), float(t))
            again.drain()
            shown = again.frames(0.0, 100.0)
            assert not any(p.start_s <= 8.0 <= p.end_s and p.start_s == 8.0 for p in shown)
            assert all(8.0 not in (p.start_s, p.end_s) for p in shown)
            assert again.stats().dropped["forgotten"] == 1


def test_numbers_are_not_used_again(engine: Engine, tmp_path: Path) -> None:
    with engine.open(tmp_path / "take", CONFIG) as take:
        push(take, *range(10))
        take.forget(8.0, 9.0)  # only the window had them
    with engine.open(tmp_path / "take", CONFIG) as again:
        push(again, 10)
        assert numbers(again) == [*range(8), 10]
        assert again.stats().gaps[0].chunks == 2


# ------------------------------------------------------------------ parts


def test_a_mailbox_drops_what_is_meant_and_counts_it() -> None:
    box = Mailbox(5)
    for t in range(5):
        box.put(Frame(float(t), picture(0)))
    assert box.drop_where(lambda frame: 1.0 <= frame.pts_s <= 3.0, "forgotten") == 3
    assert box.drop_where(lambda frame: frame.pts_s == 2.0, "forgotten") == 0
    assert box.dropped == {"forgotten": 3}
    assert [frame.pts_s for frame in box.take(5)] == [0.0, 4.0]
    assert box.received == box.taken + sum(box.dropped.values())


def test_lines_of_a_span_are_not_given_out() -> None:
    narration = Narration()
    for t in range(4):
        narration.add(float(t), f"line {t}")
    narration.forget(1.0, 1.5)
    narration.forget(3.0, 9.0)
    narration.fall_silent(5.0)
    narration.end()
    assert [line.text for line in narration] == ["line 0", "line 2"]


def test_hidden_stretches_are_kept_while_their_frames_may_come() -> None:
    hidden = Hidden()
    hidden.add(Stretch(3.0, 4.0), 2.0)
    hidden.add(Stretch(8.0, 9.0, "door"), 4.0 + LATEST_S)
    again = Hidden(hidden.to_note())
    image = picture(0)
    assert not again.has(Frame(3.5, image))  # long before what was seen: it cannot come
    assert again.has(Frame(8.5, image, "door")) and not again.has(Frame(8.5, image, "hall"))
    assert not again.has(Frame(9.5, image, "door"))


def test_a_question_asked_before_may_still_be_answered(engine: Engine) -> None:
    with engine.open(config=CONFIG) as take:
        push(take, *range(8))
        asking = take.submit("what was there?")
        take.forget(0.0, 100.0)
        assert asking.result(LONG_S).coverage == 1.0
        assert take.ask("what was there?").evidence == ()
        streams.answer(take._session, Asked(question="what?", decoding=SHORT))


class Counting:
    """An embedder of two numbers: how bright a picture is."""

    width = 2

    def __init__(self) -> None:
        self.given = 0

    def pictures(self, images: Sequence[Any]) -> torch.Tensor:
        self.given += len(images)
        angles = torch.tensor([float(image.mean()) / 255 for image in images])
        return torch.stack([angles.cos(), angles.sin()], 1)

    def text(self, text: str) -> torch.Tensor:
        return torch.tensor([0.0, 1.0])


def test_a_gallery_forgets_chunks_and_ranks_the_others_as_before() -> None:
    embedder = Counting()
    shown = {n: text_image.jpeg(np.full((8, 8, 3), 20 * n, np.uint8)) for n in range(10)}
    galleries = Galleries(load=lambda model: embedder)
    gallery = galleries.find("any")
    gallery.learn(range(8), shown.get)
    galleries.forget([2, 6, 7, 99])
    assert gallery.nearest("bright", range(10), 10) == [5, 4, 3, 1, 0]
    gallery.learn(range(10), shown.get)  # what is asked for again is looked at again
    assert gallery.nearest("bright", [1, 9, 4, 6], 10) == [9, 6, 4, 1]
    assert embedder.given == 8 + 5
