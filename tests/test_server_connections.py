"""Connections that send half of something do not stay, and their number is bounded."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Request

from longtake.server import connections
from tests.rigs.serving import serving

SOON_S = 0.3
WAIT_S = 20.0


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(connections, "HEAD_S", SOON_S)
    monkeypatch.setattr(connections, "PAUSE_S", SOON_S)
    app = FastAPI()

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    with serving(app) as address:
        yield address


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=WAIT_S)


def is_let_go(each: socket.socket) -> bool:
    try:
        return each.recv(1) == b""
    except ConnectionResetError:
        return True


def answered(each: socket.socket) -> bytes:
    """The body of one answer, whose head and body may come apart."""
    told = b""
    while not told.partition(b"\r\n\r\n")[2]:
        came = each.recv(4096)
        assert came, told
        told += came
    return told.partition(b"\r\n\r\n")[2]


def head(length: int) -> bytes:
    return f"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_who_never_ends_the_head_of_a_request_is_let_go(url: str, sent: bytes) -> None:
    with connected(url) as each:
        each.sendall(sent)
        assert is_let_go(each)


def test_a_head_that_comes_byte_by_byte_has_no_more_time_than_another(url: str) -> None:
    with connected(url) as each:
        begun_s = time.monotonic()
        each.settimeout(SOON_S / 10)
        while time.monotonic() - begun_s < WAIT_S:
            try:
                each.sendall(b"a")
                if is_let_go(each):
                    break
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        assert time.monotonic() - begun_s < WAIT_S


def test_who_pauses_in_a_body_is_let_go(url: str) -> None:
    with connected(url) as each:
        each.sendall(head(100) + b"half")
        assert is_let_go(each)


def test_a_slow_body_that_goes_on_is_taken(url: str) -> None:
    with connected(url) as each:
        each.sendall(head(6))
        for _ in range(6):
            each.sendall(b"x")
            time.sleep(SOON_S / 3)  # longer together than any one pause may be
        assert answered(each) == b"6"


def test_a_connection_answers_again_after_a_rest(url: str) -> None:
    with connected(url) as each:
        for _ in range(2):
            each.sendall(head(2) + b"ab")
            assert answered(each) == b"2"
            time.sleep(SOON_S * 1.5)  # nothing of the next one has come: that is no half request


def test_one_connection_too_many_is_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 2)
    monkeypatch.setattr(connections, "HEAD_S", WAIT_S)
    with connected(url) as first, connected(url) as second:
        first.sendall(head(1) + b"a")
        assert answered(first) == b"1"
        with connected(url) as third:
            assert is_let_go(third)
        second.sendall(head(1) + b"a")
        assert answered(second) == b"1"


def test_a_request_with_two_lengths_is_refused_and_the_connection_ends(url: str) -> None:
    with connected(url) as each:
        each.sendall(
            head(4)[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n"
        )
        told = b""
        while came := each.recv(4096):
            told += came
    assert told.startswith(b"HTTP/1.1 400") and told.count(b"HTTP/1.1") == 1
