"""Files of tokens and of users: read with the line that is wrong, written for their owner alone.

A message names file and line, never what stands in it.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from longtake.config_file import ConfigError
from longtake.server.door.passwords import Hashed, read_line

LEAST_TOKEN, MOST_TOKEN = 16, 1024  # letters
_MOST_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def read_tokens(file: Path) -> list[str]:
    """One a line; empty lines and those that begin with # do not count.

    Raises:
        ConfigError: if the file cannot be read, holds none, or one that cannot be used.
    """
    tokens = [check_token(text, f"{file} line {number}") for number, text in _lines(file)]
    if not tokens:
        raise ConfigError(f"{file}: holds no token; write one a line, of {LEAST_TOKEN} or more")
    return tokens


def check_token(token: str, where: str) -> str:
    """The token, if it can be used.

    Raises:
        ConfigError: names where it stands and the rule, not the token.
    """
    if not LEAST_TOKEN <= len(token) <= MOST_TOKEN:
        raise ConfigError(
            f"{where}: the token has {len(token)} letters, must have {LEAST_TOKEN} to "
            f"{MOST_TOKEN}; `openssl rand -hex 32` makes a good one"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(f"{where}: a token is ASCII letters, digits and signs, without blanks")
    return token


def read_users(file: Path, *, may_be_empty: bool = False) -> dict[str, Hashed]:
    """Passwords by name.

    Raises:
        ConfigError: if the file cannot be read, holds nobody, one twice, or a line that is none.
    """
    users: dict[str, Hashed] = {}
    for number, text in _lines(file):
        try:
            name, password = read_line(text)
        except ValueError as error:
            raise ConfigError(f"{file} line {number}: {error}") from None
        if name in users:
            raise ConfigError(f"{file} line {number}: user {name} stands there twice")
        users[name] = password
    if not users and not may_be_empty:
        raise ConfigError(f"{file}: holds no user; `longtake user NAME --file {file}` adds one")
    return users


def write_user(file: Path, name: str, line: str) -> bool:
    """Add a user's line, or put it in the place of the one there was; other lines stay.

    The file appears whole or not at all, and is its owner's alone (0600).

    Returns:
        Whether there was one.

    Raises:
        ConfigError: if the file cannot be read.
        OSError: if it cannot be written.
    """
    real = Path(os.path.realpath(file))
    lines = _text(real).splitlines() if real.exists() else []
    places = [i for i, old in enumerate(lines) if old.partition(":")[0].strip() == name]
    if places:
        lines[places[0]] = line
        lines = [old for i, old in enumerate(lines) if i not in places[1:]]
    else:
        lines.append(line)
    write_private(real, "".join(f"{each}\n" for each in lines).encode())
    return bool(places)


def write_private(file: Path, data: bytes) -> None:
    """Replace a file at once, readable by its owner alone.

    Raises:
        OSError: if it cannot be written; what was there stays.
    """
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # 0600
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def warn_if_others_read(file: Path) -> None:
    """Note on the log where more than its owner may read a file."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning(
            "%s: others on this machine can read it (mode %o); chmod 600 %s", file, mode, file
        )


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    text = _text(file)
    warn_if_others_read(file)
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{file}: is larger than {_MOST_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is no text in UTF-8") from None


def token_of(environ: Mapping[str, str], name: str) -> Sequence[str]:
    """The token of an environment variable, if it is set.

    Raises:
        ConfigError: if it cannot be used.
    """
    text = environ.get(name, "").strip()
    return [check_token(text, f"environment {name}")] if text else []
