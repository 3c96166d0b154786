"""``longtake config show``: the settings as TOML that can be saved and read again, or as JSON.

What cannot be saved stands as a comment: what is not set, and what holds a login or bytes that are
no text.
"""

from __future__ import annotations

import json
import os
from itertools import groupby
from pathlib import Path

from longtake.cli.common import config_file
from longtake.cli.names import as_text, shown
from longtake.config import Gathered, default_file, flat, gather
from longtake.streaming.errors import redact

SCHEMA = "longtake.config/1"
_COMMENT_COLUMN = 32


def show(as_json: bool) -> None:
    """Print what holds for every command that is given no flags."""
    gathered = gather(config_file(), os.environ, {})
    file = config_file() or default_file(os.environ)
    if as_json:
        print(json.dumps(_as_json(gathered, file), indent=2))
    else:
        print(as_toml(gathered, file), end="")


def as_toml(gathered: Gathered, file: Path | None) -> str:
    """Every key with its origin as a comment, grouped by table; begins with the file's path."""
    if file is None:
        first = "no configuration file: neither XDG_CONFIG_HOME nor HOME is set"
    else:
        first = f"{shown(file)}{'' if file.exists() else ' (not there)'}"
    lines = [f"# {first}"]
    values = flat(gathered.settings)
    for table, keys in groupby(values, key=lambda key: key.rpartition(".")[0]):
        lines += ["", *([f"[{table}]"] if table else [])]
        lines += [_line(key, values[key], gathered.origins[key]) for key in keys]
    return "\n".join(lines) + "\n"


def _line(key: str, value: object, origin: str) -> str:
    name = key.rpartition(".")[2]
    if value is None:
        entry, origin = f"# {name} =", f"{origin}: {_none_means(key)}"
    elif not _can_be_saved(value):
        entry, origin = (
            f'# {name} = "{shown(_without_login(value))}"',
            f"{origin}; not shown as it is",
        )
    else:
        entry = f"{name} = {_literal(value)}"
    return f"{entry:<{_COMMENT_COLUMN}}  # {shown(origin)}"


def _none_means(key: str) -> str:
    named = {
        "take.window_tokens": "from window_s and fps",
        "memory.disk_bytes": "no limit",
        "capture.reconnects": "for ever",
    }
    return named.get(key, "from the model" if key.startswith("take.") else "not set")


def _can_be_saved(value: object) -> bool:
    """A login is not shown, and TOML holds text alone."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return _without_login(value) == str(value)


def _without_login(value: object) -> str:
    return redact(str(value))


def _literal(value: object) -> str:
    """As TOML writes it: JSON's strings and numbers, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _as_json(gathered: Gathered, file: Path | None) -> dict[str, object]:
    values, origins = flat(gathered.settings), gathered.origins
    return {
        "schema": SCHEMA,
        "file": None if file is None else as_text(file),
        "values": {
            key: {
                "value": redact(value) if isinstance(value, str) else value,
                "origin": as_text(origins[key]),
            }
            for key, value in values.items()
        },
    }
