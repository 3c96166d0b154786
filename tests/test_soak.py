"""Hours of stream on the memory of minutes: nothing grows but the index and the disk.

A film of some minutes is drawn once and pushed again and again at rising times, with a question
now and then.  What the process holds is read at even distances and printed: RAM of its own
(`RssAnon`: pages of files do not count), the index, bytes on the device, threads, descriptors.
Reading `/proc`, these tests run on Linux.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest
import torch

from longtake.engine import Engine
from longtake.memory.config import MemoryConfig
from longtake.memory.reading import THREADS
from longtake.models.embedded.network import build_model
from longtake.models.embedded.weights_folder import write_folder
from longtake.models.embedded.world import Film, Image, long_film
from longtake.settings import TakeConfig
from longtake.take import Take

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

HOUR_S, MINUTE_S = 3600, 60
FILM_S, TOGETHER = 240, 32  # of film, drawn once; frames pushed before the worker is waited for
MOST_MB_AN_HOUR = 3.0  # of RAM, beside the index
OPEN_SEGMENTS = 17  # old segments kept open to be read, and the one that is written
QUESTIONS = ("What color was the star?", "Was there a red circle?", "What shape was blue?")
MEMORY = MemoryConfig(ram_bytes=4 << 20, segment_bytes=8 << 20)


@dataclass(frozen=True, slots=True)
class Reading:
    """The process at one moment of the stream."""

    at_s: float
    ram_mb: float  # its own pages
    index_mb: float
    device_bytes: int
    threads: int
    descriptors: int  # without those of segments
    segments: int  # descriptors of segments
    chunks: int
    first_token_ms: float  # of the slowest question since the reading before

    def row(self) -> str:
        of_hours = (self.at_s / HOUR_S, *astuple(self)[1:])
        return "{:6.2f} {:8.1f} {:8.2f} {:12d} {:8d} {:11d} {:9d} {:7d} {:15.1f}".format(*of_hours)


HEAD = (
    "  hour   RAM MB index MB device bytes  threads descriptors  segments  chunks  first token ms"
)


def soak(take: Take, film: list[Image], until_s: int, every_s: int, asks: int) -> Iterator[Reading]:
    """Push ``until_s`` of stream, one frame a second; a reading each ``every_s``.

    Args:
        asks: questions between two readings.
    """
    slowest_s, ask_every = 0.0, every_s // TOGETHER // asks
    for second in range(until_s):
        assert take.push(film[second % len(film)], float(second)).accepted
        if (second + 1) % TOGETHER == 0 or (second + 1) % every_s == 0:
            take.drain()
        if (second + 1) % (TOGETHER * ask_every) == 0:
            answer = take.ask(QUESTIONS[second // TOGETHER % len(QUESTIONS)])
            assert answer.coverage == 1.0 and answer.as_of_s >= second - 2
            slowest_s = max(slowest_s, answer.timings.first_token_s)
        if (second + 1) % every_s == 0:
            yield read(take, second + 1, slowest_s)
            slowest_s = 0.0


def read(take: Take, at_s: float, slowest_s: float) -> Reading:
    gc.collect()
    give_back_free_pages()
    stats, opened = take._engine.run(take.stats), descriptors()
    assert not stats.dropped and stats.waiting == 0
    segments = [path for path in opened if path.endswith(".kvseg")]
    return Reading(
        at_s=at_s,
        ram_mb=own_ram_bytes() / 1e6,
        index_mb=stats.index_bytes / 1e6,
        device_bytes=stats.device_bytes,
        threads=threads(),
        descriptors=len(opened) - len(segments),
        segments=len(segments),
        chunks=stats.chunks,
        first_token_ms=slowest_s * 1000,
    )


def own_ram_bytes() -> int:
    """Pages that are in RAM and belong to no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith("RssAnon:"))
    return int(found.split()[1]) * 1024


def give_back_free_pages() -> None:
    """What the allocator keeps for later is not held; glibc gives it back when asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def threads() -> int:
    """Of the process, Python's and others', as if all that may read from the disk did.

    Those begin when there is something to read for them, and there are `THREADS` at most.
    """
    readers = sum(one.name.startswith("longtake-read") for one in threading.enumerate())
    assert readers <= THREADS
    return len(os.listdir("/proc/self/task")) - readers + THREADS


def descriptors() -> list[str]:
    """What each open descriptor leads to, the listing's own left out."""
    folder, found = "/proc/self/fd", []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{name}"))
        except FileNotFoundError:  # it was the one that listed
            continue
    return found


def assert_nothing_grows(readings: list[Reading]) -> None:
    """The first one is taken when everything is warm."""
    first = readings[0]
    assert {r.device_bytes for r in readings} == {first.device_bytes}
    assert {r.threads for r in readings} == {first.threads}
    assert {r.descriptors for r in readings} == {first.descriptors}
    assert all(r.segments <= OPEN_SEGMENTS for r in readings)
    assert [r.chunks for r in readings] == [round(r.at_s) // 2 for r in readings]


def pictures(seed: int) -> list[Image]:
    film: Film = long_film(random.Random(seed), FILM_S)
    return [image for _, image in film.frames()]


@pytest.fixture
def make_take(tmp_path: Path) -> Iterator[Callable[[str], Take]]:
    """Opens a take on a model, with little RAM and a memory on disk."""
    engines: list[Engine] = []

    def make(model: str) -> Take:
        engines.append(Engine(model, device="cpu"))
        return engines[0].open(tmp_path / "memory", TakeConfig(memory=MEMORY))

    yield make
    for engine in engines:
        engine.close()


def test_minutes_of_stream_leave_device_threads_and_descriptors_as_they_are(
    make_take: Callable[[str], Take], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    write_folder(build_model(), tmp_path / "untrained")
    with make_take(str(tmp_path / "untrained")) as take:
        readings = list(soak(take, pictures(5), 10 * MINUTE_S, every_s=2 * MINUTE_S, asks=1))
    assert len(readings) == 5
    assert_nothing_grows(readings)
    before = threading.active_count()
    take.close()
    assert threading.active_count() == before


@pytest.mark.long
def test_ten_hours_of_stream_grow_the_index_and_nothing_else(
    make_take: Callable[[str], Take], capsys: pytest.CaptureFixture[str]
) -> None:
    readings: list[Reading] = []
    with capsys.disabled():
        print(f"\n{HEAD}", flush=True)
        with make_take("embedded") as take:
            for reading in soak(take, pictures(5), 10 * HOUR_S, every_s=HOUR_S, asks=6):
                print(reading.row(), flush=True)
                readings.append(reading)
    assert_nothing_grows(readings)
    for first, last in ((readings[0], readings[-1]), (readings[5], readings[-1])):
        grown_mb = growth_mb_an_hour(first, last)
        with capsys.disabled():
            print(f"hour {first.at_s / HOUR_S:.0f} on: {grown_mb:+.2f} MB an hour beside the index")
        assert grown_mb <= MOST_MB_AN_HOUR


def growth_mb_an_hour(first: Reading, last: Reading) -> float:
    """Over hours, since buffers grow by doubling, and the index moves to FAISS at 5,000 chunks:
    some MB at once, for a library and for room that is used later."""
    grown_mb = last.ram_mb - first.ram_mb - (last.index_mb - first.index_mb)
    return grown_mb / ((last.at_s - first.at_s) / HOUR_S)
