"""Which certificate a server shows: one made here and kept, or files of the operator's.

What is in a certificate is known to `certificate`; who shows it, to `running`.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from longtake.config_file import ConfigError
from longtake.server.door.certificate import (
    fingerprint,
    make_certificate,
    names_of,
    read_certificate,
)
from longtake.server.door.own_names import own_names
from longtake.server.door.secret_files import warn_if_others_read, write_private

AUTO = "auto"
_RENEWED = timedelta(days=30)  # before it expires

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tls:
    """Files that a server loads, and what tells people that they see its own certificate."""

    certificate: Path  # PEM
    key: Path
    trusted: Path  # the certificate alone, for clients that are to trust it
    fingerprint: str  # SHA-256

    def __str__(self) -> str:
        return f"certificate {self.trusted}, SHA-256 {self.fingerprint}"


def tls(
    given: str,
    names: Iterable[str] = (),
    *,
    environ: Mapping[str, str] = os.environ,
    now: datetime | None = None,
) -> Tls:
    """What ``--tls`` names.

    Args:
        given: ``auto``, or two files: ``CERT,KEY``.
        names: more that the certificate is for, beside this machine's own; `auto` alone.
        now: with a time zone.

    Raises:
        ConfigError: if a file cannot be used.
    """
    now = now or datetime.now(UTC)
    if given.strip() == AUTO:
        return _kept(_folder(environ), own_names(names), now)
    certificate, comma, key = given.partition(",")
    if not comma or not certificate.strip() or not key.strip():
        raise ConfigError(
            f"--tls {given}: give `auto`, or two files in PEM as CERT,KEY (the certificate with "
            "those that vouch for it, and its key)"
        )
    return _given(Path(certificate.strip()), Path(key.strip()), now)


def _folder(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "longtake" / "tls"


def _kept(folder: Path, names: list[str], now: datetime) -> Tls:
    """The one of an earlier run while it is good for all names, else a new one.

    Key and certificate are one file, which appears whole: two servers that start at once cannot mix
    them up.  The certificate alone lies beside it for those who want to trust it.
    """
    private, public = folder / "server.pem", folder / "certificate.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate = _usable(private, names, now)
        if certificate is None:
            write_private(private, make_certificate(names, now))
            certificate = read_certificate(private.read_bytes())
        pem = private.read_bytes()
        shown = pem[pem.find(b"-----BEGIN CERTIFICATE") :]
        if not public.is_file() or public.read_bytes() != shown:
            write_private(public, shown)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--tls auto: no certificate can be kept in {folder}: {error}; XDG_STATE_HOME names "
            "another place"
        ) from error
    _loads(private, private)
    return Tls(private, private, public, fingerprint(certificate))


def _usable(file: Path, names: list[str], now: datetime) -> x509.Certificate | None:
    try:
        certificate = read_certificate(file.read_bytes())
        _loads(file, file)
    except (FileNotFoundError, ValueError):
        return None
    is_fresh = now < certificate.not_valid_after_utc - _RENEWED
    is_begun = certificate.not_valid_before_utc <= now
    return certificate if is_fresh and is_begun and set(names) <= names_of(certificate) else None


def _given(certificate: Path, key: Path, now: datetime) -> Tls:
    for file in (certificate, key):
        try:
            file.open("rb").close()
        except OSError as error:
            raise ConfigError(f"--tls: {file}: cannot be read: {error.strerror}") from error
    _loads(certificate, key)
    warn_if_others_read(key)
    read = read_certificate(certificate.read_bytes())
    if not read.not_valid_before_utc <= now <= read.not_valid_after_utc:
        _log.warning(
            "%s: is good from %s to %s; browsers will refuse it",
            certificate,
            read.not_valid_before_utc.date(),
            read.not_valid_after_utc.date(),
        )
    return Tls(certificate, key, certificate, fingerprint(read))


def _loads(certificate: Path, key: Path) -> None:
    """That a server can use these.

    Raises:
        ConfigError: says what is wrong with them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asked = []

    def no_password() -> str:  # else the terminal would be asked
        asked.append(True)
        return ""

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(f"--tls: {_in_words(error, certificate, key, bool(asked))}") from error


def _in_words(error: Exception, certificate: Path, key: Path, has_password: bool) -> str:
    if has_password:
        return f"{key}: has a password; `openssl pkey -in {key} -out FILE` takes it off"
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return f"{key} is not the key of {certificate}"
    try:
        read_certificate(certificate.read_bytes())
    except ValueError:
        return f"{certificate}: is no certificate in PEM"
    except OSError as unread:
        return f"{certificate}: cannot be read: {unread.strerror}"
    return f"{key}: is no key in PEM"
