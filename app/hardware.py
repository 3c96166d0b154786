"""What this machine is called: processor, cores, system and the versions of what runs on it.

Nothing is measured and nothing is loaded here.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from longtake import __version__

_LIBRARIES = ("torch", "transformers", "av")


def machine() -> dict[str, str | int]:
    """Processor, system and versions: what a number means nothing without."""
    found: dict[str, str | int] = {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "longtake": __version__,
    }
    return found | {name: version(name) for name in _LIBRARIES}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
