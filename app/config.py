"""Settings gathered from flags, the environment and a TOML file, and where each came from.

    flags  >  environment (LONGTAKE_FPS)  >  file  >  defaults

Keys are the fields of the rooms' own dataclasses: ``model``, ``take.fps``, ``memory.ram_bytes``.
Which values make sense is known there and not here; here is known where a value stands, so that
an error can name the place.  Importing this needs neither torch nor pydantic; `gather` does.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_origin, get_type_hints

from longtake.config_file import ConfigError as ConfigError
from longtake.config_file import read_entries
from longtake.server.config import ServeConfig

if TYPE_CHECKING:
    from longtake.settings import TakeConfig

DEFAULT, FLAG = "default", "flag"  # origins beside "environment NAME" and "FILE line N"
TABLES = ("take", "memory", "decoding", "capture", "serve")
# Of `CaptureConfig`: what belongs to one address, and not to a file of settings.
_OF_ONE_SOURCE = ("live", "av_options", "masks", "allow", "passage")
_TOP: Mapping[str, Any] = {  # key -> type; defaults are those of `Settings`
    "model": str,
    "device": str,
    "dtype": str,
    "quantize": str,
    "max_pixels": int | None,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a run of longtake works with."""

    take: TakeConfig
    model: str = "embedded"
    device: str = "auto"
    dtype: str = "auto"
    quantize: str = "none"  # or 4bit, 8bit
    max_pixels: int | None = None  # of a step's frames together; None: from the model
    serve: ServeConfig = field(default_factory=ServeConfig)

    def __post_init__(self) -> None:
        from longtake.models.quantization import CHOICES

        if self.quantize not in CHOICES:
            either = ", ".join(CHOICES[:-1])
            raise ValueError(f"quantize={self.quantize!r}: must be {either} or {CHOICES[-1]}")
        if self.max_pixels is not None and self.max_pixels < 1:
            raise ValueError(f"max_pixels={self.max_pixels}: must be at least 1")


@dataclass(frozen=True, slots=True)
class Gathered:
    """Settings, and for each key where its value comes from."""

    settings: Settings
    origins: Mapping[str, str]


class _Given(NamedTuple):
    value: object
    origin: str


def gather(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]
) -> Gathered:
    """Settle every key; a flag that is None and a variable that is empty are not given.

    Args:
        file: what was named; None: `default_file`, where that exists.

    Raises:
        ConfigError: if the file or a variable cannot be used.
        ValueError: if a flag's value makes no sense, alone or beside the others.
    """
    hints = _hints()
    assert flags.keys() <= hints.keys(), f"no such keys: {flags.keys() - hints.keys()}"
    given = _from_file(file, environment, hints) | _from_environment(environment, hints)
    given |= {key: _Given(value, FLAG) for key, value in flags.items() if value is not None}
    settings = _settle(given)
    origins = {key: given[key].origin if key in given else DEFAULT for key in hints}
    return Gathered(settings, origins)


def default_file(environment: Mapping[str, str]) -> Path | None:
    """``$XDG_CONFIG_HOME/longtake/config.toml``; None where no home is known."""
    base = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():  # unset, or relative: the XDG rules say that it does not count
        if not environment.get("HOME"):
            return None
        base = Path(environment["HOME"]) / ".config"
    return base / "longtake" / "config.toml"


def variable(key: str) -> str:
    """The environment's name for a key: ``take.fps`` -> ``LONGTAKE_FPS``."""
    return "LONGTAKE_" + key.rpartition(".")[2].upper()


def flat(settings: Settings) -> dict[str, Any]:
    """Key -> value, in the order of a file."""
    rooms = {"take": settings.take, "memory": settings.take.memory}
    homes: dict[str, object] = {"": settings, **rooms, "decoding": settings.take.decoding}
    homes |= {"capture": settings.take.capture, "serve": settings.serve}
    parts = ((key, *key.rpartition(".")[::2]) for key in _hints())
    return {key: getattr(homes[table], name) for key, table, name in parts}


