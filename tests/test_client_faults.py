"""A client whose server goes, comes back, is busy, hangs, or is another one; and its secrets."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from longtake.client import Client, RemoteError, RemoteTake
from longtake.client import patience as patience_module
from longtake.client import wire as wire_module
from longtake.client.remote_errors import error_of
from longtake.memory.files import MemoryFull
from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.door.tls import tls
from longtake.server.running import Certificate
from longtake.server.takes.refusals import NoSuchTake, TooMany
from longtake.streaming.errors import SourceRefused, SourceTimeout, StaleFrame
from tests.rigs.api import busy
from tests.rigs.hosting import jpeg
from tests.rigs.inner import Inner
from tests.rigs.remote import Far, far, see
from tests.rigs.watching import until

SOON_S = 10.0
SHORT_S = 0.3
TOKEN = "a-token-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def server() -> Iterator[Far]:
    with far() as made:
        yield made


@pytest.fixture
def take(server: Far) -> Iterator[RemoteTake]:
    with Client(server.url) as client, client.open("arm") as made:
        see(server.hall.find("arm"))
        yield made
        if "arm" in {each.id for each in server.hall.all()}:
            server.hall.remove("arm")


def threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("longtake-client")}


# -------------------------------------------------------------------- servers that go


def test_frames_go_on_when_the_server_is_back() -> None:
    with far() as first:
        port = urlsplit(first.url).port
        assert port is not None
        client = Client(first.url, timeout_s=SOON_S)
        take = client.take("live")
        assert take.push(jpeg()).accepted and take.flush(SOON_S)
        assert take.pushes().accepted == 1
    until(lambda: not take.pushes().is_connected, what="the end of the connection")
    waits = take.push(jpeg(seed=1))
    assert waits.accepted and waits.reason.startswith("waits for the server: http://127.0.0.1")
    assert take.push(jpeg(seed=2)).accepted
    assert not take.flush(0.0), "it waits for the server"
    with far(ServeConfig(port=port)) as second:
        assert take.flush(SOON_S)
        counts = take.pushes()
        assert counts.accepted == 2 and counts.dropped == {"a newer one came": 1}
        assert counts.pushed == 3 and counts.error == ""
        assert second.live.take.stats().received == 1
        before = threads()
        client.close()
        assert len(threads()) < len(before)


def test_a_take_that_a_new_server_never_opens_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience_module, "GONE_S", 0.2)
    with far() as first:
        client = Client(first.url)
        take = client.open("arm")
        take.push(jpeg())
        assert take.flush(SOON_S)
        config = ServeConfig(port=urlsplit(first.url).port or 0)
    until(lambda: not take.pushes().is_connected, what="the end of the connection")
    with far(config), client:
        take.push(jpeg())
        until(lambda: take.pushes().dropped.get("given up"), what="giving up")
        with pytest.raises(NoSuchTake, match="there is live"):
            take.push(jpeg())


def test_a_take_that_is_removed_ends_what_is_pushed(server: Far, take: RemoteTake) -> None:
    take.push(jpeg())
    assert take.flush(SOON_S)
    server.hall.remove("arm")
    until(lambda: not take.pushes().is_connected, what="the end of the connection")
    until(lambda: "closed" in take.pushes().error, what="the reason")
    with pytest.raises(NoSuchTake, match="this take was closed"):
        take.push(jpeg())
    server.hall.open("arm")
    assert take.push(jpeg()).accepted and take.flush(SOON_S), "the next one begins anew"
    assert take.pushes().accepted == 1


def test_a_take_that_is_removed_ends_its_answers_and_alerts(server: Far, take: RemoteTake) -> None:
    alert = take.alert("is there a ring?")
    with busy(server.hall.find("arm")):
        asking = take.submit("is there a ring?")
        removing = threading.Thread(target=server.hall.remove, args=("arm",))
        removing.start()
        assert alert.poll(SOON_S) is None and alert.is_over
    removing.join(SOON_S)
    try:
        assert asking.result(SOON_S).partial
    except (RuntimeError, LookupError) as error:
        assert "closed" in str(error)
    with pytest.raises(NoSuchTake):
        take.ask("is there a ring?")


def test_an_answer_whose_connection_breaks_is_told_so(server: Far, take: RemoteTake) -> None:
    with busy(server.hall.find("arm")):
        asking = take.submit("is there a ring?")
        asking._stream.end()
        with pytest.raises(ConnectionError, match="broke"):
            asking.result(SOON_S)


def test_a_question_that_is_cancelled_ends_at_once_and_on_the_server_too(
    server: Far, take: RemoteTake
) -> None:
    hosted = server.hall.find("arm")
    with busy(hosted):
        asking = take.submit("is there a ring?")
        other = take.submit("is there a cross?")
        until(lambda: hosted.take.questions_waiting == 2, what="both questions")
        asking.cancel()
        answer = asking.result(SOON_S)
        assert answer.partial and answer.text == "" and answer.as_of_s != answer.as_of_s
        assert take.cancel() >= 1
    assert other.result(SOON_S).partial
    asking.cancel()
    assert asking.result() is answer


def test_closing_a_take_ends_what_was_begun_here(server: Far, take: RemoteTake) -> None:
    before = threads()
    alert = take.alert("is there a ring?")
    take.push(jpeg())
    with busy(server.hall.find("arm")):
        asking = take.submit("is there a ring?")
        take.close()
        assert asking.result(SOON_S).partial
    assert alert.is_over and threads() <= before
    assert len(server.hall.find("arm").alerts()) == 1, "on the server it stays"
    for verb in (take.stats, lambda: take.push(jpeg()), lambda: take.ask("a ring?")):
        with pytest.raises(RuntimeError, match="closed"):
            verb()


# -------------------------------------------------------------------- events


def note(server: Far, name: str) -> int:
    hosted = server.hall.find("arm")
    return hosted.take.log("alert", name, "a ring?", start_s=0.0, end_s=0.0, score=0.9).number


def test_no_event_is_missed_or_told_twice_when_the_connection_breaks(
    server: Far, take: RemoteTake
) -> None:
    note(server, "ring")  # from before: is not told
    alert = take.alert("a ring?", name="ring")
    first = note(server, "ring")
    event = alert.poll(SOON_S)
    assert event is not None and event.number == first
    feed = take._feed
    assert feed is not None and feed._stream is not None
    before = feed._stream
    before.end()
    wanted = [note(server, "ring"), note(server, "other"), note(server, "ring")]
    until(lambda: feed._stream is not before, what="another connection")
    told = [alert.poll(SOON_S) for _ in range(2)]
    assert [each and each.number for each in told] == [wanted[0], wanted[2]]
    assert alert.poll(0.0) is None


def test_what_happens_before_the_first_event_while_the_connection_is_lost_is_told(
    server: Far, take: RemoteTake
) -> None:
    alert = take.alert("a ring?", name="ring")
    feed = take._feed
    assert feed is not None and feed._stream is not None
    with feed._lock:  # no other connection is made meanwhile
        feed._stream.end()
        number = note(server, "ring")
    event = alert.poll(SOON_S)
    assert event is not None and event.number == number


def test_an_alert_of_a_server_that_was_started_anew_ends_and_another_one_works() -> None:
    with far() as first:
        port = urlsplit(first.url).port or 0
        client = Client(first.url)
        take = client.take("live")
        alert = take.alert("a ring?", name="ring")
        for _ in range(5):
            first.live.take.log("alert", "ring", "a ring?", start_s=0.0, score=0.9)
        assert [alert.poll(SOON_S) for _ in range(5)][-1] is not None
    with far(ServeConfig(port=port)) as second, client:
        with pytest.raises(RemoteError, match="set it again"):
            alert.poll(SOON_S)
        again = take.alert("a ring?", name="ring")
        second.live.take.log("alert", "ring", "a ring?", start_s=0.0, score=0.9)
        event = again.poll(SOON_S)
        assert event is not None and event.number == 1


def test_an_alert_that_the_server_has_no_more_does_not_wait_in_silence(
    server: Far, take: RemoteTake
) -> None:
    alert, other = take.alert("a ring?"), take.alert("a cross?")
    server.hall.find("arm").remove_alert(alert.id)
    assert take._feed is not None and take._feed._stream is not None
    take._feed._stream.end()  # as a sign of life, the next connection is a time to look
    with pytest.raises(RemoteError, match="set it again"):
        alert.poll(SOON_S)
    assert not other.is_over


# -------------------------------------------------------------------- servers that hang


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with Inner() as silent, Client(silent.url(path=""), timeout_s=SHORT_S) as client:
        for verb in (client.models, client.takes, lambda: client.take("live")):
            with pytest.raises(TimeoutError, match="raise timeout_s"):
                verb()
        take = RemoteTake(client._wire, "live")
        began_s = time.monotonic()
        assert take.push(jpeg()).reason == "on its way"
        assert time.monotonic() - began_s < SHORT_S
        until(lambda: "cannot be reached" in take.pushes().error, what="the reason")
        assert take.pushes().waiting == 1
        take.close()


def test_an_answer_that_stops_in_the_middle_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire_module, "QUIET_S", SHORT_S)

    def begin(line: socket.socket) -> None:
        line.recv(65536)
        line.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            b'event: piece\ndata: {"text": "it is"}\n\n'
        )

    with Inner(begin) as half, Client(half.url(path=""), timeout_s=SHORT_S) as client:
        asking = RemoteTake(client._wire, "live").stream("what is it?")
        pieces = iter(asking)
        assert next(pieces) == "it is"
        with pytest.raises(TimeoutError, match="no answer in time"):
            next(pieces)


def test_what_is_no_longtake_is_told() -> None:
    def answer(line: socket.socket) -> None:
        line.recv(65536)
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    with Inner(answer) as other, Client(other.url(path="")) as client:
        with pytest.raises(RemoteError, match="is it one"):
            client.models()


def test_no_redirect_is_followed() -> None:
    def answer(line: socket.socket) -> None:
        line.recv(65536)
        line.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:9/\r\nContent-Length: 0\r\n\r\n"
        )

    with Inner(answer) as other, Client(other.url(path=""), token=TOKEN) as client:
        with pytest.raises(RemoteError, match="another place"):
            client.models()


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with Client(address) as client:
        with pytest.raises(ConnectionError, match=f"{address}: cannot be reached"):
            client.models()


# -------------------------------------------------------------------- who may come in


def test_a_token_lets_in_and_is_never_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "another-token-0123456789-0123456"
    said: list[str] = []
    with far(access=Access.of(tokens=[TOKEN])) as server:
        see(server.live)
        for token in (None, wrong):
            with Client(server.url, token=token) as client:
                with pytest.raises(RemoteError, match="token=") as raised:
                    client.models()
                assert raised.value.status == 401
                take = RemoteTake(client._wire, "live")
                take.push(jpeg())
                assert take.flush(SOON_S), "it was given up"
                with pytest.raises(RemoteError, match="token=") as pushed:
                    take.push(jpeg())
                said += [repr(client), repr(take), repr(client._wire), repr(client.__dict__)]
                said += [repr(raised.value), str(pushed.value), repr(pushed.value.__dict__)]
        with Client(server.url, token=TOKEN) as client:
            take = client.take()
            assert take.push(jpeg()).accepted and take.flush(SOON_S)
            assert take.pushes().accepted == 1
            with take.alert("a ring?"):
                assert take.ask("is there a ring?").question == "is there a ring?"
            said += [repr(client), repr(take), repr(client._wire), repr(vars(client._wire._http))]
    said += [record.getMessage() for record in caplog.records]
    assert not [line for line in said if TOKEN in line or wrong in line]


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "caf\u00e9"])
def test_what_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="token") as raised:
        Client("http://127.0.0.1:1", token=token)
    assert not token or token not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:7860", "ftp://host", "http://", "http://user:secret@host", "http://h:99999"]
)
def test_an_address_is_checked_and_its_login_not_told(url: str) -> None:
    with pytest.raises(ValueError, match="url=") as raised:
        Client(url)
    assert "secret" not in str(raised.value)


def test_a_certificate_is_trusted_by_who_names_it(tmp_path: Path) -> None:
    made = tls("auto", (), environ={"XDG_STATE_HOME": str(tmp_path)})
    shown = Certificate(str(made.certificate), str(made.key))
    with far(access=Access.of(tokens=[TOKEN]), certificate=shown) as server:
        see(server.live)
        with Client(server.url, token=TOKEN) as client:
            with pytest.raises(ConnectionError, match="verify="):
                client.models()
        with Client(server.url, token=TOKEN, verify=made.trusted) as client:
            take = client.take()
            assert take.push(jpeg()).accepted and take.flush(SOON_S)
            assert take.pushes().accepted == 1
            asking = take.submit("is there a ring?")
            assert asking.result(SOON_S).question
            asking.cancel()
    with pytest.raises(ValueError, match="verify=False"):
        Client("https://127.0.0.1:1", verify=False)


# -------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "no_such_take", NoSuchTake),
        (403, "source_refused", SourceRefused),
        (400, "source_unreachable", SourceTimeout),
        (404, "no_frame", StaleFrame),
        (507, "memory_full", MemoryFull),
        (422, "invalid_field", ValueError),
        (500, "internal_error", RemoteError),
    ],
)
def test_what_a_server_refuses_is_what_a_take_here_raises(
    status: int, code: str, kind: type[Exception]
) -> None:
    body = f'{{"error": {{"message": "no: rtsp://me:secret@cam/", "code": "{code}"}}}}'
    error = error_of(status, body)
    assert type(error) is kind and str(error) == "no: rtsp://***@cam/"
    cause = error if isinstance(error, RemoteError) else error.__cause__
    assert isinstance(cause, RemoteError) and (cause.status, cause.code) == (status, code)
    assert pickle.loads(pickle.dumps(cause)).status == status


def test_when_to_come_again_is_told() -> None:
    body = '{"error": {"message": "full", "code": "too_many"}}'
    error = error_of(429, body, {"retry-after": "7"})
    assert isinstance(error, TooMany) and error.retry_after_s == 7.0
    assert error_of(429, body, {"retry-after": "tomorrow"}).retry_after_s == 10.0  # type: ignore[attr-defined]
