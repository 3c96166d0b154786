"""``longtake doctor``: print a checkup, and say by the exit code how it went."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from longtake.cli import flags
from longtake.cli.common import say
from longtake.cli.endings import CONFIGURATION, MODEL
from longtake.config import ConfigError
from longtake.doctor.checks import OF_THE_MODEL, Area, Check, said
from longtake.doctor.checkup import Checkup, examine
from longtake.doctor.memory import MemoryFolder

SCHEMA = "longtake.doctor/1"
_TITLES: Mapping[Area, str] = {"memory": "memory folder", "media": "FFmpeg in PyAV"}
_SIGNS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


def run(
    *, model: str | None, memory: Path | None, device: str | None, dtype: str | None, as_json: bool
) -> int:
    """Look, show, and return the exit code.

    Raises:
        ValueError: for a flag whose value makes no sense.
    """
    wrong = []
    place, kind = device or "auto", dtype or "auto"
    try:
        settings = flags.settings({"model": model, "device": device, "dtype": dtype})
        place, kind = settings.device, settings.dtype
    except ConfigError as error:
        wrong.append(Check("settings", "settings", "problem", said(error), "correct it there"))
    if model is not None:
        say(f"loading {model}, and again to compare it with plain transformers")
    found = examine(model, memory, place, kind)
    checks = [*wrong, *found.checks]
    if as_json:
        print(json.dumps(to_json(found, checks), allow_nan=False))
    else:
        print("\n".join(lines(checks)))
    return exit_code(checks)


def exit_code(checks: Sequence[Check]) -> int:
    """0 where nothing is a problem; what the model runs on counts before the rest."""
    problems = [check for check in checks if check.state == "problem"]
    if any(check.area in OF_THE_MODEL for check in problems):
        return MODEL
    return CONFIGURATION if problems else 0


def lines(checks: Sequence[Check]) -> Iterator[str]:
    """Aligned text, a line a check; what to do stands under it."""
    name_width = max(len(check.name) for check in checks)
    sign_width = max(len(sign) for sign in _SIGNS.values())
    for area, group in groupby(checks, key=lambda check: check.area):
        yield _TITLES.get(area, area)
        for check in group:
            sign = _SIGNS[check.state]
            yield f"  {sign:<{sign_width}}  {check.name:<{name_width}}  {check.value}"
            if check.advice:
                yield f"  {'':<{sign_width}}  {'':<{name_width}}  -> {check.advice}"
        yield ""
    states = [check.state for check in checks]
    problems, notes = states.count("problem"), states.count("note")
    yield f"{len(checks)} checks: {_counted(problems, 'problem')}, {_counted(notes, 'note')}"


def to_json(found: Checkup, checks: Sequence[Check]) -> dict[str, Any]:
    """What ``--json`` prints; documented in docs/json.md."""
    return {
        "schema": SCHEMA,
        "machine": _machine_json(found),
        "kernels": [asdict(choice) for choice in found.kernels.facts or ()],
        "memory": _memory_json(found.memory.facts),
        "media": None if found.media.facts is None else asdict(found.media.facts),
        "model": None if found.model.facts is None else asdict(found.model.facts),
        "parity": None if found.parity.facts is None else found.parity.facts.as_json(),
        "checks": [_check_json(check) for check in checks],
    }


def _machine_json(found: Checkup) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if found.machine.facts is not None:
        shown |= asdict(found.machine.facts) | {"temp_folder": str(found.machine.facts.temp_folder)}
    if found.devices.facts is not None:
        devices = found.devices.facts
        shown |= {
            "device": str(devices.device),
            "dtype": str(devices.dtype).removeprefix("torch."),
            "gpus": [asdict(gpu) for gpu in devices.gpus],
        }
    return shown | {"parts": {part.name: part.version for part in found.parts.facts or ()}}


def _memory_json(facts: MemoryFolder | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    return {
        "folder": str(facts.folder),
        "is_writable": not facts.refusal,
        "free_bytes": facts.free_bytes,
        "held": None if facts.held is None else asdict(facts.held),
        "unreadable": facts.unreadable or None,
    }


def _check_json(check: Check) -> dict[str, str | None]:
    return {
        "name": check.name,
        "state": check.state,
        "value": check.value,
        "advice": check.advice or None,
    }


def _counted(count: int, name: str) -> str:
    return f"{count or 'no'} {name}{'' if count == 1 else 's'}"