def size(text: str) -> int:
    """``1500``, ``200M``, ``4G``, ``1.5T`` -> bytes: powers of 1024."""
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    units = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    try:
        return int(float(digits) * units[unit])
    except (KeyError, ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a size: write bytes, or 200M, 4G, 1.5T") from None


def _hints() -> dict[str, Any]:
    """Key -> type."""
    from longtake.memory.config import MemoryConfig
    from longtake.models.decode import Decoding
    from longtake.settings import TakeConfig
    from longtake.streaming.capture_config import CaptureConfig
    from longtake.streaming.masks import Mask
    from longtake.streaming.passage import Passage

    hints = dict(_TOP)
    rooms = (TakeConfig, MemoryConfig, Decoding, CaptureConfig, ServeConfig)
    for table, room in zip(TABLES, rooms, strict=True):
        types = get_type_hints(room, localns={"Mask": Mask, "Passage": Passage})
        names = [f.name for f in fields(room) if f.name not in (*TABLES, *_OF_ONE_SOURCE)]
        hints |= {f"{table}.{name}": types[name] for name in names}
    return hints


def _build(values: Mapping[str, object]) -> Settings:
    from longtake.memory.config import MemoryConfig
    from longtake.models.decode import Decoding
    from longtake.settings import TakeConfig
    from longtake.streaming.capture_config import CaptureConfig

    parts: dict[str, dict[str, Any]] = {table: {} for table in ("", *TABLES)}
    for key, value in values.items():
        table, _, name = key.rpartition(".")
        parts[table][name] = value
    memory, decoding = MemoryConfig(**parts["memory"]), Decoding(**parts["decoding"])
    capture = CaptureConfig(**parts["capture"])
    take = TakeConfig(**parts["take"], memory=memory, decoding=decoding, capture=capture)
    return Settings(**parts[""], take=take, serve=ServeConfig(**parts["serve"]))


# ------------------------------------------------------------------ where values come from


def _from_environment(
    environment: Mapping[str, str], hints: Mapping[str, Any]
) -> dict[str, _Given]:
    given = {}
    for key, hint in hints.items():
        text = environment.get(variable(key))
        if text:
            origin = f"environment {variable(key)}"
            given[key] = _Given(_read_value(key, text, origin, hint, is_text=True), origin)
    return given


def _from_file(
    file: Path | None, environment: Mapping[str, str], hints: Mapping[str, Any]
) -> dict[str, _Given]:
    path = file or default_file(environment)
    if path is None:
        return {}
    keys, given = {tuple(key.split(".")): key for key in hints}, {}
    for place, value, line in read_entries(path, TABLES, is_named=file is not None):
        origin = f"{path} line {line}"
        if place not in keys:
            raise ConfigError(f"{origin}: {_unknown(place, hints)}")
        key = keys[place]
        given[key] = _Given(_read_value(key, value, origin, hints[key], is_text=False), origin)
    return given


# ------------------------------------------------------------------ what is wrong with them


def _read_value(key: str, value: object, origin: str, hint: Any, *, is_text: bool) -> object:
    """Of the key's type; text from the environment is converted, a file's value is taken as is."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    kind: TypeAdapter[Any] = TypeAdapter(
        hint, config=ConfigDict(allow_inf_nan=False, hide_input_in_errors=True)
    )
    try:
        if key.endswith("_bytes") and isinstance(value, str):
            value, is_text = size(value), False
        elif get_origin(hint) is tuple and isinstance(value, list | str):  # "a, b" as ["a", "b"]
            words = value.split(",") if isinstance(value, str) else value
            value, is_text = tuple(w.strip() if isinstance(w, str) else w for w in words), False
        if is_text:
            assert isinstance(value, str)
            read = kind.validate_strings(value)
        else:
            read = kind.validate_python(value, strict=True)
        if isinstance(read, int) and not -(1 << 63) <= read < 1 << 63:
            raise ValueError("must fit in 64 bits")
        return read
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"]
        rule = said.replace("Input should be", "must be")
        raise _wrong({key: origin}, f"{_name(key)}={value!r}: {rule}") from error
    except ValueError as error:
        raise _wrong({key: origin}, f"{_name(key)}: {error}") from error


def _settle(given: Mapping[str, _Given]) -> Settings:
    values = {key: each.value for key, each in given.items()}
    try:
        return _build(values)
    except ValueError as error:
        blamed = {key: given[key].origin for key in _blame(values, str(error))}
        if set(blamed.values()) == {FLAG}:
            raise
        if FLAG in blamed.values():  # what was typed now does not fit what was written earlier
            raise ValueError(str(_wrong(blamed, str(error)))) from error
        raise _wrong(blamed, str(error)) from error


def _blame(values: Mapping[str, object], complaint: str) -> list[str]:
    """The keys without which the complaint would be another one, or none."""

    def complaint_without(key: str) -> str | None:
        try:
            _build({other: value for other, value in values.items() if other != key})
        except ValueError as error:
            return str(error)
        return None

    return [key for key in values if complaint_without(key) != complaint] or list(values)


def _wrong(origins: Mapping[str, str], what: str) -> ConfigError:
    places = " and ".join(f"{origin} ({key})" for key, origin in origins.items())
    one = "change it, or take it out for the default"
    return ConfigError(f"{places}: {what}; {one if len(origins) == 1 else 'change one of them'}")


def _unknown(place: tuple[str, ...], hints: Mapping[str, Any]) -> str:
    """What an unknown table or key may have meant."""
    name, written = place[-1].lower(), ".".join(place)
    if len(place) == 1 and place[0] in TABLES:
        return f"{written} is a table: write [{written}] on a line and its keys below"
    known = {_name(key): key for key in hints}
    known |= {table: f"[{table}]" for table in TABLES}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"{written} is not known; did you mean {known[near[0]]}?"
    return f"{written} is not known; take it out, or write one of {', '.join(known.values())}"


def _name(key: str) -> str:
    return key.rpartition(".")[2]
