"""The libraries that longtake stands on: which are there, and of which version.

Needs nothing but Python itself, and imports none of them: a checkup begins here, where any of
them may be missing.  Whether one that is there works is not known here.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from longtake import __version__
from longtake.doctor.checks import Check, Found, look


@dataclass(frozen=True, slots=True)
class Library:
    """What is looked for."""

    module: str
    distributions: tuple[str, ...]  # each brings the module; the first is the one to install
    advice: str = ""  # where an optional one is missing; '': nothing is to be done
    remark: str = ""  # what is to be known beside the version

    @property
    def name(self) -> str:
        """How it is shown: ``opencv`` for opencv-python and its like, and ``multipart``."""
        return self.distributions[0].removeprefix("python-").partition("-")[0]


NEEDED = (  # the dependencies in pyproject.toml
    Library("av", ("av",)),
    Library("cryptography", ("cryptography",)),
    Library("fastapi", ("fastapi",)),
    Library("gradio", ("gradio",)),
    Library("httpx", ("httpx",)),
    Library("jinja2", ("jinja2",)),
    Library("numpy", ("numpy",)),
    Library("cv2", ("opencv-python", "opencv-python-headless", "opencv-contrib-python")),
    Library("prometheus_client", ("prometheus-client",)),
    Library("pydantic", ("pydantic",)),
    Library("python_multipart", ("python-multipart",)),
    Library("rich", ("rich",)),
    Library("safetensors", ("safetensors",)),
    Library("torch", ("torch",)),
    Library("transformers", ("transformers",)),
    Library("typer", ("typer",)),
    Library("uvicorn", ("uvicorn",)),
    Library("websockets", ("websockets",)),
    Library("xxhash", ("xxhash",)),
)
OPTIONAL = (
    Library(
        "faiss",
        ("faiss-cpu", "faiss-gpu-cu12", "faiss-gpu"),
        advice="for faster search in memories of many thousand chunks: pip install faiss-cpu",
    ),
    Library("triton", ("triton",), remark="not used yet: kernels for CUDA are to come"),
)
_NO_NUMBER = "of unknown version"


@dataclass(frozen=True, slots=True)
class Part:
    """A library as it was found."""

    name: str
    version: str | None  # None: not installed
    is_needed: bool
    advice: str = ""  # what to do where it is missing
    remark: str = ""


def look_at_parts() -> Found[tuple[Part, ...]]:
    """Find and judge them; this never raises for what is wrong with them."""
    return look("parts", "install longtake anew", find_parts, judge_parts)


def are_missing(parts: tuple[Part, ...] | None) -> bool:
    """Whether nothing else can be looked at, for want of a part that is needed."""
    return any(part.is_needed and part.version is None for part in parts or ())


def find_parts() -> tuple[Part, ...]:
    found = [
        Part("python", platform.python_version(), True),
        Part("longtake", __version__, True),
        *(
            Part(one.name, _version(one), True, f"pip install {one.distributions[0]}")
            for one in NEEDED
        ),
        *(Part(one.name, _version(one), False, one.advice, one.remark) for one in OPTIONAL),
    ]
    return tuple(found)


def judge_parts(parts: tuple[Part, ...]) -> Iterator[Check]:
    for part in parts:
        text = "; ".join(filter(None, (part.version or "not installed", part.remark)))
        if part.version is not None:
            yield Check("parts", part.name, "ok", text)
        elif part.is_needed:
            yield Check("parts", part.name, "problem", text, part.advice)
        else:
            yield Check("parts", part.name, "note" if part.advice else "ok", text, part.advice)


def _version(library: Library) -> str | None:
    """None where the module is not there, whatever the list of installed distributions says."""
    if not _is_there(library.module):
        return None
    for name in library.distributions:
        try:
            return (version(name) or _NO_NUMBER) + _build(name)
        except PackageNotFoundError:
            continue
    return _NO_NUMBER


def _is_there(module: str) -> bool:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):  # something stands in its way, or half of it is loaded
        return False
    return spec is not None and spec.origin is not None  # without: a folder that was left behind


def _build(distribution: str) -> str:
    if not distribution.startswith("faiss-"):
        return ""
    return " (GPU build)" if distribution.startswith("faiss-gpu") else " (CPU build)"
