"""Look at everything that `longtake doctor` knows to look at beyond the parts.

Each part is found out and judged apart; here they are put together.  Importing this needs every
library that `parts` calls needed.  How it is shown is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from longtake.doctor import machine as machines
from longtake.doctor import media as medias
from longtake.doctor import memory as memories
from longtake.doctor import model as models
from longtake.doctor.checks import Check, Found, look
from longtake.doctor.parity import Parity
from longtake.kernels.dispatch import Choice
from longtake.models.loader import EMBEDDED, FAMILIES

_ADVICE: Mapping[str, str] = {
    "machine": "set TMPDIR to a folder that is there, if it is about temporary files",
    "device": "--device cpu --dtype auto always works",
    "kernels": "--device cpu always works",
    "memory": "choose another folder with --memory",
    "media": "install PyAV anew: pip install --force-reinstall av",
    "cameras": "install OpenCV anew: pip install --force-reinstall opencv-python",
    "model": f"do what it says, or give --model {EMBEDDED}, or a complete checkpoint of "
    f"{' or '.join(FAMILIES)} that fits into this device's memory",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkup:
    """Everything that was found."""

    machine: Found[machines.Machine]
    devices: Found[machines.Devices]
    kernels: Found[list[Choice]]
    memory: Found[memories.MemoryFolder]
    media: Found[medias.Media]
    cameras: Found[medias.Cameras]
    model: Found[models.Model]
    parity: Found[Parity | models.NotCompared]

    @property
    def checks(self) -> list[Check]:
        """All lines, in the order in which they are shown."""
        found: tuple[Found[Any], ...] = (
            self.machine,
            self.devices,
            self.kernels,
            self.memory,
            self.media,
            self.cameras,
            self.model,
            self.parity,
        )
        return [check for one in found for check in one.checks]


def examine(
    model: str | None,
    memory: Path | None,
    device: str,
    dtype: str,
    quantize: str = "none",
    max_pixels: int | None = None,
) -> Checkup:
    """Look at everything; at a model only where one is named, and it is loaded for that.

    Never raises for what is wrong with the machine: that is what the checks say.
    """
    devices = look(
        "device",
        _ADVICE["device"],
        partial(machines.find_devices, device, dtype),
        machines.judge_devices,
    )
    return Checkup(
        machine=look("machine", _ADVICE["machine"], machines.find_machine, machines.judge_machine),
        devices=devices,
        kernels=look(
            "kernels",
            _ADVICE["kernels"],
            partial(machines.find_kernels, devices.facts),
            machines.judge_kernels,
        ),
        memory=look("memory", _ADVICE["memory"], partial(memories.find, memory), memories.judge),
        media=look("media", _ADVICE["media"], medias.find_media, medias.judge_media),
        cameras=look("cameras", _ADVICE["cameras"], medias.find_cameras, medias.judge_cameras),
        **_model(model, device, dtype, quantize, max_pixels),
    )


def _model(
    name: str | None, device: str, dtype: str, quantize: str, max_pixels: int | None
) -> dict[str, Any]:
    """Load it once to measure, and where that went well once more to compare."""
    nothing: Found[Any] = Found(None, ())
    if name is None:
        return {"model": nothing, "parity": nothing}
    model = look(
        "model",
        _ADVICE["model"],
        partial(models.find_model, name, device, dtype, quantize, max_pixels),
        models.judge_model,
    )
    if model.facts is None:
        return {"model": model, "parity": nothing}
    parity = look(
        "model",
        _ADVICE["model"],
        partial(models.find_parity, name, device),
        models.judge_parity,
    )
    return {"model": model, "parity": parity}
