"""A disk that does not answer keeps nobody waiting beyond the deadline; the next question is
whole."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake.asked import Asked
from longtake.engine import Engine
from longtake.memory import files
from longtake.memory.config import MemoryConfig
from longtake.models.decode import Decoding
from longtake.settings import TakeConfig
from longtake.take import Take
from longtake.windows import SHARE, Patience

WAIT_S = 60.0  # a deadline for what should happen at once; never slept
SOON_S = 0.4
CONFIG = TakeConfig(
    fps=1.0,
    window_s=4.0,
    top_k=3,
    decoding=Decoding(max_tokens=3),
    memory=MemoryConfig(ram_bytes=0),
)
FORMS: dict[str, dict[str, Any]] = {
    "dependent": {"select_by": "dependent"},
    "blind": {"select_by": "blind"},
    "of a past moment": {"at_s": 11.0},
}


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(str(tiny_model), device="cpu") as made:
        yield made


@pytest.fixture
def take(engine: Engine) -> Iterator[Take]:
    """20 chunks, the newest in the window and the others on disk alone."""
    rng = np.random.default_rng(0)
    with engine.open(config=CONFIG) as take:
        for second in range(20):
            take.push(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), float(second))
            take.drain()
        take._store.sync()
        yield take


class Disk:
    """Its reads hang until it is let go; then they are as ever, unless they fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._read = files.read_into
        self.came, self.goes = threading.Event(), threading.Event()
        self.fails = False
        monkeypatch.setattr(files, "read_into", self._read_into)

    def _read_into(self, fd: int, buffer: memoryview, offset: int) -> None:
        self.came.set()
        assert self.goes.wait(WAIT_S)
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")
        self._read(fd, buffer, offset)


@pytest.mark.parametrize("form", FORMS)
def test_a_hanging_disk_gives_a_partial_answer_in_time(
    take: Take, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    whole = take.ask("what was there?", **FORMS[form])
    assert whole.coverage == 1.0
    with monkeypatch.context() as patched:
        disk = Disk(patched)
        answer = take.ask("what was there?", deadline_s=SOON_S, **FORMS[form])
        assert not disk.goes.is_set(), "it was not waited for"
        assert answer.coverage < 1
        disk.goes.set()
    again = take.ask("what was there?", **FORMS[form])
    assert (again.text, again.evidence, again.coverage) == (whole.text, whole.evidence, 1.0)


def test_nothing_comes_in_time_where_everything_is_on_the_disk(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        disk = Disk(patched)
        answer = take.ask("what?", deadline_s=SOON_S, at_s=11.0, select_by="blind")
        assert answer.coverage == 0
        disk.goes.set()


def test_without_a_deadline_the_disk_is_waited_for(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = take.ask("what was there?")
    with monkeypatch.context() as patched:
        disk = Disk(patched)
        asking = take.submit("what was there?")
        with pytest.raises(TimeoutError):
            asking.result(SOON_S)
        disk.goes.set()
        answer = asking.result(WAIT_S)
    assert (answer.text, answer.coverage) == (whole.text, 1.0)


def test_a_cancelled_question_does_not_wait_for_the_disk(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        disk = Disk(patched)
        asking = take.submit("what was there?")
        assert disk.came.wait(WAIT_S)
        asking.cancel()
        assert asking.result(WAIT_S).partial
        assert not disk.goes.is_set()
        disk.goes.set()


@pytest.mark.parametrize("form", FORMS)
def test_a_failing_disk_costs_coverage_and_no_answer(
    take: Take, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    with monkeypatch.context() as patched:
        disk = Disk(patched)
        disk.fails = True
        disk.goes.set()
        assert take.ask("what was there?", **FORMS[form]).coverage < 1
    assert take.ask("what was there?", **FORMS[form]).coverage == 1


def test_reading_may_take_half_of_what_is_left() -> None:
    assert Patience.of(Asked(question="what?")).left_s is None
    assert Patience.of(Asked(question="what?", left_s=lambda: 3.0)).left_s == SHARE * 3.0
