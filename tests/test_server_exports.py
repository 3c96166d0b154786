"""Exports over HTTP: so many lie on the disk at the same time, each until it is sent."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from longtake.server.private_folder import PREFIX
from longtake.server.routes.blocking import Blocking
from longtake.server.routes.zipped import Zipped, export_zip
from longtake.server.takes.hall import MOST_EXPORTS, Hall
from longtake.server.takes.hosted import Hosted
from longtake.server.takes.places import Places
from longtake.server.takes.refusals import TooMany
from tests.rigs.hosting import hall, jpeg


@pytest.fixture(scope="module")
def made() -> Iterator[Hall]:
    with hall() as shared:
        yield shared


@pytest.fixture(scope="module")
def take(made: Hall) -> Hosted:
    hosted = made.open("live")
    for second in range(8):  # longer than the window: an export is of what left it
        hosted.push(jpeg(seed=second), pts_s=float(second))
        hosted.take.drain()
    return hosted


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where exports lie."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


async def sent(answer: Zipped, *, leaves: bool = False) -> bytes:
    """Its body; or somebody leaves at its first byte."""
    body = bytearray()

    async def send(message: Any) -> None:
        if leaves and message["type"] == "http.response.body":
            raise OSError("he left")
        body.extend(message.get("body", b""))

    async def receive() -> Any:
        return await asyncio.Event().wait()

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
    await answer(scope, receive, send)  # type: ignore[arg-type]
    return bytes(body)


def test_exports_are_bounded_over_all_takes_until_they_are_sent(
    made: Hall, take: Hosted, folder: Path
) -> None:
    async def work() -> None:
        blocking = Blocking(2)
        other = made.open("other")
        answers = [await export_zip(blocking, take, None, None) for _ in range(MOST_EXPORTS)]
        with pytest.raises(TooMany, match=f"{MOST_EXPORTS} exports") as refused:
            await export_zip(blocking, other, None, None)
        assert refused.value.retry_after_s > 0
        assert len(list(folder.glob(f"{PREFIX}export*"))) == MOST_EXPORTS
        assert zipfile.ZipFile(BytesIO(await sent(answers[0]))).namelist()
        again = await export_zip(blocking, take, None, None)
        for answer in (answers[1], again):
            with pytest.raises(ClientDisconnect):
                await sent(answer, leaves=True)
        assert made.exports.taken == 0 and list(folder.glob(f"{PREFIX}export*")) == []

    asyncio.run(work())


def test_an_export_that_fails_leaves_its_place(
    made: Hall, take: Hosted, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(take.take, "export", fail)
    with pytest.raises(OSError, match="no room"):
        asyncio.run(export_zip(Blocking(1), take, None, None))
    assert made.exports.taken == 0 and list(folder.glob(f"{PREFIX}export*")) == []


def test_a_place_is_left_once_however_often_one_leaves() -> None:
    places = Places(2, "things are done")
    first, _ = places.take(), places.take()
    first()
    first()
    assert places.taken == 1
    places.take()
    with pytest.raises(TooMany, match="2 things are done"):
        places.take()
