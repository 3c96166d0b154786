"""A take on a server, held from another machine: every verb, as a take on this one has it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import longtake
from longtake.client import Busy, Client, RemoteTake
from longtake.client.event_stream import ServerEvent, events_of
from longtake.models.decode import Decoding
from longtake.server.config import ServeConfig
from longtake.server.takes.refusals import NoSuchAlert, NoSuchTake
from longtake.streaming.errors import SourceError, SourceRefused
from longtake.streaming.masks import Mask
from longtake.worker import Busy as EngineBusy
from tests.clips import write_clip
from tests.rigs.api import Api, api
from tests.rigs.hosting import encode, jpeg
from tests.rigs.http_camera import mjpeg_camera
from tests.rigs.remote import Far, far
from tests.rigs.watching import until

SOON_S = 10.0


@pytest.fixture(scope="module")
def film() -> Iterator[Api]:
    """A server whose take `live` has seen a film."""
    with api() as made:
        yield made


@pytest.fixture
def seen(film: Api) -> Iterator[RemoteTake]:
    with Client(film.url) as client:
        yield client.take()


@pytest.fixture(scope="module")
def server() -> Iterator[Far]:
    with far(ServeConfig(port=0, max_takes=3, allow_sources=("127.0.0.1/32",))) as made:
        yield made


@pytest.fixture
def client(server: Far) -> Iterator[Client]:
    with Client(server.url) as made:
        yield made


@pytest.fixture
def take(client: Client) -> Iterator[RemoteTake]:
    with client.open("arm") as made:
        yield made
        client.take("arm").close(remove=True)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


# -------------------------------------------------------------------- questions


def test_an_answer_is_what_a_take_here_would_say(film: Api, seen: RemoteTake) -> None:
    question = film.question().text
    here, there = film.live.take.ask(question), seen.ask(question)
    assert (there.text, there.as_of_s, there.coverage) == (here.text, here.as_of_s, here.coverage)
    assert not there.partial and there.timings.tokens == here.timings.tokens
    spans = [(moment.start_s, moment.end_s, moment.number) for moment in here.evidence]
    assert [(moment.start_s, moment.end_s, moment.number) for moment in there.evidence] == spans
    assert there.evidence and all(moment.thumbnail is None for moment in there.evidence)


def test_pictures_of_the_evidence_come_when_they_are_asked_for(film: Api, seen: RemoteTake) -> None:
    question = film.question().text
    thumbnails = [moment.thumbnail for moment in film.live.take.ask(question).evidence]
    asked = seen.ask(question, thumbnails=True)
    assert [moment.thumbnail for moment in asked.evidence] == thumbnails and all(thumbnails)
    assert [seen.thumbnail(moment) for moment in seen.ask(question).evidence] == thumbnails


def test_the_pieces_of_an_answer_are_its_text(film: Api, seen: RemoteTake) -> None:
    asking = seen.stream(film.question().text)
    assert isinstance(asking, longtake.Asking)
    assert "".join(asking) == asking.result(SOON_S).text

    async def ask() -> tuple[str, str]:
        pieces = [piece async for piece in seen.astream(film.question().text)]
        return "".join(pieces), (await seen.aask(film.question().text)).text

    assert asyncio.run(ask()) == (asking.result().text,) * 2


def test_options_of_a_question_reach_the_model(film: Api, seen: RemoteTake) -> None:
    question = film.question().text
    short = seen.ask(question, decoding=Decoding(max_tokens=1), conversation="one", top_k=1)
    assert short.timings.tokens == 1
    chosen = seen.ask(question, choices=("green", "red"), decoding={"max_tokens": 4})
    assert {choice.text for choice in chosen.choices} == {"green", "red"}
    assert chosen.text == chosen.choices[0].text
    early = seen.ask(question, at_s=10.0, between_s=(0.0, 8.0))
    assert early.as_of_s <= 10.0 and all(moment.end_s <= 9.0 for moment in early.evidence)


@pytest.mark.parametrize(
    "options", [{"top_k": 0}, {"between_s": (5.0, 1.0)}, {"at_s": float("nan")}, {"choices": [""]}]
)
def test_what_makes_no_sense_is_a_value_error_when_it_is_asked(
    seen: RemoteTake, options: dict[str, object]
) -> None:
    with pytest.raises(ValueError):
        seen.submit("what colour was the ring", **options)  # type: ignore[arg-type]


def test_a_busy_server_is_asked_again_only_where_that_is_wanted(
    film: Api, seen: RemoteTake, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, refused = film.live.ask, [0]

    async def busy(question: str, **options: object) -> object:
        refused[0] += 1
        if refused[0] <= 2:
            error = EngineBusy("too many questions wait")
            error.retry_after_s = 0.0  # type: ignore[attr-defined]
            raise error
        return await ask(question, **options)

    monkeypatch.setattr(film.live, "ask", busy)
    with pytest.raises(Busy, match="too many") as raised:
        seen.ask("what colour was the ring")
    assert isinstance(raised.value, EngineBusy) and raised.value.retry_after_s == 0.0
    assert refused == [1]
    assert seen.ask("what colour was the ring", patience_s=SOON_S).text
    assert refused == [3]


# -------------------------------------------------------------------- the past


def test_the_past_is_what_a_take_here_would_show(film: Api, seen: RemoteTake) -> None:
    here = film.live.take
    there = seen.search("red ring", 3, between_s=(0.0, 30.0))
    assert [(f.start_s, f.number, f.matched) for f in there] == [
        (f.start_s, f.number, f.matched) for f in here.search("red ring", 3, (0.0, 30.0))
    ]
    assert seen.thumbnail(there[0]) == here.search("red ring", 3, (0.0, 30.0))[0].thumbnail
    shown = here.frames(4.0, 9.0)
    assert [p.number for p in seen.frames(4.0, 9.0)] == [p.number for p in shown]
    assert len(seen.frames(most=2)) == 2
    assert seen.picture(shown[0].number) == shown[0]
    assert seen.picture_at(7.0) == here.picture_at(7.0)
    assert seen.picture(10_000) is None
    assert abs(seen.now_s - here.now_s) < 1e-6
    assert seen.stats()["frames"] == here.stats().frames
    assert seen.timeline(0.0, 10.0, 100)["held"]


def test_what_was_logged_is_found(film: Api, seen: RemoteTake) -> None:
    logged = film.live.take.log("note", "somebody", "the door", start_s=3.0, end_s=4.0, score=0.5)
    assert seen.events(kind="note") == [logged]
    assert seen.events(0.0, 2.0, "note") == [] and seen.events(after=logged.number) == []


def test_a_span_is_kept_released_and_forgotten(film: Api, seen: RemoteTake) -> None:
    here = film.live.take
    assert seen.keep(20.0, 21.0) == 1 and here.stats().kept
    seen.release(20.0, 21.0)
    assert not here.stats().kept
    gone = seen.forget(10.0, 11.0)
    assert gone.chunks >= 1 and gone.nbytes > 0
    assert seen.frames(10.0, 11.0) == []
    with pytest.raises(ValueError):
        seen.keep(5.0, 1.0)


def test_an_export_comes_as_a_folder_or_as_a_zip(
    film: Api, seen: RemoteTake, tmp_path: Path
) -> None:
    film.live.take.export(tmp_path / "here", 0.0, 6.0)
    there = seen.export(tmp_path / "there", 0.0, 6.0)
    names = {str(p.relative_to(tmp_path / "here")) for p in (tmp_path / "here").rglob("*")}
    assert {str(p.relative_to(there)) for p in there.rglob("*")} == names and names
    packed = seen.export(tmp_path / "all.zip", 0.0, 6.0)
    assert zipfile.is_zipfile(packed)
    for taken in (there, packed):
        with pytest.raises(FileExistsError, match="there already"):
            seen.export(taken)
    with pytest.raises(ValueError):
        seen.export(tmp_path / "none", 5000.0, 6000.0)
    assert {p.name for p in tmp_path.iterdir()} == {"here", "there", "all.zip"}


# -------------------------------------------------------------------- takes


def test_takes_are_opened_joined_and_removed(server: Far, client: Client) -> None:
    assert client.models() == ["embedded"]
    with client.open("arm", model="embedded", fps=2.0, decoding={"max_tokens": 2}) as first:
        assert client.open("arm").id == "arm", "one that is open is joined"
        assert server.hall.find("arm").take.pace.fps == 2.0
        assert {told["id"] for told in client.takes()} == {"live", "arm"}
        assert client.take().id == "live"
        with pytest.raises(ValueError, match="'other'"):
            client.open("arm", model="other")
        first.close(remove=True)
        first.close(remove=True)
    with pytest.raises(RuntimeError, match="this take is closed"):
        first.stats()
    with pytest.raises(NoSuchTake, match="there is live"):
        client.take("arm")
    with client.open() as nameless:
        nameless.close(remove=True, forget=True)
    assert [told["id"] for told in client.takes()] == ["live"]


@pytest.mark.parametrize("settings", [{"fps": -1.0}, {"colour": "red"}, {"id": "No Such Id"}])
def test_settings_that_make_no_sense_are_told(client: Client, settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        client.open(**settings)  # type: ignore[arg-type]


# -------------------------------------------------------------------- frames and sources


def test_every_frame_that_is_pushed_has_one_fate(server: Far, take: RemoteTake) -> None:
    for number in range(30):
        pushed = take.push(picture(number), camera="wrist")
        assert pushed.accepted and pushed.reason == "on its way"
    assert take.flush(SOON_S)
    counts = take.pushes("wrist")
    assert counts.pushed == 30 == counts.accepted + sum(counts.dropped.values())
    assert counts.waiting == counts.unanswered == 0 and counts.is_connected
    hosted = server.hall.find("arm")
    assert counts.accepted >= 1 and [each.camera for each in hosted.sources()] == [counts.camera]
    stats = hosted.take.stats()
    assert stats.received == counts.accepted, "what was taken is what came"


def test_the_newest_frame_is_the_one_that_goes(
    server: Far, take: RemoteTake, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted, came = server.hall.find("arm"), list[bytes]()
    push = hosted.push

    def noted(data: bytes, **more: Any) -> Any:
        came.append(data)
        return push(data, **more)

    monkeypatch.setattr(hosted, "push", noted)
    for number in range(40):
        take.push(picture(number))
    assert take.flush(SOON_S)
    assert came[-1] == encode(picture(39), quality=90) and len(came) < 40
    data = encode(picture(40), quality=50)
    take.push(data, age_s=0.5)
    assert take.flush(SOON_S) and came[-1] == data, "a JPEG goes as it is"


def test_a_frame_with_a_time_of_its_own_is_answered(server: Far, take: RemoteTake) -> None:
    assert take.push(picture(), 1.0) == longtake.client.Pushed(True, "", 1.0)
    again = take.push(picture(), 1.0)
    assert not again.accepted and again.reason
    assert server.hall.find("arm").take.stats().received == 2


@pytest.mark.parametrize(
    "image", [b"hello", np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), "x"]
)
@pytest.mark.parametrize("pts_s", [None, 1.0])
def test_what_is_no_picture_is_told_at_once(
    take: RemoteTake, image: object, pts_s: float | None
) -> None:
    with pytest.raises(ValueError):
        take.push(image, pts_s)  # type: ignore[arg-type]


def test_a_video_is_sent_and_watched_to_its_end(
    server: Far, take: RemoteTake, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, fps=5)
    told: list[tuple[int, int]] = []
    watch = take.watch_file(clip, camera="door", progress=lambda *now: told.append(now))
    assert told[-1] == (clip.stat().st_size,) * 2 and watch.address == "clip.mp4"
    assert watch.wait(SOON_S)["kept"] == 10
    assert server.hall.find("arm").take.stats().frames == 10
    (tmp_path / "text.mp4").write_text("hello" * 100)
    with pytest.raises(SourceError):
        take.watch_file(tmp_path / "text.mp4")
    with pytest.raises(FileNotFoundError):
        take.watch_file(tmp_path / "none.mp4")


def test_a_camera_is_watched_until_it_is_stopped(take: RemoteTake) -> None:
    with mjpeg_camera() as camera:
        watch = take.watch(camera.url(), camera="door")
        until(lambda: watch.state == "live", what="a frame")
        assert watch.error == ""
        with pytest.raises(TimeoutError, match="is live"):
            watch.wait(0.0)
        watch.stop()
        watch.stop()
    with pytest.raises(LookupError, match="no more"):
        watch.told()
    with pytest.raises(SourceRefused):
        take.watch("file:///etc/passwd")


def test_masks_are_put_and_told(take: RemoteTake) -> None:
    corner = Mask(((0.0, 0.0), (0.5, 0.0), (0.0, 0.5)), "door")
    take.mask([corner])
    assert take.masks == (corner,)
    take.mask([])
    assert not take.masks


# -------------------------------------------------------------------- alerts and lines


def test_an_alert_is_told_here_by_callback_and_by_iteration(server: Far, take: RemoteTake) -> None:
    heard: list[longtake.AlertEvent] = []
    has_come = threading.Event()

    def on_event(event: longtake.AlertEvent) -> None:
        heard.append(event)
        has_come.set()

    with take.alert(
        "is there a red ring?", on_event, every_s=0.1, confirm=1, threshold=1e-6, name="ring"
    ) as alert:
        assert isinstance(alert, longtake.Alert) and take.alerts == (alert,)
        for number in range(8):
            take.push(picture(number), number / 5)
        event = alert.poll(SOON_S)
        assert event is not None and has_come.wait(SOON_S) and heard == [event]
        (logged,) = take.events(kind="alert")
        assert (event.number, event.name, event.condition) == (
            logged.number, "ring", "is there a red ring?",
        )  # fmt: skip
        assert event.probability > 1e-6 and event.fired_s >= event.at_s
        assert alert.stats().fired == 1 and alert.stats().judged >= 1
        alert.pause()
        assert alert.is_paused and server.hall.find("arm").alerts()[0].paused
        alert.resume()
        assert not alert.is_paused
    assert alert.is_over and list(alert) == [] and take.alerts == ()
    alert.cancel()
    with pytest.raises(NoSuchAlert):
        alert.resume()


def test_an_alert_that_makes_no_sense_is_refused(take: RemoteTake) -> None:
    with pytest.raises(ValueError, match="every_s"):
        take.alert("a ring?", every_s=0.0)
    with take.alert("a ring?", name="one"), pytest.raises(ValueError, match="one"):
        take.alert("a cross?", name="one")


def test_lines_are_spoken_until_they_are_ended(server: Far, take: RemoteTake) -> None:
    with take.narrate(every_s=0.2, rule="always") as narration:
        with pytest.raises(RuntimeError):
            take.narrate()
        for number in range(8):
            take.push(picture(number), number / 5)
        until(lambda: narration.newest(), what="a line")
        assert take.stats()["narrating"]
    assert not server.hall.find("arm").is_narrating


# -------------------------------------------------------------------- without an engine


def test_a_robot_needs_neither_torch_nor_opencv_nor_a_server_s_libraries(server: Far) -> None:
    code = """
import sys
for name in ("torch", "cv2", "av", "transformers", "fastapi", "uvicorn", "starlette", "gradio"):
    sys.modules[name] = None
import longtake
with longtake.Client(sys.argv[1]) as client, client.open("robot", fps=20.0) as take:
    while not take.stats()["frames"]:
        take.push(bytes.fromhex(sys.argv[2]))
        assert take.flush(10)
    with take.alert("a ring?"):
        print(take.pushes().accepted > 1, bool(take.ask("is there a ring?").text))
    take.close(remove=True)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, server.url, jpeg().hex()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True\n", "")


# -------------------------------------------------------------------- streams of events


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_are_read_however_they_are_cut(size: int) -> None:
    body = (
        b': hello\n\nid: 7\r\nevent: alert\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
        b"data: \xe2\x80\xa8text\n\nevent: piece\ndata: cut off"
    )
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert list(events_of(pieces)) == [
        ServerEvent(""),
        ServerEvent("alert", {"a": 1}, "7"),
        ServerEvent("message", "\u2028text"),
    ]
