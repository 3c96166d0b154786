"""`longtake serve` and `longtake ui`: what is refused before anything is loaded, how a server
begins, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from longtake import cli
from longtake.server.config import ServeConfig
from longtake.server.running import AddressInUse, listen, url_of

TOKEN = "a-token-of-the-tests-0123456789"
WAIT_S = 120.0
COMMAND = Path(sys.executable).with_name("longtake")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    for name in [name for name in os.environ if name.startswith("LONGTAKE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@contextmanager
def served(*words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A server of its own, and what it said on stdout when it began to answer."""
    process = subprocess.Popen(
        [str(COMMAND), "serve", "--port", "0", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=WAIT_S)[1]
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


# ------------------------------------------------------------------ refused at once


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--host", "0.0.0.0"], 3, "nobody would be asked who he is"),
        (["--host", "::"], 3, "nobody would be asked who he is"),
        (["--port", "70000"], 2, "must be 0 (any that is free) to 65535"),
        (["--token-file", "nowhere.txt"], 3, "nowhere.txt"),
        (["--users-file", "nowhere.txt"], 3, "nowhere.txt"),
        (["--tls", "cert.pem"], 3, "CERT,KEY"),
        (["--tls", "nowhere.pem,nowhere.key"], 3, "nowhere.pem"),
        (["nowhere.mp4"], 4, "no such file"),
        (["--most-takes", "0"], 2, "must be more than 0"),
        (["--allow-source", "10.0.0.0/99"], 2, "--allow-source"),
        (["--allow-host", "a b"], 2, "'a b' is no name of a host"),
        (["--allow-origin", "https://anna:sesame@x"], 2, "is no origin"),
        (["--also-model", "/nowhere"], 5, "/nowhere"),
        (["--camera", "door"], 2, "--camera door"),
        (["--takes", __file__], 3, "--takes"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "ui"])
def test_what_cannot_work_is_refused_before_anything_is_loaded(
    command: str, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, *words]) == code
    told = capsys.readouterr().err
    assert said in told and "sesame" not in told


def test_a_token_that_is_too_short_is_refused_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.txt"
    file.write_text("sesame\n")
    file.chmod(0o600)
    assert cli.main(["serve", "--token-file", str(file)]) == 3
    told = capsys.readouterr().err
    assert "16" in told and "sesame" not in told


def test_a_port_in_use_is_told_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert cli.main(["serve", "--port", str(port)]) == 3
    told = capsys.readouterr().err
    assert f"port {port}" in told and "--auto-port" in told


def test_the_next_free_port_is_taken_where_that_is_wanted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressInUse, match="--auto-port"):
            listen(ServeConfig(port=port))
        with listen(ServeConfig(port=port), auto_port=True) as found:
            assert port < found.getsockname()[1] < port + 20


def test_an_address_that_is_not_this_machines_is_told() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1.*cannot listen there"):
        listen(ServeConfig(host="192.0.2.1", port=0))


def test_all_networks_are_opened_at_this_machine() -> None:
    with listen(ServeConfig(host="0.0.0.0", port=0)) as found:
        assert url_of(found).startswith("http://127.0.0.1:")
        assert url_of(found, is_tls=True).startswith("https://")


# ------------------------------------------------------------------ begin and end


def test_a_server_answers_and_ends_in_order_with_all_it_saw(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(f"# of the tests\n{TOKEN}\n")
    tokens.chmod(0o600)
    words = ("--memory", str(memory), "--token-file", str(tokens), "--tls", "auto")
    with served(*words) as (process, told):
        assert told["schema"] == "longtake.serve/1" and told["take"] == "live"
        assert told["url"].startswith("https://127.0.0.1:")
        made = tmp_path / "state" / "longtake" / "tls" / "certificate.pem"
        trusting = ssl.create_default_context(cafile=str(made))
        with httpx.Client(base_url=told["url"], verify=trusting) as client:
            assert client.get("/healthz").json() == {"status": "ok"}
            assert client.get("/v1/takes").status_code == 401
            let_in = {"Authorization": f"Bearer {TOKEN}"}
            assert client.get("/", headers=let_in).status_code == 200
            models = client.get("/v1/models", headers=let_in).json()["data"]
            assert [each["id"] for each in models] == ["embedded"]
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=WAIT_S)
        assert process.returncode == 143, said
        assert TOKEN not in said and "Traceback" not in said
        assert told["fingerprint"] in said
    assert (memory / "catalog.sqlite").is_file()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_every_way_to_end_has_its_code(number: signal.Signals, code: int) -> None:
    with served() as (process, _):
        process.send_signal(number)
        _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == code, said
    assert "Traceback" not in said
