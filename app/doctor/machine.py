"""The machine: its parts and their versions, processor, RAM, disk, and where models run.

Nothing is loaded onto a device here.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from shutil import disk_usage

import torch

from longtake import __version__
from longtake.bench.frame import machine as hardware
from longtake.doctor.checks import Check
from longtake.kernels.dispatch import Choice, describe
from longtake.models import loader
from longtake.ui.view import bytes_text

_NEEDED = (  # distributions, by any of their names
    ("torch",),
    ("transformers",),
    ("av",),
    ("opencv-python", "opencv-python-headless", "opencv-contrib-python"),
    ("numpy",),
    ("safetensors",),
    ("rich",),
    ("typer",),
)
_OPTIONAL = (
    (
        ("faiss-cpu", "faiss-gpu-cu12", "faiss-gpu"),
        "for faster search in memories of many thousand chunks: pip install 'longtake[cpu]'",
    ),
    (("triton",), "for kernels on CUDA: pip install 'longtake[gpu]'"),
    (("gradio",), "for the page in the browser: pip install gradio"),
)
_SCARCE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Part:
    """A library that longtake stands on."""

    name: str
    version: str | None  # None: not installed
    is_needed: bool
    used_for: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run on."""

    os: str
    cpu: str
    cores: int  # that this process may use
    ram_bytes: int | None  # None: this system does not say
    ram_free_bytes: int | None
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


# ------------------------------------------------------------------ parts


def find_parts() -> tuple[Part, ...]:
    found = [
        Part("python", platform.python_version(), True),
        Part("longtake", __version__, True),
        *(_part(names, True, "") for names in _NEEDED),
        *(_part(names, False, used_for) for names, used_for in _OPTIONAL),
    ]
    return tuple(found)


def judge_parts(parts: tuple[Part, ...]) -> Iterator[Check]:
    for part in parts:
        if part.version is not None:
            yield Check("parts", part.name, "ok", part.version)
        elif part.is_needed:
            yield Check("parts", part.name, "problem", "not installed", f"pip install {part.name}")
        else:
            yield Check("parts", part.name, "note", "not installed", part.used_for)


def _part(names: tuple[str, ...], is_needed: bool, used_for: str) -> Part:
    short = names[0].partition("-")[0]
    for name in names:
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        kind = f" ({_faiss_build()})" if short == "faiss" else ""
        return Part(short, found + kind, is_needed, used_for)
    return Part(short, None, is_needed, used_for)


def _faiss_build() -> str:
    if find_spec("faiss") is None:
        return "cannot be imported"
    import faiss

    return "GPU build" if hasattr(faiss, "StandardGpuResources") else "CPU build"


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
        text = f"{bytes_text(machine.ram_bytes)}, {bytes_text(machine.ram_free_bytes)} free"
        yield Check("machine", "RAM", "ok", text)
    text = f"{machine.temp_folder}, {bytes_text(machine.temp_free_bytes)} free"
    if machine.temp_free_bytes >= _SCARCE_BYTES:
        yield Check("machine", "temporary files", "ok", text)
    else:
        advice = "takes without --memory lie there: free some space, or set TMPDIR"
        yield Check("machine", "temporary files", "note", text, advice)


def ram_bytes() -> tuple[int | None, int | None]:
    """Total and free; a container's limit counts where it is lower."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        if sys.platform == "darwin":
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
        return None, None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    total, free = kib["MemTotal"] << 10, kib["MemAvailable"] << 10
    limit = _number_in(Path("/sys/fs/cgroup/memory.max"))
    used = _number_in(Path("/sys/fs/cgroup/memory.current"))
    if limit is None or used is None or limit >= total:
        return total, free
    return limit, min(free, max(0, limit - used))


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


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
