"""Settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from longtake.settings import TakeConfig


class ConfigError(ValueError):
    """A configuration file or environment variable that cannot be used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    model: str = "embedded"
    device: str = "auto"
    dtype: str = "auto"
    take: TakeConfig = field(default_factory=TakeConfig)


@dataclass(frozen=True, slots=True)
class Gathered:
    settings: Settings
    origins: Mapping[str, str]


def gather(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]
) -> Gathered:
    """Stand-in: flags over defaults."""
    given = {k: v for k, v in flags.items() if v is not None}

    def of(table: str) -> dict[str, Any]:
        return {k.split(".")[1]: v for k, v in given.items() if k.startswith(table + ".")}

    take = TakeConfig(**of("take"))
    take = replace(
        take,
        memory=replace(take.memory, **of("memory")),
        decoding=replace(take.decoding, **of("decoding")),
    )
    top: dict[str, Any] = {k: v for k, v in given.items() if "." not in k}
    return Gathered(Settings(take=take, **top), {})
