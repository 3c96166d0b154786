"""A webhook is signed, tried again while that helps, and silent about secrets; a command ends."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from longtake.alerts.action import ActionFailed
from longtake.alerts.actions import Command, Webhook, parse_notify
from longtake.alerts.webhook import _LONGEST_RETRY_AFTER_S, _asked_s

SOON_S = 20.0
SECRET = "not-to-be-shown"
LOGIN, QUERY, PATH = "admin:hunter2", "token=swordfish", "/hooks/T0123"


class Fired:
    """An event as an action knows it."""

    def __init__(self, name: str = "door", number: int = 7) -> None:
        self.said = {"schema": "longtake.event/1", "name": name, "number": number, "at_s": 1.5}

    def as_json(self) -> dict[str, Any]:
        return self.said


@dataclass
class Server:
    """Answers on loopback, and remembers what it got."""

    replies: list[tuple[int, dict[str, str]]]  # one a request, the last for all that follow
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None
    port: int = 0

    def url(self, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}{PATH}?{QUERY}"


@contextmanager
def serving(*replies: tuple[int, dict[str, str]]) -> Iterator[Server]:
    told = Server(list(replies) or [(204, {})])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.got.append((self.path, dict(self.headers), body))
            told.on_request()
            status, headers = told.replies[min(len(told.got), len(told.replies)) - 1]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def quick(url: str, **settings: Any) -> Webhook:
    return Webhook(url, **{"secret": SECRET, "first_wait_s": 0.001, **settings})


def failure(action: Callable[[Fired], None], caplog: pytest.LogCaptureFixture) -> str:
    """Why it failed; nothing secret stands anywhere."""
    with pytest.raises(ActionFailed) as failed:
        action(Fired())
    assert failed.value.__cause__ is None
    for text in (str(failed.value), repr(action), caplog.text):
        for secret in (SECRET, *LOGIN.split(":"), "swordfish", "T0123"):
            assert secret not in text
    return str(failed.value)


# ------------------------------------------------------------------ what is sent


def test_the_signature_proves_who_sent_it() -> None:
    with serving() as server:
        quick(server.url())(Fired())
        ((path, headers, body),) = server.got
    assert path == f"{PATH}?{QUERY}" and json.loads(body) == Fired().said
    assert re.fullmatch("door-7-[0-9a-f]{8}", headers["X-Longtake-Event"])
    assert headers["Content-Type"] == "application/json"
    assert abs(int(headers["X-Longtake-Timestamp"]) - time.time()) < SOON_S
    signed = hmac.new(
        SECRET.encode(), headers["X-Longtake-Timestamp"].encode() + b"." + body, hashlib.sha256
    )
    assert headers["X-Longtake-Signature"] == f"sha256={signed.hexdigest()}"
    assert "Authorization" not in headers


def test_without_a_secret_nothing_is_signed_and_a_login_is_sent() -> None:
    with serving() as server:
        parse_notify(f" {server.url('admin:hunter%40@')}\n")(Fired("tür\n", 3))
        ((path, headers, _),) = server.got
    assert path == f"{PATH}?{QUERY}" and "X-Longtake-Signature" not in headers
    assert headers["Authorization"] == "Basic YWRtaW46aHVudGVyQA=="
    assert headers["X-Longtake-Event"].startswith("t%C3%BCr%0A-3-")


# ------------------------------------------------------------------ what is tried again


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again_under_the_same_name(status: int) -> None:
    with serving((status, {}), (status, {"Retry-After": "0"}), (200, {})) as server:
        quick(server.url())(Fired())
        assert len(server.got) == 3
        assert len({(headers["X-Longtake-Event"], body) for _, headers, body in server.got}) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 301, 307])
def test_what_will_not_pass_is_not_tried_again(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as elsewhere, serving((status, {"Location": elsewhere.url()})) as server:
        why = failure(quick(server.url(LOGIN + "@")), caplog)
        assert len(server.got) == 1 and elsewhere.got == []
    assert f"it answers {status}" in why and "after 1 try" in why
    assert f"http://127.0.0.1:{server.port}/***" in why


def test_it_gives_up_after_its_tries(caplog: pytest.LogCaptureFixture) -> None:
    with serving((502, {})) as server:
        why = failure(quick(server.url(LOGIN + "@"), tries=3), caplog)
        assert len(server.got) == 3
    assert "event door-7 is not delivered after 3 tries: it answers 502" in why


def test_nobody_there_is_tried_again_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    why = failure(quick(f"http://{LOGIN}@127.0.0.1:{port}{PATH}?{QUERY}", tries=2), caplog)
    assert "after 2 tries: cannot be reached (Connection refused)" in why


def test_a_server_that_says_nothing_is_left_in_time(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server:
        may_answer = threading.Event()
        server.on_request = lambda: may_answer.wait(SOON_S) and None
        try:
            why = failure(quick(server.url(), tries=1, timeout_s=0.1), caplog)
        finally:
            may_answer.set()
    assert "no answer within 0.1 s" in why


def test_a_server_that_sends_a_byte_now_and_then_is_left_in_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_left = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with closing(connection), pytest.raises(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not is_left.wait(0.02):
                connection.sendall(b"x")
            raise OSError

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        why = failure(quick(url, tries=1, timeout_s=0.3), caplog)
        is_left.set()
        thread.join()
    assert "no answer within 0.3 s" in why


@contextmanager
def never_connecting() -> Iterator[tuple[str, int]]:
    """An address that takes no connection and refuses none: its queue is full."""
    with closing(socket.socket()) as server, ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            one = waiting.enter_context(closing(socket.socket()))
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield server.getsockname()


def named(monkeypatch: pytest.MonkeyPatch, *places: tuple[str, int]) -> None:
    """Every name has these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_a_name_of_many_addresses_has_the_time_of_one_try(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with never_connecting() as place:
        named(monkeypatch, *[place] * 20)
        begun_s = time.monotonic()
        why = failure(quick(f"http://many.example{PATH}", tries=1, timeout_s=0.4), caplog)
    assert "no answer within 0.4 s" in why
    assert time.monotonic() - begun_s < 4.0  # of 20 * 0.4: the machine may be busy


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with never_connecting() as place, serving() as server:
        named(monkeypatch, place, ("127.0.0.1", server.port))
        quick(f"http://two.example{PATH}", tries=1, timeout_s=2.0)(Fired())
        assert len(server.got) == 1


def test_a_name_that_cannot_be_looked_up_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UnicodeError(f"label {SECRET}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert "after 1 try: its host's name" in failure(quick("http://cam.example/"), caplog)


def test_it_stops_when_told(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    with serving((503, {"Retry-After": "50"})) as server:
        server.on_request = stop.set
        begun_s = time.monotonic()
        why = failure(quick(server.url(), stop=stop), caplog)
        assert len(server.got) == 1 and time.monotonic() - begun_s < SOON_S
        assert "stopped before event door-7 was delivered" in why
        failure(quick(server.url(), stop=stop), caplog)
        assert len(server.got) == 1


def test_what_a_server_asks_for_is_honoured_up_to_a_cap() -> None:
    assert [_asked_s(text) for text in (None, "7", "-3", "soon", "nan")] == [0, 7, 0, 0, 0]
    assert _asked_s("86400") == _LONGEST_RETRY_AFTER_S
    assert 5 < _asked_s(formatdate(time.time() + 10, usegmt=True)) <= 10
    assert _asked_s(formatdate(time.time() - 10, usegmt=True)) == 0


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("ftp://admin:hunter2@cam/T0123", "http and https alone"),
        ("hooks.example.com/T0123", "http and https alone"),
        ("http://:80/T0123", "http and https alone"),
        ("https://admin:hunter2@cam:port/T0123", "cannot be read"),
        ("https://admin:hunter2@[::1/T0123", "cannot be read"),
        ("https://admin:hunter2@cam/T0123\r\nX: y", "percent-encoded"),
        ("https://cam/T0123/ä", "percent-encoded"),
        ("https://admin:hunter2@a..b/T0123", "1 to 63 letters"),
        (f"https://admin:hunter2@{'a' * 64}.com/T0123", "1 to 63 letters"),
    ],
)
def test_an_address_that_cannot_be_posted_to_is_refused_and_not_shown(url: str, what: str) -> None:
    with pytest.raises(ValueError, match=what) as refused:
        Webhook(url, SECRET)
    assert not any(part in str(refused.value) for part in ("hunter2", "admin", "T0123", SECRET))


@pytest.mark.parametrize("settings", [{"tries": 0}, {"timeout_s": 0}, {"secret": ""}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Webhook("https://cam/", **settings)


# ------------------------------------------------------------------ commands


def python(code: str, *arguments: str, **settings: Any) -> Command:
    return Command([sys.executable, "-c", code, *arguments], **settings)


def test_a_command_gets_the_event_and_no_shell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "longtake")
    out = tmp_path / "out.json"
    code = (
        "import sys; open(sys.argv[1], 'w').write(sys.stdin.read()); "
        "print('seen', sys.argv[2]); print('rtsp://admin:hunter2@cam/1', file=sys.stderr)"
    )
    python(code, str(out), "$(echo ; *)")(Fired())
    assert json.loads(out.read_text()) == Fired().said
    assert "seen $(echo ; *)" in caplog.text and "rtsp://***@cam/1" in caplog.text


def test_a_command_that_reads_nothing_and_prints_much_is_no_matter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "longtake")
    event = Fired()
    event.said["text"] = "x" * 300_000
    python("print('y' * 3_000_000); print('the end')")(event)
    assert "the end" in caplog.text and len(caplog.text) < 3000


def test_a_command_that_fails_says_why_and_hides_its_arguments() -> None:
    action = python("import sys; print('no route'); sys.exit(3)", SECRET)
    with pytest.raises(ActionFailed, match="ended with code 3; it said: no route") as failed:
        action(Fired())
    assert SECRET not in str(failed.value) and SECRET not in repr(action)
    with pytest.raises(ActionFailed, match="ended by SIGTERM"):
        python("import os; os.kill(os.getpid(), 15)")(Fired())


LASTING = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "open(sys.argv[1], 'w').write(f'{child.pid} {os.getpid()}')\n"
    "os.rename(sys.argv[1], sys.argv[2])\n"
)


