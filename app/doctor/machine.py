"""The machine: processor, RAM, disk, and where models run.

Nothing is loaded onto a device here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

import torch

from longtake.doctor.checks import Check
from longtake.hardware import machine as hardware
from longtake.kernels.dispatch import Choice, describe
from longtake.models import loader, room
from longtake.ui.view import bytes_text

_SCARCE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run on."""

    os: str
    cpu: str
    cores: int  # that this process may use
    ram_bytes: int | None  # None: this system does not say
    ram_free_bytes: int | None  # with swap
    temp_folder: Path  # where takes without --memory lie
    temp_free_bytes: int


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Devices:
    """What device and dtype mean here."""

    device: torch.device
    dtype: torch.dtype
    gpus: tuple[Gpu, ...]
    cuda_build: str | None  # CUDA that torch was built for


# ------------------------------------------------------------------ machine


def find_machine() -> Machine:
    known = hardware()
    total, free = ram_bytes()
    temp = Path(tempfile.gettempdir())
    return Machine(
        os=str(known["os"]),
        cpu=str(known["cpu"]),
        cores=int(known["cores"]),
        ram_bytes=total,
        ram_free_bytes=free,
        temp_folder=temp,
        temp_free_bytes=disk_usage(temp).free,
    )


def judge_machine(machine: Machine) -> Iterator[Check]:
    yield Check("machine", "system", "ok", machine.os)
    yield Check("machine", "processor", "ok", f"{machine.cpu}, {machine.cores} cores usable")
    if machine.ram_bytes is None or machine.ram_free_bytes is None:
        yield Check("machine", "RAM", "note", "this system does not say how much there is")
    else:
        text = (
            f"{bytes_text(machine.ram_bytes)}, {bytes_text(machine.ram_free_bytes)} free with swap"
        )
        yield Check("machine", "RAM", "ok", text)
    text = f"{machine.temp_folder}, {bytes_text(machine.temp_free_bytes)} free"
    if machine.temp_free_bytes >= _SCARCE_BYTES:
        yield Check("machine", "temporary files", "ok", text)
    else:
        advice = "takes without --memory lie there: free some space, or set TMPDIR"
        yield Check("machine", "temporary files", "note", text, advice)


def ram_bytes() -> tuple[int | None, int | None]:
    """Total, and what can be had with swap, by which models are refused or loaded; a container's
    limit counts for both."""
    return room.total_ram_bytes(), room.free_ram_bytes()


# ------------------------------------------------------------------ devices


def find_devices(device: str, dtype: str) -> Devices:
    """What these two settings mean here.

    Raises:
        ModelError: for a device that there is not, or a dtype that is not known.
    """
    place = loader.find_device(device)
    gpus = []
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        free, total = torch.cuda.mem_get_info(number)
        gpus.append(Gpu(properties.name, total, free))
    cuda_build: str | None = torch.version.cuda
    return Devices(place, loader.find_dtype(dtype, place), tuple(gpus), cuda_build)


def judge_devices(devices: Devices) -> Iterator[Check]:
    yield Check("device", "device", "ok", str(devices.device))
    yield Check("device", "dtype", "ok", str(devices.dtype).removeprefix("torch."))
    for number, gpu in enumerate(devices.gpus):
        text = f"{gpu.name}, {bytes_text(gpu.memory_bytes)}, {bytes_text(gpu.free_bytes)} free"
        yield Check("device", f"GPU {number}", "ok", text)
    if devices.gpus:
        return
    if devices.cuda_build is None and Path("/proc/driver/nvidia").exists():
        advice = "install a CUDA build of torch to use it: see pytorch.org"
        text = "there is an NVIDIA driver, but this torch is built without CUDA"
        yield Check("device", "GPU", "note", text, advice)
    else:
        built = f"CUDA {devices.cuda_build}" if devices.cuda_build else "the processor alone"
        yield Check("device", "GPU", "ok", f"none (this torch is built for {built})")


def judge_kernels(choices: list[Choice]) -> Iterator[Check]:
    for choice in choices:
        yield Check("kernels", choice.kernel, "ok", f"{choice.implementation}: {choice.reason}")


def find_kernels(devices: Devices | None) -> list[Choice]:
    """What runs on the device; on the CPU where that could not be found."""
    return describe("cpu" if devices is None else devices.device)
