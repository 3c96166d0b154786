"""How a server ends while work is under way, and what waits for what."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from longtake.server.app import create_app
from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.routes.blocking import Blocking
from longtake.server.running import Serving, listen, url_of
from longtake.server.takes.hall import Hall
from longtake.server.takes.recent import Recent
from longtake.server.takes.refusals import Ending
from longtake.take import Take
from tests.rigs.hosting import hall

WAIT_S = 20.0
SOON_S = 3.0  # well under the server's time of grace


class Ended:
    """A server in a thread that is told to end as `longtake serve` is, and its log."""

    def __init__(self, hall: Hall) -> None:
        config, ready = ServeConfig(port=0), threading.Event()
        app = create_app(hall, Access.of(), config)
        self.serving = Serving(app, config, on_ready=ready.set, on_ending=hall.announce)
        self.listener = listen(config)
        self.url = url_of(self.listener)
        self.thread = threading.Thread(target=self.serving.serve_on, args=([self.listener],))
        self.thread.start()
        assert ready.wait(WAIT_S)

    def end(self, *, at_once: bool = False) -> float:
        """Seconds that it took."""
        begun_s = time.monotonic()
        self.serving.stop()
        if at_once:
            self.serving.stop()
        self.thread.join(WAIT_S)
        self.listener.close()
        assert not self.thread.is_alive()
        return time.monotonic() - begun_s


@pytest.mark.parametrize("at_once", [False, True])
def test_a_server_ends_soon_while_an_export_is_made(
    at_once: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def export(*_: object) -> None:
        begun.set()
        assert go_on.wait(WAIT_S)

    monkeypatch.setattr(Take, "export", export)
    statuses: list[int | str] = []

    def ask(url: str) -> None:
        try:
            statuses.append(httpx.get(f"{url}/v1/takes/live/export", timeout=WAIT_S).status_code)
        except httpx.TransportError:
            statuses.append("cut off")

    with hall() as made, caplog.at_level(logging.ERROR):
        made.open("live")
        server = Ended(made)
        asking = threading.Thread(target=ask, args=(server.url,))
        asking.start()
        try:
            assert begun.wait(WAIT_S)
            assert server.end(at_once=at_once) < SOON_S
        finally:
            go_on.set()
        asking.join(WAIT_S)
    assert statuses[0] in ((503, "cut off") if at_once else (503,))
    assert not [each for each in caplog.records if each.exc_info], caplog.text


def test_an_export_that_is_being_sent_breaks_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def export(_: Take, out: Path, *__: object) -> None:
        out.mkdir(parents=True)
        with (out / "large.bin").open("wb") as file:
            file.truncate(64 << 20)

    monkeypatch.setattr(Take, "export", export)
    with hall() as made, caplog.at_level(logging.ERROR):
        made.open("live")
        server = Ended(made)
        with httpx.stream("GET", f"{server.url}/v1/takes/live/export", timeout=WAIT_S) as got:
            parts = got.iter_raw()
            next(parts)
            ending = threading.Thread(target=server.end)
            ending.start()
            while made.find("live").closing is None:
                time.sleep(0.005)
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in parts:
                    pass
        ending.join(WAIT_S)
    assert not [each for each in caplog.records if each.exc_info], caplog.text


def test_work_under_way_keeps_no_process_alive() -> None:
    program = """
import asyncio, time
from longtake.server.routes.blocking import Blocking
async def main():
    pool = Blocking(1)
    asyncio.ensure_future(pool.run(time.sleep, 60))
    await asyncio.sleep(0.05)
    pool.close()
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=WAIT_S)


def test_a_closed_pool_tells_all_who_wait_and_begins_nothing_more() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), []

    def hold() -> None:
        begun.set()
        go_on.wait(WAIT_S)

    async def main() -> list[Any]:
        pool = Blocking(1)
        calls = [asyncio.ensure_future(pool.run(hold))]
        while not begun.is_set():
            await asyncio.sleep(0.001)
        calls.append(asyncio.ensure_future(pool.run(done.append, 1)))
        await asyncio.sleep(0)
        assert pool.waiting == 2
        pool.close()
        ended = await asyncio.gather(*calls, pool.run(done.append, 2), return_exceptions=True)
        go_on.set()
        while pool.waiting:
            await asyncio.sleep(0.001)
        return ended

    assert all(isinstance(each, Ending) for each in asyncio.run(main()))
    assert done == []


def test_what_one_key_computes_does_not_wait_for_another() -> None:
    recent: Recent[str] = Recent(1000.0, 4)
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        inside.set()
        assert go_on.wait(WAIT_S)
        return "slow"

    thread = threading.Thread(target=recent.get, args=("a", slow))
    thread.start()
    assert inside.wait(WAIT_S)
    others: list[str] = []
    other = threading.Thread(target=lambda: others.append(recent.get("b", lambda: "quick")))
    other.start()
    other.join(WAIT_S / 4)
    go_on.set()
    thread.join(WAIT_S)
    other.join(WAIT_S)
    assert others == ["quick"] and recent.get("a", lambda: "again") == "slow"
    assert recent._turns == {}


def test_the_newest_number_is_known_without_a_look_at_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with hall() as made:
        hosted = made.open("live")
        assert hosted.last_event == 0
        logged = hosted.take.log("note", "test", "one", start_s=1.0, end_s=2.0)
        monkeypatch.setattr(Take, "events", lambda *_, **__: pytest.fail("it looked"))
        assert hosted.last_event == logged.number
