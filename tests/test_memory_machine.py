"""Any sequence of putting, reading, ageing, forgetting and reopening, beside a dictionary."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.config import MemoryConfig
from longtake.memory.known import ChunkMissing
from longtake.memory.store import Store
from tests.chunks import MODEL

LAYERS, HEADS, DIM = 2, 2, 8
WORST = {"raw": 0.0, "int8": 0.05, "kivi4": 0.6, "kivi2": 3.0}  # of numbers from -3 to 3
LADDER = "int8@4s,kivi4@8s,kivi2@12s,picture@20s,gone@30s"


def make(number: int, tokens: int, camera: str) -> Chunk:
    random = torch.Generator().manual_seed(number)
    size = (2, LAYERS, HEADS, tokens, DIM)
    keys, values = torch.randn(size, generator=random).clamp(-3, 3)
    info = ChunkInfo(number, float(number), number + 0.5, camera, tokens=tokens)
    return Chunk(info, keys, values, torch.arange(tokens, dtype=torch.int32)[None])


class Memory(RuleBasedStateMachine):
    """The model: what was put and not forgotten, and which spans are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="longtake-machine-"))
        self.held: dict[int, Chunk] = {}  # may have aged away
        self.gone: set[int] = set()
        self.kept: set[int] = set()
        self.put_count = 0
        self.pictured: set[int] = set()
        self.store = self._open(LADDER)

    def _open(self, ladder: str, **values: int) -> Store:
        config = MemoryConfig(ladder=ladder, segment_bytes=3000, **values)
        return Store.open(self.folder, **MODEL, config=config)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(tokens=st.integers(1, 40), camera=st.sampled_from(["", "door"]), count=st.integers(1, 4))
    def put(self, tokens: int, camera: str, count: int) -> None:
        for _ in range(count):
            number = self.store.next_number
            assert number == self.put_count
            chunk = make(number, tokens, camera)
            assert self.store.put(chunk, summarize(chunk.keys))
            self.held[number] = chunk
            self.put_count += 1

    @rule(part=st.floats(0, 1))
    def read(self, part: float) -> None:
        if self.put_count:
            self._check(min(self.put_count - 1, int(part * self.put_count)))

    def _check(self, number: int) -> None:
        if number in self.gone:
            with pytest.raises(ChunkMissing):
                self.store.read(number)
            return
        chunk = self.held[number]
        try:
            found = self.store.read(number)
        except ChunkMissing:
            assert self.put_count - 1 - number >= 19 and number not in self.kept
            return
        worst = self._worst(number)
        assert found.info == chunk.info
        assert (found.keys - chunk.keys).abs().max() <= worst
        assert (found.values - chunk.values).abs().max() <= worst
        keys, _ = self.store.layer(number, 1)
        assert (keys - chunk.keys[1]).abs().max() <= worst
        assert self.store.vectors(number).equal(summarize(chunk.keys))

    def _worst(self, number: int) -> float:
        age_s = self.put_count - 1 - number
        if number in self.kept and age_s < 4:
            return WORST["raw"]
        names = [(12, "kivi2"), (8, "kivi4"), (4, "int8"), (0, "raw")]
        return next(WORST[name] for after, name in names if age_s >= after)

    @rule()
    def sync(self) -> None:
        self.store.sync()
        stats = self.store.stats()
        assert stats.queued == 0 and stats.durable == stats.chunks

    @rule()
    def age(self) -> None:
        self.store.tidy()

    @precondition(lambda self: self.put_count > 0)
    @rule(
        begin=st.integers(0, 60), length=st.integers(0, 6), camera=st.sampled_from([None, "door"])
    )
    def forget(self, begin: int, length: int, camera: str | None) -> None:
        start_s, end_s = float(begin), begin + length + 0.25
        found = self.store.forget(start_s, end_s, camera)
        meant = {
            number
            for number, chunk in self.held.items()
            if number not in self.gone
            and start_s <= chunk.info.end_s
            and chunk.info.start_s <= end_s
            and camera in (None, chunk.info.camera)
        }
        assert set(found.numbers) <= meant  # others may have aged away
        self.gone |= meant
        assert not any(number in self.store for number in meant)

    @rule(begin=st.integers(0, 60), length=st.integers(0, 4))
    def keep(self, begin: int, length: int) -> None:
        self.store.keep(float(begin), begin + length + 0.25)
        spans = self.store.kept()
        assert spans == sorted(spans, key=lambda span: span.start_s)
        for info in self.store.infos():
            touches = begin <= info.end_s and info.start_s <= begin + length + 0.25
            if touches and self.store.has_keys(info.number):
                self.kept.add(info.number)

    @rule(ladder=st.sampled_from([LADDER, "none"]), ram_bytes=st.sampled_from([0, 5000]))
    def reopen(self, ladder: str, ram_bytes: int) -> None:
        before = [info.number for info in self.store.infos()]
        self.store.close()
        self.store = self._open(ladder, ram_bytes=ram_bytes)
        assert set(info.number for info in self.store.infos()) <= set(before)
        assert self.store.next_number == self.put_count

    @rule()
    def look_along(self) -> None:
        """A reader sees what is durable."""
        self.store.sync()
        with Store.open(self.folder, **MODEL, read_only=True) as reader:
            assert [i.number for i in reader.infos()] == [i.number for i in self.store.infos()]

    @invariant()
    def every_kept_chunk_is_there(self) -> None:
        for number in self.kept - self.gone:
            assert self.store.has_keys(number)

    @invariant()
    def infos_are_in_order_and_none_is_forgotten(self) -> None:
        numbers = [info.number for info in self.store.infos()]
        assert numbers == sorted(set(numbers))
        assert not set(numbers) & self.gone


Memory.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestMemory = Memory.TestCase


@pytest.mark.long
class TestMemoryForLong(Memory.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(
        max_examples=150,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
