"""Both WebSockets of a take over a real server: cameras that are pushed, and whoever looks."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from longtake.server import running
from longtake.server.config import ServeConfig
from longtake.server.sockets import viewing
from longtake.server.sockets.frame_message import HEADER, FrameMessage, number_in, preview
from longtake.server.takes import hosted as hosted_module
from longtake.server.takes import lens as lens_module
from longtake.server.takes.hall import Hall
from longtake.server.takes.hosted import Hosted
from longtake.server.takes.lens import Preview
from tests.rigs.hosting import LONG_S, hall, jpeg, message, open_socket, sockets
from tests.rigs.watching import until

MOST_BYTES = 1 << 20
FREE_S = 5.0  # in which the name of a visitor who left is free


@pytest.fixture(scope="module")
def shared() -> Iterator[Hall]:
    with hall(ServeConfig(port=0, max_sockets=12, max_message_bytes=MOST_BYTES)) as made:
        yield made


@pytest.fixture(scope="module")
def url(shared: Hall) -> Iterator[str]:
    with sockets(shared) as made:
        yield made


@pytest.fixture
def take(shared: Hall) -> Iterator[Hosted]:
    hosted = shared.open()
    yield hosted
    if hosted in shared.all():
        shared.remove(hosted.id)
    until(lambda: shared.sockets == 0)


@pytest.fixture
def pushing(url: str, take: Hosted) -> Iterator[ClientConnection]:
    """A camera whose hello was heard."""
    with open_socket(f"{url}/{take.id}/frames") as camera:
        heard(camera)
        yield camera


def heard(peer: ClientConnection) -> dict[str, Any]:
    """The next message of text; previews before it are passed by."""
    while isinstance(said := peer.recv(LONG_S), bytes):
        pass
    found: dict[str, Any] = json.loads(said)
    return found


def seen(peer: ClientConnection) -> tuple[float, int, int, bytes]:
    """The next preview: age, number, place, JPEG; texts before it are passed by."""
    while isinstance(data := peer.recv(LONG_S), str):
        pass
    return (*HEADER.unpack_from(data), data[HEADER.size :])


def closed(peer: ClientConnection) -> tuple[int, str]:
    """How the server ended it; what it sent before is passed by."""
    with pytest.raises(ConnectionClosed):
        while True:
            peer.recv(LONG_S)
    assert peer.protocol.close_code is not None
    return peer.protocol.close_code, peer.protocol.close_reason or ""


# ------------------------------------------------------------------ messages


def test_a_message_is_sixteen_bytes_and_a_picture() -> None:
    data = message(b"picture", 1.5, 7, age_ms=250)
    frame = FrameMessage.read(data)
    assert frame == FrameMessage(1.5, 7, 0.25, b"picture") and number_in(data) == 7
    assert frame.sent_s == 1.75
    assert preview(0.25, (1 << 32) + 3, 2, b"x") == struct.pack("<dII", 0.25, 3, 2) + b"x"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 15,
        b"x" * 16,
        message(b"x", float("nan")),
        message(b"x", float("inf")),
        message(b"x", -1.0),
        message(b"x", 1.0, age_ms=3_600_001),
    ],
)
def test_what_is_no_frame_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"send|must be"):
        FrameMessage.read(data)


# ------------------------------------------------------------------ a camera comes in


def test_frames_that_are_pushed_are_seen_and_each_is_answered(url: str, take: Hosted) -> None:
    with open_socket(f"{url}/{take.id}/frames?camera=webcam") as camera:
        assert heard(camera) == {"camera": "webcam", "fps": 5.0, "most_bytes": MOST_BYTES}
        begun_s = time.monotonic()
        number = 0
        while take.take.stats().frames < 4:
            number += 1
            camera.send(message(jpeg(seed=number), time.monotonic(), number))
            answer = heard(camera)
            assert answer["seq"] == number and answer["lag_s"] >= 0
            assert answer["accepted"] == (answer["reason"] == "")
        source = take.sources()[0]
        assert (source.kind, source.state, source.camera) == ("push", "live", "webcam")
        assert source.seen == number == source.kept + source.dropped
        assert take.take.now_s <= time.monotonic() - begun_s + 1.0
    until(lambda: take.sources() == [])


def test_a_frame_lies_where_it_was_taken_however_late_it_comes(
    take: Hosted, pushing: ClientConnection
) -> None:
    """The clock of the sender begins anywhere; the frame that was least late lays it onto ours."""
    skew_s = 5000.0
    first_s = time.monotonic()
    pushing.send(message(jpeg(seed=1), first_s + skew_s, 1))
    assert heard(pushing)["accepted"]
    shown = take.take.read_latest(max_age_ms=1e6).pts_s
    taken_s = first_s + 0.25
    until(lambda: time.monotonic() > taken_s + 0.4)
    pushing.send(message(jpeg(seed=2), taken_s + skew_s, 2))
    assert heard(pushing)["accepted"]
    assert take.take.read_latest(max_age_ms=1e6).pts_s - shown == pytest.approx(0.25, abs=0.1)
    assert take.sources()[0].lag_s >= 0.4


def test_an_age_that_all_frames_of_a_camera_have_is_not_lost(
    take: Hosted, pushing: ClientConnection
) -> None:
    """By their times alone they look as if each had been on its way for so long."""
    for number in (1, 2):
        sent_s = time.monotonic()
        pushing.send(message(jpeg(seed=number), sent_s - 0.8, number, age_ms=800))
        assert heard(pushing)["accepted"]
        until(lambda since_s=sent_s: time.monotonic() > since_s + 0.5)  # type: ignore[misc]
    taken_s = take.take.read_latest(max_age_ms=1e6).pts_s
    assert take.take.now_s - taken_s >= 0.8 + 0.5 - 0.01
    assert take.sources()[0].lag_s >= 0.8


def test_of_frames_that_come_too_fast_the_newest_wins_and_all_are_answered(
    take: Hosted, pushing: ClientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, real = threading.Event(), threading.Event(), take.push

    def slow(data: bytes, **more: Any) -> Any:
        begun.set()
        assert go_on.wait(LONG_S)
        return real(data, **more)

    monkeypatch.setattr(take, "push", slow)
    pushing.send(message(jpeg(), 1.0, 1))
    assert begun.wait(LONG_S)
    for number in (2, 3, 4, 5):
        pushing.send(message(jpeg(seed=number), 1.0 + number / 100, number))
    replaced = [heard(pushing) for _ in range(3)]
    assert [answer["seq"] for answer in replaced] == [2, 3, 4]
    assert {answer["reason"] for answer in replaced} == {"a newer frame came"}
    go_on.set()
    assert [heard(pushing)["seq"] for _ in range(2)] == [1, 5]
    source = take.sources()[0]
    assert source.seen == 5 == source.kept + source.dropped


MALFORMED = [
    b"",
    b"short",
    message(jpeg(), float("nan")),
    message(jpeg(), 1.0, age_ms=(1 << 32) - 1),
    message(b"no picture at all", 1.0),
    message(jpeg()[:200], 1.0),
    "text",
]


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
def test_three_malformed_messages_in_a_row_end_a_socket_with_the_reason(
    pushing: ClientConnection, take: Hosted, data: bytes | str
) -> None:
    for _ in range(2):
        pushing.send(data)
        assert not heard(pushing)["accepted"]
    pushing.send(message(jpeg(), time.monotonic(), 9))
    assert heard(pushing)["seq"] == 9
    reasons = set()
    for _ in range(3):
        pushing.send(data)
        reasons.add(heard(pushing)["reason"])
    code, reason = closed(pushing)
    assert code == 4400 and reason and [each[: len(reason)] for each in reasons] == [reason]


def test_a_message_that_is_too_large_ends_a_socket(take: Hosted, pushing: ClientConnection) -> None:
    pushing.send(message(b"\xff" * (MOST_BYTES + 1), 1.0))
    assert closed(pushing)[0] == 1009


def test_a_refusal_of_the_take_is_passed_on(
    take: Hosted, pushing: ClientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("this take is closed")

    monkeypatch.setattr(take, "push", refuse)
    for number in range(4):
        pushing.send(message(jpeg(), 1.0 + number, number))
        assert heard(pushing)["reason"] == "this take is closed"


# ------------------------------------------------------------------ names come free


def test_each_visitor_has_a_name_and_leaves_it_when_he_goes(url: str, take: Hosted) -> None:
    with ExitStack() as held:
        names = []
        for _ in range(3):
            camera = held.enter_context(open_socket(f"{url}/{take.id}/frames?camera=webcam"))
            names.append(heard(camera)["camera"])
        assert names == ["webcam", "webcam 2", "webcam 3"]
    until(lambda: take.sources() == [], FREE_S)


def test_a_visitor_who_vanishes_leaves_his_name_and_seat(
    shared: Hall, take: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cable that is cut says nothing: pings are not answered any more."""
    assert 2 * running.PING_S < FREE_S
    monkeypatch.setattr(running, "PING_S", 0.2)
    with sockets(shared) as url:
        mute = raw_socket(f"{url}/{take.id}/frames")
        until(lambda: len(take.sources()) == 1)
        until(lambda: take.sources() == [] and shared.sockets == 0, FREE_S)
        mute.close()