def is_over(pid: int) -> bool:
    """True where a process is gone, or is only waiting to be reaped by init."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def ended(paths: Path) -> bool:
    """True where all of them are gone in time; none is left behind either way."""
    pids = [int(pid) for pid in paths.read_text().split()]
    until_s = time.monotonic() + SOON_S
    pause = threading.Event()
    while not all(map(is_over, pids)) and time.monotonic() < until_s:
        pause.wait(0.01)
    left = [pid for pid in pids if not is_over(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return not left


def test_a_command_is_killed_with_its_children_at_its_timeout(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("part", "pids")]
    action = python(LASTING + "time.sleep(600)", *names, timeout_s=2.0)
    with pytest.raises(ActionFailed, match="killed after 2 s"):
        action(Fired())
    assert ended(tmp_path / "pids")


def test_what_a_command_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("part", "pids")]
    python(LASTING, *names)(Fired())
    assert ended(tmp_path / "pids")


def test_a_command_is_killed_when_told(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("part", "pids")]
    stop = threading.Event()
    action = python(LASTING + "os.close(1); os.close(2)\ntime.sleep(600)", *names, stop=stop)
    failed: list[str] = []

    def run() -> None:
        try:
            action(Fired())
        except ActionFailed as error:
            failed.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    until_s = time.monotonic() + SOON_S
    while not (tmp_path / "pids").exists() and time.monotonic() < until_s:
        thread.join(0.01)
    action.stop()
    thread.join(SOON_S)
    assert not thread.is_alive() and "stopped" in failed[0]
    assert ended(tmp_path / "pids")
    with pytest.raises(ActionFailed, match="stopped before it was started"):
        action(Fired())


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        ("notify-me", "one string"),
        ([], "expected the program"),
        (["no-such-program-anywhere"], "no such program"),
        (["a\0b"], "expected the program"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused(argv: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Command(argv)


def test_a_command_that_went_away_is_a_failure(tmp_path: Path) -> None:
    script = tmp_path / "tell"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    action = Command([str(script)])
    action(Fired())
    script.unlink()
    with pytest.raises(ActionFailed, match="tell: cannot be started"):
        action(Fired())
