"""What visitors send is bounded, refused early, in our words, and without a word of where things
lie on this machine."""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import sqlite3
import struct
import zlib
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from longtake.memory import database
from longtake.memory.files import MemoryFull
from longtake.models.embedded import world
from longtake.server.config import ServeConfig
from longtake.server.own_places import without_places
from longtake.server.routes.errors import problem_of
from longtake.server.routes.sse import beating
from longtake.server.takes.source_state import shown_address
from longtake.server.takes.uploads import TooLarge, check
from longtake.server.takes.visitors import check_recall
from tests.clips import write_clip
from tests.rigs.api import SEED, Api, api, jpeg

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data"}


@pytest.fixture(scope="module")
def face() -> Iterator[Api]:
    with api(ServeConfig(port=0)) as made:
        yield made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=20, fps=10)
    return path.read_bytes()


def error_of(response: httpx.Response) -> dict[str, Any]:
    """In OpenAI's shape."""
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


# ------------------------------------------------------------------ bodies


def test_a_large_json_body_is_refused_before_it_is_read(face: Api) -> None:
    refused = face.http.post("/v1/takes", content=b"[" + b"1," * (1 << 20), headers=JSON)
    assert refused.status_code == 413 and error_of(refused)["code"] == "too_large"


@pytest.mark.parametrize("body", ["[" * 50_000 + "]" * 50_000, f'{{"fps": {"1" * 5000}}}'])
def test_json_that_cannot_be_read_is_called_so(body: str, face: Api) -> None:
    refused = face.http.post("/v1/takes", content=body, headers=JSON)
    assert refused.status_code == 400 and error_of(refused)["code"] == "invalid_json"


def test_a_form_without_a_boundary_is_called_so(face: Api) -> None:
    refused = face.http.post("/v1/takes/live/frames", content=b"x", headers=FORM)
    assert refused.status_code == 400 and error_of(refused)["code"] == "invalid_form"
    assert "boundary" not in error_of(refused)["message"].lower()


def test_a_streamed_question_is_refused_as_the_plain_one_is(face: Api) -> None:
    asked = {"question": "what?", "max_tokens": 4096}
    plain = face.http.post("/v1/takes/live/ask", json=asked)
    streamed = face.http.post("/v1/takes/live/ask", json={**asked, "stream": True})
    assert plain.status_code == streamed.status_code == 400
    assert error_of(plain) == error_of(streamed)


def test_a_part_without_its_text_is_told_what_is_missing(face: Api) -> None:
    messages = [{"role": "user", "content": [{"type": "text"}]}]
    refused = face.http.post(
        "/v1/chat/completions", json={"model": "embedded", "messages": messages}
    )
    assert refused.status_code == 400 and "text is missing" in error_of(refused)["message"]


def test_a_frame_that_is_refused_as_too_early_has_no_lag(face: Api) -> None:
    image = jpeg(next(iter(world.long_film(random.Random(SEED), 2).frames()))[1])
    frames = "/v1/takes/clocked/frames"
    assert face.http.post("/v1/takes", json={"id": "clocked"}).status_code == 201
    files = {"image": ("x.jpg", image)}
    assert face.http.post(frames, files=files).json()["accepted"], "time runs with the clock now"
    told = face.http.post(frames, files=files, data={"pts_s": "99999999"}).json()
    assert (told["accepted"], told["lag_s"]) == (False, 0.0) and "ahead" in told["reason"]
    face.http.delete("/v1/takes/clocked")


# ------------------------------------------------------------------ models that visitors may name


def test_visitors_load_only_text_image_models_that_the_operator_chose(face: Api) -> None:
    refused = face.http.post("/v1/takes", json={"recall": "model,embedding:/etc"})
    assert refused.status_code == 400 and "operator" in error_of(refused)["message"]
    check_recall("recent:4,embedding:own:3", "model,embedding:own")
    with pytest.raises(ValueError, match="operator chose, and this server has own"):
        check_recall("embedding:other", "model,embedding:own")


# ------------------------------------------------------------------ uploads


