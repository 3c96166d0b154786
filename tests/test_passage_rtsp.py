"""Visitors' RTSP cameras: carried as they are, and never led elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.capture_stats import State
from longtake.streaming.errors import (
    SourceError,
    SourceForbidden,
    SourceLost,
    SourceNotFound,
    SourceRefused,
    SourceTimeout,
)
from longtake.streaming.passage import Passage, Rules
from longtake.streaming.passage_rtsp import Messages, from_camera
from longtake.streaming.probing import probe
from tests.rigs import rtsp
from tests.rigs.inner import Inner, certificate
from tests.rigs.rtsp import RtspCamera
from tests.rigs.watching import Watched, until

HERE = "127.0.0.1/32"
needs_camera = pytest.mark.skipif(bool(rtsp.missing()), reason=rtsp.missing())


@pytest.fixture
def passage() -> Iterator[Passage]:
    with Passage(Rules((HERE,))) as passage:
        yield passage
        until(lambda: passage.connections == 0, what="the end of every connection")


def config(passage: Passage, **settings: float) -> CaptureConfig:
    return CaptureConfig(passage=passage, **{"connect_s": 2.0, "stall_s": 2.0, **settings})


def look(address: str, passage: Passage, **settings: float) -> str | None:
    """The transport, of an address from which at least one picture came."""
    found = probe(address, config(passage, **settings), 0.2)
    assert found.measured.frames > 0
    return found.transport


def camera_that(*answers: str) -> Callable[[socket.socket], None]:
    """Gives the first request the first answer, and so on; `CSEQ` in it is the request's."""

    def answer(line: socket.socket) -> None:
        said = b""
        for text in answers:
            while b"\r\n\r\n" not in said:
                more = line.recv(4096)
                if not more:
                    return
                said += more
            head, _, said = said.partition(b"\r\n\r\n")
            number = re.search(rb"CSeq: *(\d+)", head)
            assert number is not None
            line.sendall(text.replace("CSEQ", number[1].decode()).encode())

    return answer


OPTIONS = "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY\r\n\r\n"
MOVED = "RTSP/1.0 {} Moved\r\nCSeq: CSEQ\r\nLocation: {}\r\n\r\n"


