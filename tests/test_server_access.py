"""Who may come in: tokens, passwords, and what is remembered of those who were let in or not."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import socket
import stat
import sys
import threading
from pathlib import Path

import pytest

from longtake import cli
from longtake.config import ConfigError
from longtake.server.door.access import Access, TooManyLogins, is_loopback
from longtake.server.door.logins import IDLE_S, Logins
from longtake.server.door.passwords import Cost, hashed, read_line, user_name
from longtake.server.door.secret_files import read_tokens, read_users
from longtake.server.door.throttle import Throttle
from longtake.server.logs import Hiding, hide_secrets, quiet_uvicorn

CHEAP = Cost(n=1024, r=8, p=1)
TOKEN = "a-token-of-the-tests-0123456789"
PASSWORD = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


# ------------------------------------------------------------------ passwords


def test_a_password_fits_its_line_and_no_other_one_does() -> None:
    name, read = read_line(hashed(PASSWORD, CHEAP).line("anna"))
    assert name == "anna"
    assert read.fits(PASSWORD)
    assert not read.fits(PASSWORD + " ")
    assert not read.fits("")


def test_two_lines_of_one_password_have_nothing_in_common() -> None:
    first, second = (hashed(PASSWORD, CHEAP).line("a").split("$") for _ in range(2))
    assert first[4] != second[4]
    assert first[5] != second[5]


def test_a_letter_that_is_typed_in_another_way_is_the_same_letter() -> None:
    assert hashed("caf\u00e9 au lait", CHEAP).fits("cafe\u0301 au lait")


def test_a_hash_costs_as_much_as_is_advised_and_its_repr_shows_nothing_of_it() -> None:
    assert Cost().memory_bytes >= 32 << 20
    made = hashed(PASSWORD, CHEAP)
    assert PASSWORD not in repr(made)
    assert repr(made.hash)[2:-1] not in repr(made)
    assert repr(made) == f"Hashed(cost={CHEAP!r})"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("anna", "colon"),
        ("anna:secret-in-plain-text", "scrypt"),
        ("anna:scrypt$1024$8$1$AAAA$AAAA", "cut off"),
        ("anna:scrypt$x$8$1$AAAA$AAAA", "base64"),
        ("anna:scrypt$1000$8$1$" + "A" * 24 + "$" + "A" * 43 + "=", "power of two"),
        ("anna:scrypt$1073741824$8$1$" + "A" * 24 + "$" + "A" * 43 + "=", "MiB"),
        ("anna:scrypt$1024$8$1000$" + "A" * 24 + "$" + "A" * 43 + "=", "p=1000"),
        (":scrypt$1024$8$1$AAAA$AAAA", "name"),
    ],
)
def test_a_line_that_is_none_is_refused_in_words(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        read_line(line)
    assert "secret-in-plain-text" not in str(refused.value)


@pytest.mark.parametrize("name", ["", " ", "a:b", "#a", "a b", "a\nb", "x" * 65, "\x00"])
def test_a_name_that_cannot_stand_in_a_line_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        user_name(name)


# ------------------------------------------------------------------ files


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_tokens_stand_one_a_line_beside_comments(tmp_path: Path) -> None:
    file = private(tmp_path / "tokens", f"# robots\n\n  {TOKEN}  \nanother-token-0123456789\r\n")
    assert read_tokens(file) == [TOKEN, "another-token-0123456789"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short-secret\n", "line 1: the token has 12 letters"),
        ("# nothing\n", "holds no token"),
        ("a token with blanks in it\n", "without blanks"),
        ("x" * 2000, "1024"),
    ],
)
def test_a_token_that_cannot_be_used_is_refused_and_not_shown(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        read_tokens(private(tmp_path / "tokens", text))
    assert "secret" not in str(refused.value)
    assert "blanks in it" not in str(refused.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: cannot be read"):
        read_tokens(tmp_path / "nowhere")
    (tmp_path / "noise").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no text"):
        read_users(tmp_path / "noise")


def test_a_user_who_stands_there_twice_is_refused(tmp_path: Path) -> None:
    line = hashed(PASSWORD, CHEAP).line("anna")
    with pytest.raises(ConfigError, match="line 2: user anna stands there twice"):
        read_users(private(tmp_path / "users", f"{line}\n{line}\n"))


def test_a_file_that_others_can_read_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = private(tmp_path / "tokens", TOKEN)
    with caplog.at_level(logging.WARNING, "longtake"):
        read_tokens(file)
        assert not caplog.records
        file.chmod(0o644)
        read_tokens(file)
    assert "chmod 600" in caplog.text
    assert TOKEN not in caplog.text


# ------------------------------------------------------------------ access


def test_tokens_of_the_file_and_of_the_environment_are_known(tmp_path: Path) -> None:
    file = private(tmp_path / "tokens", TOKEN)
    access = Access.read(file, environ={"LONGTAKE_TOKEN": "of-the-environment-0123"})
    assert not access.is_open
    assert access.knows_token(TOKEN)
    assert access.knows_token("of-the-environment-0123")
    assert not access.knows_token(TOKEN[:-1])
    assert not access.knows_token("")
    assert not access.knows_token("\ud800")
    assert TOKEN not in repr(access) + repr(vars(access))


def test_a_short_token_of_the_environment_is_refused() -> None:
    with pytest.raises(ConfigError, match="LONGTAKE_TOKEN") as refused:
        Access.read(environ={"LONGTAKE_TOKEN": "short-secret"})
    assert "secret" not in str(refused.value)


def test_without_tokens_and_users_it_is_open() -> None:
    assert Access.read(environ={}).is_open
    assert Access.read(environ={"LONGTAKE_TOKEN": "  "}).is_open


def test_a_password_is_known_by_its_name_alone() -> None:
    access = Access.of(users={"anna": hashed(PASSWORD, CHEAP)})

    async def ask() -> list[bool]:
        pairs = [("anna", PASSWORD), ("anna", "wrong"), ("bob", PASSWORD), ("a:b", PASSWORD)]
        return [await access.knows_password(*pair) for pair in pairs]

    assert asyncio.run(ask()) == [True, False, False, False]


def test_a_name_that_nobody_has_costs_the_same_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []
    real = hashlib.scrypt

    def counted(password: bytes, **how: int) -> bytes:
        asked.append((how["n"], how["r"], how["p"]))
        return bytes(real(password, **how))

    access = Access.of(users={"anna": hashed(PASSWORD, CHEAP)})
    monkeypatch.setattr(hashlib, "scrypt", counted)
    for name in ("anna", "bob", "no:name"):
        asyncio.run(access.knows_password(name, "wrong"))
    assert asked == [(CHEAP.n, CHEAP.r, CHEAP.p)] * 3


def test_hashes_run_beside_the_loop_two_at_once_and_few_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = Access.of(users={"anna": hashed(PASSWORD, CHEAP)})
    running, most, lock, go = [0], [0], threading.Lock(), threading.Event()

    def slow(name: str, password: str) -> bool:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        assert go.wait(10)
        with lock:
            running[0] -= 1
        return True

    monkeypatch.setattr(access, "_fits", slow)

    async def crowd() -> list[bool | BaseException]:
        asking = [asyncio.create_task(access.knows_password("anna", "x")) for _ in range(40)]
        while running[0] < 2:  # the loop goes on meanwhile
            await asyncio.sleep(0.001)
        go.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    answers = asyncio.run(crowd())
    assert most[0] == 2
    assert answers.count(True) == 32
    assert all(each is True or isinstance(each, TooManyLogins) for each in answers)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_an_open_server_may_listen_on_this_machine(host: str) -> None:
    Access.of().check_bind(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.5", "fe80::1", "::ffff:10.0.0.1", "0"]
)
def test_an_open_server_that_others_could_reach_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="--token-file") as refused:
        Access.of().check_bind(host)
    assert f"host={host}" in str(refused.value)
    Access.of(tokens=[TOKEN]).check_bind(host)


def test_a_name_counts_by_all_addresses_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"here": ["127.0.0.1", "::1"], "both": ["127.0.0.1", "10.0.0.1"]}

    def look_up(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in found:
            raise socket.gaierror("unknown")
        return [(0, 0, 0, "", (each, 0)) for each in found[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert is_loopback("here")
    assert not is_loopback("both")
    assert not is_loopback("nowhere")


# ------------------------------------------------------------------ what is remembered


def test_five_failures_in_a_minute_and_twenty_in_an_hour_are_looked_at() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    looked_at = 0
    for _ in range(1_800):  # an attempt every other second, for an hour
        if throttle.wait_s("1.2.3.4") == 0:
            throttle.begin("1.2.3.4")
            looked_at += 1
        clock.now_s += 1.99
        if clock.now_s < 1_060:
            assert looked_at <= 5
    assert looked_at == 20


def test_how_long_to_wait_is_when_the_next_one_is_looked_at() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(5):
        throttle.begin("1.2.3.4")
    assert throttle.wait_s("1.2.3.4") == 60
    assert throttle.wait_s("1.2.3.5") == 0
    clock.now_s += 59.5
    assert throttle.wait_s("1.2.3.4") == 1
    clock.now_s += 0.5
    assert throttle.wait_s("1.2.3.4") == 0


def test_an_attempt_that_was_right_does_not_count_and_pardons_no_other_one() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(4):
        throttle.begin("1.2.3.4")
    for _ in range(9):
        throttle.begin("1.2.3.4")
        throttle.succeeded("1.2.3.4")
    assert throttle.wait_s("1.2.3.4") == 0
    throttle.begin("1.2.3.4")
    assert throttle.wait_s("1.2.3.4") > 0


def test_addresses_of_one_ipv6_network_are_one_and_an_ipv4_address_is_itself() -> None:
    throttle = Throttle(Clock())
    for last in range(5):
        throttle.begin(f"2001:db8:0:1::{last}")
        throttle.begin("::ffff:1.2.3.4")
    assert throttle.wait_s("2001:db8:0:1:ffff::9") > 0
    assert throttle.wait_s("2001:db8:0:2::1") == 0
    assert throttle.wait_s("1.2.3.4") > 0


def test_the_table_of_failures_is_bounded() -> None:
    throttle = Throttle(Clock(), most=3)
    for _ in range(5):
        throttle.begin("10.0.0.1")
    for last in range(2, 5):
        throttle.begin(f"10.0.0.{last}")
    assert throttle.wait_s("10.0.0.1") == 0
    assert len(throttle._failed) == 3


def test_a_login_ends_when_it_was_not_used_for_long_and_by_logging_out() -> None:
    clock = Clock()
    logins = Logins(clock)
    id = logins.begin("anna")
    clock.now_s += IDLE_S - 1
    found = logins.find(id)
    assert found is not None
    assert found.name == "anna"
    clock.now_s += IDLE_S - 1
    assert logins.find(id) is found
    clock.now_s += IDLE_S + 1
    assert logins.find(id) is None
    other = logins.begin("bob")
    kept = logins.find(other)
    logins.end(other)
    assert logins.find(other) is None
    assert kept is not None
    assert not logins.is_on(kept)


def test_ids_of_logins_are_long_and_kept_as_hashes_alone() -> None:
    logins = Logins(Clock())
    ids = {logins.begin("anna") for _ in range(50)}
    assert len(ids) == 50
    assert min(map(len, ids)) >= 43  # 256 bits in base64
    assert not any(id in repr(vars(logins)) for id in ids)
    assert logins.find("") is None


def test_logins_are_bounded_and_those_used_longest_ago_go() -> None:
    logins = Logins(Clock(), most=2)
    first, second = logins.begin("a"), logins.begin("b")
    assert logins.find(first) is not None
    gone = logins.find(second)
    assert logins.find(first) is not None
    logins.begin("c")
    assert logins.find(second) is None
    assert gone is not None
    assert gone.is_over
    assert logins.find(first) is not None


# ------------------------------------------------------------------ the command


class Typed(io.StringIO):
    def isatty(self) -> bool:
        return False


def test_a_user_is_added_and_gets_a_new_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "users"
    private(file, "# people\n" + hashed("bob's password", CHEAP).line("bob") + "\n")
    for said, password in (("was added", PASSWORD), ("has a new password", "another one!")):
        monkeypatch.setattr("sys.stdin", Typed(f"{password}\nnot this line\n"))
        assert cli.main(["user", "anna", "--file", str(file)]) == 0
        captured = capsys.readouterr()
        assert said in captured.err
        assert password not in captured.err + captured.out
        users = read_users(file)
        assert list(users) == ["bob", "anna"]
        assert users["anna"].fits(password)
    assert file.read_text().startswith("# people\n")
    assert not users["anna"].fits(PASSWORD)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_new_file_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Typed(f"{PASSWORD}\n"))
    assert cli.main(["user", "anna", "--file", str(tmp_path / "users")]) == 0
    assert stat.S_IMODE((tmp_path / "users").stat().st_mode) == 0o600


def test_without_a_file_the_line_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Typed(PASSWORD))
    assert cli.main(["user", "anna"]) == 0
    name, read = read_line(capsys.readouterr().out.strip())
    assert name == "anna"
    assert read.fits(PASSWORD)


@pytest.mark.parametrize(
    ("name", "typed", "code"),
    [("anna", "short\n", 2), ("anna", "", 2), ("an:na", PASSWORD, 2), ("anna", "x" * 1025, 2)],
)
def test_what_cannot_be_a_user_is_a_usage_error(
    name: str,
    typed: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", Typed(typed))
    assert cli.main(["user", name, "--file", str(tmp_path / "users")]) == code
    assert not (tmp_path / "users").exists()
    assert capsys.readouterr().err.startswith("longtake: ")


def test_a_file_of_something_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = private(tmp_path / "notes", "milk, bread\n")
    monkeypatch.setattr("sys.stdin", Typed(PASSWORD))
    assert cli.main(["user", "anna", "--file", str(file)]) == 3
    assert file.read_text() == "milk, bread\n"


def test_on_a_terminal_the_password_is_asked_for_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(Typed):
        def isatty(self) -> bool:
            return True

    answers = [PASSWORD, PASSWORD, PASSWORD, PASSWORD + "?"]
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    assert cli.main(["user", "anna"]) == 0
    assert read_line(capsys.readouterr().out.strip())[1].fits(PASSWORD)
    assert cli.main(["user", "anna"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "differ" in captured.err


# ------------------------------------------------------------------ the log


@pytest.mark.parametrize(
    "text",
    [
        '127.0.0.1:1 - "WebSocket /v1/takes/live/view?camera=a&token=s3cret" [accepted]',
        'GET /login?next=/&key=s3cret HTTP/1.1" 200',
        "rtsp://user:s3cret@cam/main",
        "Authorization: Bearer s3cret",
        "{'authorization': 'Bearer s3cret', 'a': 1}",
        "cookie: longtake=s3cret; a=b",
        "password=s3cret",
    ],
)
def test_the_log_shows_no_secret(text: str) -> None:
    assert "s3cret" not in hide_secrets(text)
    assert "***" in hide_secrets(text)


def test_the_log_leaves_other_words_alone() -> None:
    text = "8 frames of /v1/takes/live are late; is the camera on? Raise stall_s"
    assert hide_secrets(text) == text


def test_errors_that_are_logged_show_no_secret_either() -> None:
    try:
        raise ValueError("cannot open rtsp://user:s3cret@cam/main")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "", 0, "Exception in application", (), sys.exc_info()
        )
    assert "s3cret" not in Hiding().format(record)


def test_uvicorn_says_nothing_of_requests(capsys: pytest.CaptureFixture[str]) -> None:
    before = {
        name: (list(logger.handlers), logger.propagate, logger.disabled, logger.level)
        for name in ("uvicorn", "uvicorn.access", "uvicorn.error")
        if (logger := logging.getLogger(name))
    }
    try:
        quiet_uvicorn()
        quiet_uvicorn()
        logging.getLogger("uvicorn.access").warning("GET /?token=s3cret")
        logging.getLogger("uvicorn.error").error("no: /?token=s3cret")
        logging.getLogger("uvicorn.error").error(
            "ASGI callable returned without completing handshake."
        )
        assert capsys.readouterr().err == "longtake: no: /?***\n"
    finally:
        for name, (handlers, propagate, disabled, level) in before.items():
            logger = logging.getLogger(name)
            logger.handlers[:], logger.propagate, logger.disabled = handlers, propagate, disabled
            logger.setLevel(level)
