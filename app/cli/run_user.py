"""``longtake user``: ask for a password, write its line.

What the line holds is known to `server.passwords`.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from longtake.cli.common import say
from longtake.server.door.passwords import MOST_PASSWORD, hashed, user_name
from longtake.server.door.secret_files import read_users, write_user


def run(name: str, file: Path | None) -> None:
    """Print the line, or put it into `file`.

    Raises:
        ValueError: if the name or the password cannot be used.
        ConfigError: if `file` cannot be read, or holds other lines than those of users.
        OSError: if it cannot be written.
    """
    name = user_name(name)
    if file is not None and file.exists():
        read_users(file, may_be_empty=True)  # before the password is asked for
    line = hashed(_password()).line(name)
    if file is None:
        print(line)
        return
    was_there = write_user(file, name, line)
    say(f"{file}: {name} {'has a new password' if was_there else 'was added'}")


def _password() -> str:
    """From the terminal, without echo, or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(MOST_PASSWORD + 2).rstrip("\r\n")
    first = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != first:
        raise ValueError("the two passwords differ; nothing was changed")
    return first