def carry(giver: socket.socket, taker: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := giver.recv(65536):
            taker.sendall(data)
        taker.shutdown(socket.SHUT_RDWR)


@needs_camera
def test_a_camera_is_watched_with_its_login_and_by_tcp_alone(passage: Passage) -> None:
    with RtspCamera("--user", "bob:s3cret") as camera:
        assert look(camera.url("bob:s3cret"), passage) == "tcp"
        for login in ("", "bob:wr0ng"):
            with pytest.raises(SourceRefused, match="the login was refused") as told:
                look(camera.url(login), passage)
            assert "wr0ng" not in str(told.value)
        with pytest.raises(SourceNotFound):
            look(camera.url("bob:s3cret", "nothing"), passage)


@needs_camera
def test_an_encrypted_camera_is_watched(passage: Passage, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    with RtspCamera("--user", "bob:s3cret") as plain:

        def answer(line: socket.socket) -> None:
            with (
                context.wrap_socket(line, server_side=True) as client,
                socket.create_connection(("127.0.0.1", plain.port)) as camera,
            ):
                back = threading.Thread(target=carry, args=(camera, client), daemon=True)
                back.start()
                carry(client, camera)
                back.join()

        with Inner(answer, host="127.0.0.1") as server:
            address = server.url("rtsps", "cam").replace("//", "//bob:s3cret@")
            assert look(address, passage) == "tcp"


@needs_camera
def test_a_camera_that_is_frozen_or_gone_comes_back(passage: Passage) -> None:
    given = {"stall_s": 0.6, "connect_s": 2.0, "backoff_s": 0.1}
    with RtspCamera() as camera, Watched(camera.url(), passage=passage, **given) as watched:
        watched.until_seen(10)
        assert passage.connections == 1
        camera.freeze()
        until(lambda: watched.state is State.RECONNECTING, what="noticing it")
        camera.thaw()
        watched.until_seen(5)


def test_an_inner_camera_is_refused_and_never_connected_to() -> None:
    with Passage(Rules()) as passage, Inner(host="127.0.0.1") as inner:
        for scheme in ("rtsp", "rtsps"):
            with pytest.raises(SourceForbidden, match=r"--allow-source 127\.0\.0\.1"):
                look(inner.url(scheme), passage)
        assert inner.visitors == 0


@pytest.mark.parametrize("status", [301, 302, 303, 305, 307])
@pytest.mark.parametrize("before", [(), (OPTIONS,)], ids=["at once", "at DESCRIBE"])
def test_a_redirect_is_not_followed(status: int, before: tuple[str, ...], passage: Passage) -> None:
    with Inner() as inner:
        moved = MOVED.format(status, inner.url("rtsp"))
        with Inner(camera_that(*before, moved), host="127.0.0.1") as camera:
            with pytest.raises(SourceForbidden, match="leads elsewhere"):
                look(camera.url("rtsp"), passage)
        assert inner.visitors == 0


@pytest.mark.parametrize(
    "answer",
    [
        "RTSP/1.0\t302 Moved\nCSeq: CSEQ\nLocation: {}\n\n",
        "\r\n\r\nRTSP/2.0  301 x\r\nlocation:{}\r\nCSeq: CSEQ\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: CSEQ\r\nLocation: {}\r\n\r\n",
        "RTSP/x 302 Moved\r\nCSeq: CSEQ\r\nLocation: {}\r\n\r\n",
        "RTSP/1.0 +302 Moved\r\nCSeq: CSEQ\r\nLocation: {}\r\n\r\n",
        "$\0\0\4abcdRTSP/1.0 302 Moved\r\nCSeq: CSEQ\r\nLocation: {}\r\n\r\n",
        "RTSP/1.0 200 OK\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n"
        "RTSP/1.0 302 Moved\r\nLocation: {}\r\n\r\n",
        "REDIRECT * RTSP/1.0\r\nCSeq: 1\r\nLocation: {}\r\n\r\n",
    ],
)
def test_no_way_of_writing_a_redirect_is_followed(answer: str, passage: Passage) -> None:
    with Inner() as inner:
        text = answer.format(inner.url("rtsp"))
        with Inner(camera_that(text, text), host="127.0.0.1") as camera:
            with pytest.raises(SourceError):
                look(camera.url("rtsp"), passage, connect_s=0.5)
        assert inner.visitors == 0


def test_the_address_of_a_digest_login_is_the_one_the_camera_reads(passage: Passage) -> None:
    asked = (
        'RTSP/1.0 401 Unauthorized\r\nCSeq: CSEQ\r\nWWW-Authenticate: Digest realm="cam", '
        'nonce="abc"\r\n\r\n'
    )
    heads: list[str] = []

    def answer(line: socket.socket) -> None:
        said = b""
        while more := line.recv(4096):
            said += more
            if not said.endswith(b"\r\n\r\n"):
                continue
            head, said = said.decode(), b""
            heads.append(head)
            number = re.search(r"CSeq: *(\d+)", head)
            assert number is not None
            text = OPTIONS if head.startswith("OPTIONS") else asked
            line.sendall(text.replace("CSEQ", number[1]).encode())

    with Inner(answer, host="127.0.0.1") as camera:
        with pytest.raises(SourceRefused, match="login"):
            look(camera.url("rtsp").replace("//", "//bob:s3cret@"), passage)
    logged_in = [head for head in heads if "Authorization: Digest" in head]
    assert logged_in
    for head in logged_in:
        uri = re.search(r'uri="([^"]*)"', head)
        assert uri is not None and head.split()[1] == uri[1]
    assert all("User-Agent: longtake\r\n" in head for head in heads)


def test_only_ffmpeg_comes_through(passage: Passage) -> None:
    with Inner(host="127.0.0.1") as camera:
        relay, url = passage.relay(camera.url("rtsp"), connect_s=1.0)
        port = int(url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), 2.0) as stranger:
            stranger.sendall(b"OPTIONS * RTSP/1.0\r\nUser-Agent: longtake\r\n\r\n")
            assert stranger.recv(100) == b""
        relay.close()


def test_a_name_that_leads_elsewhere_later_is_refused_at_the_next_connection() -> None:
    led = ["127.0.0.1"]
    with Inner() as inner, Passage(Rules((HERE,)), resolve=lambda *_: list(led)) as passage:
        with Inner(camera_that("nonsense\r\n\r\n"), host="127.0.0.1") as camera:
            address = camera.url("rtsp").replace("127.0.0.1", "cam.example")
            with pytest.raises(SourceLost):
                look(address, passage)
            led[:] = ["127.0.0.2"]
            with pytest.raises(SourceForbidden, match=r"--allow-source cam\.example"):
                look(address.replace(str(camera.port), str(inner.port)), passage)
        assert inner.visitors == 0


def say_no_more(line: socket.socket) -> None:
    line.recv(4096)
    line.shutdown(socket.SHUT_WR)


def test_a_camera_that_says_nothing_is_given_up_in_time(passage: Passage) -> None:
    started_s = time.monotonic()
    with Inner(host="127.0.0.1") as camera, pytest.raises(SourceTimeout):
        look(camera.url("rtsp"), passage, connect_s=0.5)
    assert time.monotonic() - started_s < 2.0


def test_two_hundred_connections_leave_nothing(passage: Passage) -> None:
    with Inner(say_no_more, host="127.0.0.1") as camera:

        def one() -> None:
            with pytest.raises(SourceError):
                look(camera.url("rtsp"), passage)

        one()
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        for _ in range(200):
            one()
            camera._lines.pop().close()
        until(lambda: threading.active_count() <= threads, what="the end of every thread")
        until(lambda: len(os.listdir("/proc/self/fd")) <= files, what="the end of every socket")


def test_messages_and_frames_come_out_whole_however_they_are_cut() -> None:
    stream = (
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nabc"
        b"$\0\0\3xyz\r\n$\1\0\0RTSP/1.0 404 Not Found\nCSeq: 2\n\n"
    )
    wanted = [
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nabc",
        b"$\0\0\3xyz",
        b"$\1\0\0",
        b"RTSP/1.0 404 Not Found\r\nCSeq: 2\r\n\r\n",
    ]
    for size in range(1, len(stream) + 1):
        messages = Messages(from_camera)
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [unit for piece in pieces for unit in messages.feed(piece)] == wanted


@pytest.mark.parametrize(
    "stream",
    [
        b"A" * 70_000,
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x00\x01\r\n\r\n",
    ],
)
def test_what_is_no_rtsp_ends_the_connection(stream: bytes) -> None:
    with pytest.raises(SourceLost):
        list(Messages(from_camera).feed(stream))


PIECES = (
    b"RTSP/1.0 |200|302| OK|\r\n|\n|\r|\r\n\r\n|$\0\0\2ab|$|Location: x"
    b"|Content-Length: |3|0|abc|:| |\t|REDIRECT * RTSP/1.0|CSeq: 1|\0|\x0b"
    b"|\x85|RTSP/1.0 200 OK\r\n|RTSP/1.0 302 x\r\n|\r\n\r\n"
).split(b"|")


def test_ffmpeg_reads_no_redirect_in_what_is_passed_on_of_any_stream() -> None:
    random, read = Random(7), 0
    for _ in range(20_000):
        stream = random.choice([b"", b"RTSP/1.0 200 OK\r\n"])
        stream += b"".join(random.choices(PIECES, k=random.randint(1, 14)))
        passed = b""
        with contextlib.suppress(SourceError):
            for unit in Messages(from_camera).feed(stream):
                passed += unit
        read += len(passed) > 0
        assert [line for line in as_ffmpeg_reads(passed) if is_redirect(line)] == [], stream
    assert read > 1000


def is_redirect(line: bytes) -> bool:
    words = line.split()
    is_answer = line.startswith(b"RTSP/") and len(words) > 1
    return line.lower().startswith((b"location:", b"redirect")) or (
        is_answer and words[1].startswith(b"3")
    )


def as_ffmpeg_reads(data: bytes) -> Iterator[bytes]:
    """The lines that FFmpeg's `ff_rtsp_read_reply` sees in a stream."""
    at, length, line, lines = 0, 0, b"", 0
    while at < len(data):
        byte, at = data[at : at + 1], at + 1
        if byte == b"$" and not line:
            at += 3 + int.from_bytes(data[at + 1 : at + 3], "big")
        elif byte not in (b"\r", b"\n"):
            line += byte
        elif byte == b"\n" and line:
            yield line
            found = re.match(rb"content-length: *(\d+)", line, re.IGNORECASE)
            length = int(found[1]) if found and lines else length
            line, lines = b"", lines + 1
        elif byte == b"\n":
            at, length, lines = at + length, 0, 0
