"""Certificates: made here and kept, or the operator's; a client that trusts them gets in."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.sync.client import connect
from websockets.typing import Origin

from longtake.config import ConfigError
from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.door.certificate import LASTS, make_certificate, names_of, read_certificate
from longtake.server.door.guard import Guard
from longtake.server.door.own_names import own_names
from longtake.server.door.tls import Tls, tls
from longtake.server.running import Certificate
from tests.rigs.serving import serving

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TOKEN = "a-token-of-the-tests-0123456789"


def auto(folder: Path, *names: str, now: datetime | None = None) -> Tls:
    return tls("auto", names, environ={"XDG_STATE_HOME": str(folder)}, now=now)


def test_a_certificate_that_is_made_here_is_trusted_by_who_is_told_to(tmp_path: Path) -> None:
    made = auto(tmp_path)
    config = ServeConfig(port=0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "here"})
            await send({"type": "websocket.close"})

    guard = Guard(app, Access.of(tokens=[TOKEN]), config)
    shown = Certificate(str(made.certificate), str(made.key))
    with serving(guard, config, shown) as url:
        assert url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=made.trusted)
        with httpx.Client(verify=trust, base_url=url) as client:
            assert client.get("/").status_code == 401
            own = {"Origin": url}
            answer = client.post("/login", data={"token": TOKEN}, headers=own)
            assert "secure" in answer.headers["Set-Cookie"].lower()
            plain = {"Origin": url.replace("https", "http")}
            assert client.post("/login", data={"token": TOKEN}, headers=plain).status_code == 403
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        with connect(
            url.replace("https", "wss") + "/",
            ssl=trust,
            origin=Origin(url),
            additional_headers={"Cookie": cookie},
        ) as opened:
            assert opened.recv(20) == "here"
        with pytest.raises(httpx.ConnectError), httpx.Client() as stranger:
            stranger.get(url)
        port = int(url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port)) as line,
            trust.wrap_socket(line, server_hostname="localhost") as named,
        ):
            presented = named.getpeercert(binary_form=True)
    assert presented is not None
    digest = made.fingerprint.replace(":", "").lower()
    assert hashlib.sha256(presented).hexdigest() == digest
    assert made.fingerprint in str(made)


def test_it_is_for_all_names_of_this_machine_and_lasts_no_longer_than_browsers_take() -> None:
    read = read_certificate(make_certificate(own_names(["cam.example", "192.168.7.7"]), NOW))
    wanted = {"localhost", "127.0.0.1", "::1", "cam.example", "192.168.7.7"}
    assert wanted <= names_of(read)
    assert read.not_valid_after_utc - read.not_valid_before_utc == LASTS
    assert timedelta(days=398) > LASTS
    assert read.not_valid_before_utc < NOW
    key = read.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_names_are_those_that_can_stand_in_a_certificate() -> None:
    names = own_names(["0.0.0.0", "::", "Cam.Example", "[::1]", "fe80::1%eth0", "", "a b", "x..y"])
    assert len(names) == len(set(names))
    assert "cam.example" in names
    assert not {"0.0.0.0", "::", "", "a b", "x..y", "[::1]"} & set(names)
    for name in names:
        if ":" in name:
            assert not ipaddress.ip_address(name).is_link_local


def test_it_is_kept_and_is_its_owners_alone(tmp_path: Path) -> None:
    first = auto(tmp_path, now=NOW)
    second = auto(tmp_path, now=NOW + timedelta(days=300))
    assert first == second
    folder = first.key.parent
    assert folder == tmp_path / "longtake" / "tls"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"PRIVATE" in first.key.read_bytes()
    assert b"PRIVATE" not in first.trusted.read_bytes()


@pytest.mark.parametrize(
    ("names", "later", "is_new"),
    [
        ((), timedelta(days=360), False),
        ((), timedelta(days=380), True),
        ((), timedelta(days=500), True),
        ((), timedelta(days=-2), True),
        (("new.example",), timedelta(0), True),
    ],
)
def test_it_is_made_anew_before_it_expires_and_for_a_new_name(
    names: tuple[str, ...], later: timedelta, is_new: bool, tmp_path: Path
) -> None:
    first = auto(tmp_path, "old.example", now=NOW)
    second = auto(tmp_path, *names, now=NOW + later)
    assert (first.fingerprint != second.fingerprint) == is_new
    assert set(names) <= names_of(read_certificate(second.trusted.read_bytes()))
    assert read_certificate(second.trusted.read_bytes()) == read_certificate(
        second.certificate.read_bytes()
    )


@pytest.mark.parametrize("damage", [b"", b"noise", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_one_that_is_damaged_is_made_anew(damage: bytes, tmp_path: Path) -> None:
    first = auto(tmp_path)
    first.key.write_bytes(damage)
    first.trusted.unlink()
    second = auto(tmp_path)
    assert second.fingerprint != first.fingerprint
    assert second.trusted.is_file()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "longtake").write_text("a file")
    with pytest.raises(ConfigError, match="XDG_STATE_HOME"):
        auto(tmp_path)


# ------------------------------------------------------------------ the operator's own files


def files(folder: Path, now: datetime | None = None) -> tuple[Path, Path]:
    pem = make_certificate(["localhost"], now or datetime.now(UTC))
    cut = pem.index(b"-----BEGIN CERTIFICATE")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(pem[cut:])
    key.write_bytes(pem[:cut])
    key.chmod(0o600)
    return certificate, key


def test_files_of_the_operators_are_taken_as_they_are(tmp_path: Path) -> None:
    certificate, key = files(tmp_path)
    given = tls(f"{certificate}, {key}")
    assert (given.certificate, given.key, given.trusted) == (certificate, key, certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(given.certificate, given.key)


@pytest.mark.parametrize("given", ["", "cert.pem", ",", "a,", ",b", "AUTO"])
def test_what_names_no_two_files_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="CERT,KEY"):
        tls(given)


def test_files_that_cannot_be_used_are_refused_in_words(tmp_path: Path) -> None:
    certificate, key = files(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = files(tmp_path / "other")
    noise = tmp_path / "noise.pem"
    noise.write_text("noise")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for given, said in (
        ((tmp_path / "nowhere", key), "nowhere: cannot be read: No such file"),
        ((certificate, tmp_path / "nowhere"), "nowhere: cannot be read"),
        ((certificate, tmp_path), "cannot be read: Is a directory"),
        ((certificate, other), "is not the key of"),
        ((noise, key), "noise.pem: is no certificate in PEM"),
        ((certificate, noise), "noise.pem: is no key in PEM"),
        ((key, certificate), "key.pem: is no certificate"),
        ((certificate, locked), "locked.pem: has a password"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            tls(f"{given[0]},{given[1]}")
        assert "BEGIN" not in str(refused.value)


def test_an_expired_certificate_and_a_key_that_others_read_are_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = files(tmp_path, NOW - timedelta(days=900))
    key.chmod(0o644)
    with caplog.at_level(logging.WARNING, "longtake"):
        tls(f"{certificate},{key}", now=NOW)
    assert "browsers will refuse it" in caplog.text
    assert "chmod 600" in caplog.text
