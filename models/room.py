"""Is there memory for a model, before it is loaded?

A refusal only where it is certain: what is counted is less than what will be used.  What a stream
needs beside the weights is known where it is opened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from longtake.models.base import ModelError
from longtake.models.intact import ITEM_BYTES, Stored

LESS = "--dtype bfloat16, --quantize 4bit, or a smaller checkpoint"
_FLOATS = {"F64", "F32", "F16", "BF16"}
_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_SHARE = {"4bit": 0.5, "8bit": 1.0}  # bytes of a number in a quantised matrix
_ALLOCATORS = ("DefaultCPUAllocator", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
# On a GPU the libraries of matrix products want room of their own, and a step has activations
_MARGIN_BYTES = 256 << 20
_GROUP = Path("/sys/fs/cgroup")


class NotEnoughMemory(ModelError):
    """A model that does not fit."""


@dataclass(frozen=True, slots=True)
class Need:
    """What weights take."""

    bytes: int  # on the device, in the dtype that was asked for
    converted_bytes: int  # of them, those that are not simply mapped from their files


def need(tensors: Iterable[Stored], dtype: torch.dtype, quantize: str = "none") -> Need:
    """What weights take once loaded.

    With ``quantize`` every matrix is counted as quantised, which is less than what happens.
    """
    whole = converted = 0
    for stored in tensors:
        size = stored.numbers * ITEM_BYTES.get(stored.dtype, 1)
        changes = False
        if stored.dtype in _FLOATS:
            if quantize in _SHARE and len(stored.shape) >= 2:
                size, changes = int(stored.numbers * _SHARE[quantize]), True
            else:
                size, changes = stored.numbers * dtype.itemsize, stored.dtype != _NAMES.get(dtype)
        whole += size
        converted += size if changes else 0
    return Need(whole, converted)


def check_room(wanted: Need, place: torch.device) -> None:
    """Refuse what cannot fit.

    On the CPU weights whose dtype stays as it is are mapped from their files and need no RAM of
    their own; so only those that are converted count.

    Raises:
        NotEnoughMemory: says how much is needed, how much there is, and what needs less.
    """
    free = free_bytes(place)
    if free is None:
        return
    is_cpu = place.type == "cpu"
    count = wanted.converted_bytes if is_cpu else wanted.bytes + _MARGIN_BYTES
    if count > free:
        where = "of this machine's RAM" if is_cpu else f"of {place}"
        raise NotEnoughMemory(
            f"its weights need {gib(count)} {where}, and {gib(free)} are free: use {LESS}, or end "
            "what else uses it"
        )


def free_bytes(place: torch.device) -> int | None:
    """What can still be had on a device; None where the system does not say."""
    if place.type == "cuda":
        cached = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
        return torch.cuda.mem_get_info(place)[0] + cached
    return free_ram_bytes() if place.type == "cpu" else None


def total_ram_bytes() -> int | None:
    """RAM without swap, or a container's limit where that is lower; None: not known."""
    known = _meminfo()
    if "MemTotal" in known:
        total = known["MemTotal"]
    elif sys.platform == "darwin":
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        return None
    limit = _number_in(_GROUP / "memory.max")
    return total if limit is None else min(total, limit)


def free_ram_bytes() -> int | None:
    """RAM and swap that can be had, within a container's limit; None: not known."""
    known = _meminfo()
    if "MemAvailable" not in known:
        return None
    free = known["MemAvailable"] + known.get("SwapFree", 0)
    limit, used = (_number_in(_GROUP / f"memory.{name}") for name in ("max", "current"))
    if limit is None or used is None:
        return free
    cached = _fields(_GROUP / "memory.stat").get("file", 0)  # files' pages are given back
    return min(free, max(0, limit - used + cached))


def is_out_of_memory(error: BaseException) -> bool:
    """True where an allocation failed; torch has no class for one on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _ALLOCATORS)


def gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _meminfo() -> Mapping[str, int]:
    return {name: kib << 10 for name, kib in _fields(Path("/proc/meminfo")).items()}


def _fields(path: Path) -> dict[str, int]:
    """``name: number`` or ``name number`` a line; {} where there is no such file."""
    try:
        words = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {name: int(number) for name, number, *_ in (w for w in words if len(w) >= 2)}


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