def test_a_camera_that_somebody_removes_is_told(take: Hosted, pushing: ClientConnection) -> None:
    take.remove_source(take.sources()[0].id)
    assert closed(pushing) == (1000, "this camera was removed")


# ------------------------------------------------------------------ how sockets end


def test_what_fails_inside_is_logged_and_not_told(
    take: Hosted,
    pushing: ClientConnection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError("/secret/path: rtsp://user:secret@cam is gone")

    monkeypatch.setattr(take, "push", fail)
    pushing.send(message(jpeg(), 1.0))
    code, reason = closed(pushing)
    assert code == 1011 and "secret" not in reason
    assert "is gone" in caplog.text


def test_what_fails_while_a_frame_is_shown_is_logged_and_not_told(
    take: Hosted,
    pushing: ClientConnection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(take, "push", fail)
    pushing.send(message(jpeg(), 1.0))
    code, reason = closed(pushing)
    assert code == 1011 and "CUDA" not in reason and "CUDA" in caplog.text


@pytest.mark.parametrize("which", ["frames", "view"])
def test_an_unknown_take_ends_a_socket_with_those_there_are(
    url: str, take: Hosted, which: str
) -> None:
    with open_socket(f"{url}/nobody/{which}") as peer:
        code, reason = closed(peer)
    assert code == 4404 and take.id in reason


def test_a_take_that_is_removed_ends_its_sockets_at_once(
    shared: Hall, url: str, take: Hosted, pushing: ClientConnection
) -> None:
    with open_socket(f"{url}/{take.id}/view") as viewer:
        heard(viewer)
        shared.remove(take.id)
        assert closed(viewer) == (4404, "this take was closed")
    assert closed(pushing) == (4404, "this take was closed")


def test_a_server_that_ends_says_so(url: str) -> None:
    with hall() as made, sockets(made) as other:
        made.open("live")
        with open_socket(f"{other}/live/view") as viewer:
            heard(viewer)
            made.announce()
            assert closed(viewer) == (1001, "the server is ending")
        with open_socket(f"{other}/live/frames") as camera:
            assert closed(camera)[0] == 1001


def test_sockets_are_bounded(url: str, shared: Hall, take: Hosted) -> None:
    with ExitStack() as held:
        for _ in range(12):
            heard(held.enter_context(open_socket(f"{url}/{take.id}/view")))
        with open_socket(f"{url}/{take.id}/view") as late:
            code, reason = closed(late)
        assert code == 1013 and "12 sockets" in reason
    until(lambda: shared.sockets == 0)
    with open_socket(f"{url}/{take.id}/view") as again:
        while heard(again)["viewers"] > 1:  # it is told once a second
            pass


def test_a_name_that_cannot_be_is_no_camera(url: str, take: Hosted, pushing: Any) -> None:
    with open_socket(f"{url}/{take.id}/frames?camera={'x' * 300}") as camera:
        code, reason = closed(camera)
    assert code == 4400 and "camera" in reason


# ------------------------------------------------------------------ whoever looks


def test_a_viewer_is_told_at_once_how_a_take_stands_and_then_what_changes(
    url: str, take: Hosted
) -> None:
    with open_socket(f"{url}/{take.id}/view") as viewer:
        state = heard(viewer)
        assert (state["kind"], state["take"], state["sources"]) == ("state", take.id, [])
        with take.claim():
            while not (state := heard(viewer))["sources"]:
                pass
        assert state["viewers"] == 1
        while heard(viewer)["sources"]:
            pass
    until(lambda: take.viewers == 0)


def test_what_a_camera_shows_reaches_viewers_as_it_came(
    url: str, take: Hosted, pushing: ClientConnection
) -> None:
    pictures = {name: jpeg(320, 240, seed) for seed, name in enumerate(["", "webcam"])}
    with (
        open_socket(f"{url}/{take.id}/frames?camera=webcam") as second,
        open_socket(f"{url}/{take.id}/view") as viewer,
    ):
        heard(second)
        for number, (camera, name) in enumerate([(pushing, ""), (second, "webcam")]):
            camera.send(message(pictures[name], time.monotonic(), number))
            heard(camera)
        age_s, number, place, picture = seen(viewer)
        assert picture == pictures[""] and place == 0 and number >= 1 and 0 <= age_s < 5.0
        viewer.send(json.dumps({"camera": "webcam"}))
        assert seen(viewer)[2:] == (1, pictures["webcam"])
        viewer.send(json.dumps({"camera": None}))
        assert seen(viewer)[2:] == (0, pictures[""])
        viewer.send(json.dumps({"camera": "webcam", "previews": False}))
        viewer.send(json.dumps({"previews": True}))
        assert seen(viewer)[2] == 1


def test_a_preview_is_placed_by_the_state_that_its_viewer_was_sent_last() -> None:
    class Peer:
        def __init__(self) -> None:
            self.sent: list[str | tuple[int, int]] = []

        async def send_text(self, text: str) -> None:
            self.sent.append(text)

        async def send_bytes(self, data: bytes) -> None:
            self.sent.append(HEADER.unpack_from(data)[1:])

    async def work() -> list[Any]:
        peer, viewer = Peer(), viewing._Viewer(None, lambda: None)
        sending = asyncio.create_task(viewer.send(peer))  # type: ignore[arg-type]
        picture = Preview(5, 0.0, b"x")

        async def offer(told: viewing._Told | None) -> None:
            viewer.offer_picture("door", picture)
            if told is not None:
                viewer.offer_told(told)
            for _ in range(3):
                await asyncio.sleep(0)

        await offer(None)  # he knows no source yet
        await offer(viewing._Told("one", ("door",)))
        await offer(viewing._Told("two", ("yard", "door", "", "door")))
        await offer(None)
        await offer(viewing._Told("three", ("yard",)))
        sending.cancel()
        return peer.sent

    assert asyncio.run(work()) == ["one", (5, 0), "two", (5, 3), (5, 3), "three"]


def test_a_viewer_may_begin_with_a_camera_and_want_no_previews(
    url: str, take: Hosted, pushing: ClientConnection
) -> None:
    pushing.send(message(jpeg(), time.monotonic()))
    heard(pushing)
    with open_socket(f"{url}/{take.id}/view?camera=nobody") as viewer:
        texts = [viewer.recv(LONG_S) for _ in range(2)]
        assert all(isinstance(text, str) for text in texts)
        viewer.send(json.dumps({"camera": ""}))
        assert seen(viewer)[2] == 0


@pytest.mark.parametrize(
    "said", ["", "{", "[]", '{"camera": 5}', "[" * 5000, '"' + "x" * 2000 + '"', b"\x00\xff"]
)
def test_three_messages_that_mean_nothing_end_a_viewer(
    url: str, take: Hosted, said: str | bytes
) -> None:
    with open_socket(f"{url}/{take.id}/view") as viewer:
        heard(viewer)
        for _ in range(3):
            viewer.send(said)
        code, reason = closed(viewer)
    assert code == 4400 and reason


def test_what_is_sent_is_made_once_however_many_look(
    url: str, take: Hosted, pushing: ClientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"states": 0, "pictures": 0}
    counted(monkeypatch, hosted_module, "state_of", made, "states")
    counted(monkeypatch, lens_module, "encoded", made, "pictures")
    with ExitStack() as held:
        viewers = [held.enter_context(open_socket(f"{url}/{take.id}/view")) for _ in range(8)]
        for viewer in viewers:
            heard(viewer)
        before, begun_s = made["states"], time.monotonic()
        pushing.send(message(jpeg(800, 200), time.monotonic()))
        pictures = {seen(viewer)[3] for viewer in viewers}
        for viewer in viewers:
            heard(viewer)
        passed_s = time.monotonic() - begun_s
    assert len(pictures) == 1 and made["pictures"] == 1
    assert made["states"] - before <= 2 * passed_s + 2


def counted(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, counts: dict[str, int], what: str
) -> None:
    real: Callable[..., Any] = getattr(module, name)

    def count(*given: Any) -> Any:
        counts[what] += 1
        return real(*given)

    monkeypatch.setattr(module, name, count)


def test_a_viewer_who_does_not_read_misses_previews_and_is_let_go(
    shared: Hall, take: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He holds nobody up, and what waits for him is bounded."""
    monkeypatch.setattr(running, "PING_S", 1.0)
    with sockets(shared) as url, take.claim() as camera:
        mute = raw_socket(f"{url}/{take.id}/view", receive_bytes=4096)
        with open_socket(f"{url}/{take.id}/view") as viewer:
            heard(viewer)
            numbers = []
            for seed in range(6):
                take.push(jpeg(640, 480, seed, quality=95), camera=camera)
                numbers.append(seen(viewer)[1])
            assert len(set(numbers)) == 6
            until(lambda: take.missed > 0 or take.viewers == 1, FREE_S)
            assert take.missed > 0, "it is counted while he looks"
            until(lambda: take.viewers == 1, FREE_S)
            while heard(viewer)["missed"] != take.missed:
                pass
            take.push(jpeg(seed=7), camera=camera)
            while len(seen(viewer)[3]) > 100_000:
                pass
        mute.close()


def raw_socket(url: str, receive_bytes: int | None = None) -> socket.socket:
    """A WebSocket that was opened and never reads again, nor answers a ping."""
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    raw = socket.socket()
    if receive_bytes is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    raw.settimeout(LONG_S)
    raw.connect((parts.hostname, parts.port))
    raw.sendall(
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert raw.recv(12) == b"HTTP/1.1 101"
    return raw
