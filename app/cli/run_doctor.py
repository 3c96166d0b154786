"""``longtake doctor``: print a checkup, and say by the exit code how it went.

The parts are looked at first; where a needed one is missing nothing else can be imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli import flags
from longtake.cli.common import say
from longtake.cli.endings import CONFIGURATION, MODEL
from longtake.cli.names import as_text, shown
from longtake.config import ConfigError
from longtake.doctor.checks import OF_THE_MODEL, Area, Check, look
from longtake.doctor.parts import Part, are_missing, look_at_parts
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.doctor.checkup import Checkup
    from longtake.doctor.memory import MemoryFolder

SCHEMA = "longtake.doctor/1"
_TITLES: Mapping[Area, str] = {"memory": "memory folder", "media": "FFmpeg in PyAV"}
_SIGNS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}
_BROKEN = "a library is there and cannot be imported: install it anew, or what it says is missing"


def run(
    *,
    model: str | None,
    memory: Path | None,
    device: str | None,
    dtype: str | None,
    as_json: bool,
    quantize: str | None = None,
    max_pixels: int | None = None,
) -> int:
    """Look, show, and return the exit code.

    Raises:
        ValueError: for a flag whose value makes no sense.
    """
    parts = look_at_parts()
    found, checks = None, list(parts.checks)
    if not are_missing(parts.facts):
        given = {
            "model": model,
            "device": device,
            "dtype": dtype,
            "quantize": quantize,
            "max_pixels": max_pixels,
        }
        found, beyond = _look_beyond(model, memory, given)
        checks += beyond
    if as_json:
        print(json.dumps(to_json(parts.facts or (), found, checks), allow_nan=False))
    else:
        print("\n".join(lines(checks)))
    return exit_code(checks)


def _look_beyond(
    model: str | None, memory: Path | None, given: Mapping[str, object]
) -> tuple[Checkup | None, list[Check]]:
    """At all but the parts; None where a library that is there cannot be imported."""
    loaded = look("parts", _BROKEN, _examine, lambda _: ())
    if loaded.facts is None:
        return None, list(loaded.checks)
    wrong = []
    try:
        settled = flags.settings(given)
    except ConfigError as error:
        wrong.append(Check("settings", "settings", "problem", one_line(error), "correct it there"))
        settled = flags.settings_of_flags(given)
    if model is not None:
        say(f"loading {model}, and again to compare it with plain transformers")
    found = loaded.facts(
        model, memory, settled.device, settled.dtype, settled.quantize, settled.max_pixels
    )
    return found, [*wrong, *found.checks]


def _examine() -> Callable[[str | None, Path | None, str, str, str, int | None], Checkup]:
    from longtake.doctor.checkup import examine

    return examine


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
            yield f"  {sign:<{sign_width}}  {check.name:<{name_width}}  {shown(check.value)}"
            if check.advice:
                yield f"  {'':<{sign_width}}  {'':<{name_width}}  -> {shown(check.advice)}"
        yield ""
    states = [check.state for check in checks]
    problems, notes = states.count("problem"), states.count("note")
    yield f"{len(checks)} checks: {_counted(problems, 'problem')}, {_counted(notes, 'note')}"


def to_json(
    parts: Sequence[Part], found: Checkup | None, checks: Sequence[Check]
) -> dict[str, Any]:
    """What ``--json`` prints; documented in docs/json.md."""
    versions = {"parts": {part.name: part.version for part in parts}}
    empty = dict.fromkeys(("memory", "media", "model", "parity"))
    whole = {
        "schema": SCHEMA,
        "machine": versions if found is None else _machine_json(found) | versions,
        **({"kernels": [], **empty} if found is None else _found_json(found)),
        "checks": [_check_json(check) for check in checks],
    }
    return {name: _fit_for_json(value) for name, value in whole.items()}


def _fit_for_json(value: Any) -> Any:
    """Paths as text, and bytes that are no UTF-8 escaped wherever a name may stand."""
    if isinstance(value, str | PathLike):
        return as_text(value)
    if isinstance(value, dict):
        return {as_text(name): _fit_for_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fit_for_json(inner) for inner in value]
    return value


def _found_json(found: Checkup) -> dict[str, Any]:
    from longtake.doctor.parity import Parity

    parity = found.parity.facts
    return {
        "kernels": [asdict(choice) for choice in found.kernels.facts or ()],
        "memory": _memory_json(found.memory.facts),
        "media": None if found.media.facts is None else asdict(found.media.facts),
        "model": None if found.model.facts is None else asdict(found.model.facts),
        "parity": parity.as_json() if isinstance(parity, Parity) else None,
    }


def _machine_json(found: Checkup) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if found.machine.facts is not None:
        known |= asdict(found.machine.facts)
    if found.devices.facts is not None:
        devices = found.devices.facts
        known |= {
            "device": str(devices.device),
            "dtype": str(devices.dtype).removeprefix("torch."),
            "gpus": [asdict(gpu) for gpu in devices.gpus],
        }
    return known


def _memory_json(facts: MemoryFolder | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    return {
        "folder": facts.folder,
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