def test_an_upload_that_is_in_the_way_is_refused_before_its_bytes_come(
    face: Api, clip: bytes
) -> None:
    files = "/v1/takes/busy/sources/file"
    assert face.http.post("/v1/takes", json={"id": "busy", "fps": 10}).status_code == 201
    twice = [("file", ("a.mp4", clip)), ("file", ("b.mp4", clip))]
    refused = face.http.post(files, files=twice)
    assert refused.status_code == 422 and error_of(refused)["param"] == "file"
    assert face.http.post(files, files={"file": ("a.mp4", clip)}).status_code == 201
    refused = face.http.post(files, content=b"not even a form")
    assert refused.status_code == 409 and error_of(refused)["code"] == "source_in_the_way"
    said = error_of(refused)["message"]
    assert "wait()" not in said and "/tmp" not in said
    face.http.delete("/v1/takes/busy")


def chunk(kind: bytes, data: bytes) -> bytes:
    sum_of = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + sum_of


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 20_001 * 20_000, 1)
    whole = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + whole)
    with pytest.raises(TooLarge, match="20000 x 20000"):
        check(path, ServeConfig(port=0))


# ------------------------------------------------------------------ where things lie


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/tmp/longtake-a1/live: nothing lies there", "nothing lies there"),
        ("a.mp4: no such file in /srv/data; is it?", "a.mp4: no such file in data; is it?"),
        ("rtsp://cam.example:554/main/sub: refused", "rtsp://cam.example:554/main/sub: refused"),
        ("see /v1/takes/live and /dev/video0", "see /v1/takes/live and /dev/video0"),
        ("5/6 of it, and/or nothing", "5/6 of it, and/or nothing"),
    ],
)  # fmt: skip
def test_paths_of_this_machine_are_taken_out_and_nothing_else(said: str, told: str) -> None:
    assert without_places(said) == told


def test_an_export_of_nothing_does_not_tell_where_the_memory_lies(face: Api) -> None:
    refused = face.http.get("/v1/takes/live/export", params={"start_s": 9000, "end_s": 9001})
    assert refused.status_code == 400 and error_of(refused)["message"].startswith("nothing lies")


def test_a_file_of_the_operators_is_shown_by_its_name() -> None:
    assert shown_address("/srv/films/door.mp4") == "door.mp4"
    assert shown_address("/dev/video0") == "/dev/video0"
    assert shown_address("rtsp://me:secret@cam/main/1") == "rtsp://***@cam/main/1"


def test_a_take_that_is_closed_in_the_middle_of_a_verb_is_said_to_be() -> None:
    found = problem_of(ValueError("/tmp/memory: this memory is closed"))
    assert (found.status, found.code) == (404, "take_closed")


# ------------------------------------------------------------------ disks, and those who leave


def test_a_full_disk_is_told_as_one_and_without_its_path() -> None:
    found = problem_of(MemoryFull("/tmp/m/catalog.sqlite: the disk is full"))
    assert (found.status, found.message) == (507, "the disk is full")
    full = problem_of(OSError(28, "No space left on device", "/tmp/m/lock"))
    assert full.status == 507 and "/tmp" not in full.message


def test_a_database_that_fails_on_a_full_disk_says_that_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every failure that comes of it has SQLite's own code for it."""

    def fail() -> None:
        with database.translated(tmp_path / "catalog.sqlite"):
            raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(OSError, match="disk I/O error") as caught:
        fail()
    assert not isinstance(caught.value, MemoryFull)
    monkeypatch.setattr(database, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(MemoryFull, match="full"):
        fail()


def test_what_goes_wrong_when_nobody_reads_any_more_is_nobodys_business() -> None:
    told: list[Any] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: told.append(about))

        async def failing() -> AsyncGenerator[bytes]:
            yield b"one"
            raise ValueError("nobody reads this")

        pieces = beating(failing(), 10.0)
        assert await anext(pieces) == b"one"
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0)  # the next piece is under way
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        gc.collect()

    asyncio.run(run())
    gc.collect()
    assert told == []
