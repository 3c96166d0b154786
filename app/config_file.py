"""Read a TOML file so that every entry knows its line.

Which tables and keys make sense is not known here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from longtake.streaming.errors import redact

MAX_BYTES = 1 << 20  # nobody writes more by hand
Place = tuple[str, ...]  # ("memory", "ram_bytes")


class ConfigError(ValueError):
    """A configuration file or environment variable that cannot be used; holds no credentials."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


def read_entries(
    file: Path, tables: Sequence[str], *, is_named: bool
) -> list[tuple[Place, object, int]]:
    """Every entry of a file with the line on which it begins; nested below ``tables`` alone.

    Args:
        is_named: somebody asked for this file; otherwise it need not exist.

    Raises:
        ConfigError: if it cannot be read, or is not TOML.
    """
    text = _read(file, is_named)
    if text is None:
        return []
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
        last = f"at the end, line {len(text.splitlines())}"
        said = str(error).replace("at end of document", last)
        raise ConfigError(f"{file}: is not TOML: {said}; mend it there") from error
    lines = _lines(text)
    return [(place, value, lines[place]) for place, value in _entries(tree, tables)]


def _read(file: Path, is_named: bool) -> str | None:
    """The file's text; None where there is none and none has to be."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            rule = f"holds more than {MAX_BYTES} bytes and is no configuration"
            raise ConfigError(f"{file}: {rule}; name another with --config")
        return data.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        if not is_named:
            return None
        rule = "there is no such file; --config and LONGTAKE_CONFIG must name one that exists"
        raise ConfigError(f"{file}: {rule}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{file}: is a folder; name the configuration file in it") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file} line {line}: is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        rule = "make it readable, or name another with --config"
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); {rule}") from error


def _lines(text: str) -> dict[Place, int]:
    """Every table and key of a valid file -> the line on which it begins.

    Statements are parsed one by one below the header that they stand under; lines that are no
    statement yet belong to a value of several lines.
    """
    lines: dict[Place, int] = {}
    header, statement, begin = "", "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            tree = tomllib.loads(header + statement)
        except tomllib.TOMLDecodeError:
            continue
        for place in _places(tree):
            lines.setdefault(place, begin)
        if statement.lstrip().startswith("["):
            header = statement
        statement, begin = "", number + 1
    return lines


def _places(tree: dict[str, Any], above: Place = ()) -> Iterator[Place]:
    for name, value in tree.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _places(value, (*above, name))


def _entries(tree: dict[str, Any], tables: Sequence[str]) -> Iterator[tuple[Place, object]]:
    for name, value in tree.items():
        if name in tables and isinstance(value, dict):
            yield from (((name, inner), entry) for inner, entry in value.items())
        else:
            yield (name,), value
