"""What to do when memory runs out while something runs.

Libraries are not imported here: what was never imported has not failed.
"""

from __future__ import annotations

import re
import sys

LESS = "--max-pixels, --window, --top-k or --fps, or use --dtype bfloat16 or --quantize 4bit"
_TRIED = re.compile(r"[Tt]ried to allocate ([\d.]+) ?([KMGT]i?B|bytes)")
_OF_GPU = re.compile(r"total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free")
_GPU = re.compile(r"GPU (\d+)")


def ran_out(error: BaseException) -> bool:
    """True where an allocation failed, on whatever device."""
    room = sys.modules.get("longtake.models.room")
    if room is None:
        return isinstance(error, MemoryError)
    found: bool = room.is_out_of_memory(error)
    return found


def explain(error: BaseException) -> str:
    """How much was wanted, of what, and which flags need less."""
    text = " ".join(str(error).split())
    tried, capacity, gpu = _TRIED.search(text), _OF_GPU.search(text), _GPU.search(text)
    wanted = f"{_amount(*tried.groups())} more were needed" if tried else "it was not enough"
    if gpu is None:
        return f"out of memory (RAM): {wanted}; lower {LESS}, or end what else uses it"
    held = f" and {capacity[2]} of {capacity[1]} were free" if capacity else ""
    return f"out of memory on GPU {gpu[1]}: {wanted}{held}; lower {LESS}, or use --device cpu"


def _amount(number: str, unit: str) -> str:
    """As the allocator says it, but for bytes."""
    if unit != "bytes":
        return f"{number} {unit}"
    size = float(number)
    for name, scale in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if size >= scale:
            return f"{size / scale:.1f} {name}"
    return f"{number} bytes"
