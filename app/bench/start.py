"""``longtake bench start``: from the start of a process to the first word of an answer.

Beside it a process that only imports torch and loads the same weights into plain transformers.
Everything is timed from outside, as the person at the terminal waits for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from longtake.bench.clip import draw
from longtake.bench.frame import Row, Say, check_repeats, compared, interleave, median, show
from longtake.bench.model import Model
from longtake.bench.plain import check_family
from longtake.models.loader import find_device, find_dtype, find_folder

CLIP_MINUTES = 0.5
QUESTION = "was there a red star?"
ASK, LOAD = "ask, to the first word", "torch and weights alone"
TORCH, HELP = "import torch", "longtake --help"
_LOAD = """
import sys
import torch
from transformers import LlavaOnevisionForConditionalGeneration
folder, device, dtype = sys.argv[1:]
model = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, dtype=dtype)
model.to(device)
print("loaded")
"""


@dataclass(frozen=True, slots=True)
class Start:
    """A command, and what its output says before the part that is waited for."""

    words: tuple[str, ...]
    before: bytes = b""


def run(model: Model, repeats: int, as_json: bool, say: Say) -> None:
    """Ask about a short stream in memory, each time in a new process.

    Raises:
        ValueError: for a number of repeats that makes no sense.
        ModelError: if there is no plain twin for the model's family.
        RuntimeError: if a process ends without its answer.
    """
    check_repeats(repeats)
    with TemporaryDirectory(prefix="longtake-bench-") as home:
        memory = Path(home) / "memory"
        _fill(model, Path(home) / "clip.mp4", memory, say)
        jobs: dict[str, Callable[[], float]] = {
            name: lambda start=start: seconds_to(start)  # type: ignore[misc]
            for name, start in starts(model, memory).items()
        }
        found = {name: median(took) for name, took in interleave(jobs, repeats, say).items()}
    device, dtype = _where(model)
    load = Row(LOAD, found[LOAD], "s")
    rows = [
        compared(ASK, found[ASK], "s", load),
        load,
        Row(TORCH, found[TORCH], "s"),
        Row(HELP, found[HELP], "s"),
    ]
    sizes = {
        "stream": f"{CLIP_MINUTES * 60:g} s in memory",
        "model": f"{model.name}, {dtype}, {device}",
        "repeats": f"{repeats}, interleaved; medians",
        "until": "the first character of the answer, or of what else is printed, can be read",
        "alone": "import torch, from_pretrained of the same folder in plain transformers, to the "
        "same device",
    }
    show("start", sizes, rows, as_json)


def starts(model: Model, memory: Path) -> dict[str, Start]:
    """The processes that are timed, by the name of their row."""
    python = (sys.executable, "-u")
    place, kind = _where(model)
    given = ("--model", model.name, "--device", place, "--dtype", kind)
    asked = ("ask", *given, "--memory", str(memory), QUESTION)
    return {
        ASK: Start((*python, "-m", "longtake", *asked), before=b"\nA  "),
        LOAD: Start((*python, "-c", _LOAD, str(find_folder(model.name)), place, kind)),
        TORCH: Start((*python, "-c", "import torch; print('imported')")),
        HELP: Start((*python, "-m", "longtake", "--help")),
    }


def seconds_to(start: Start) -> float:
    """From the start of a process until the first byte behind ``before`` is on its stdout.

    Returns when the process has ended.

    Raises:
        RuntimeError: if that byte never comes, or the process fails; with its last words.
    """
    with TemporaryFile() as notes:
        begun = time.perf_counter()
        with subprocess.Popen(start.words, stdout=subprocess.PIPE, stderr=notes) as process:
            assert process.stdout is not None
            took_s, seen = None, b""
            while piece := os.read(process.stdout.fileno(), 4096):
                seen += piece
                if took_s is None and _has_more(seen, start.before):
                    took_s = time.perf_counter() - begun
        notes.seek(0)
        said = notes.read().decode(errors="replace").strip().splitlines()
    if process.returncode != 0 or took_s is None:
        last = said[-1] if said else "it said nothing"
        command = " ".join(start.words[2:5])
        raise RuntimeError(f"{command} ...: ended with {process.returncode}, no answer: {last}")
    return took_s


def _where(model: Model) -> tuple[str, str]:
    """Device and dtype by name, so that both processes use the same."""
    place = find_device(model.device)
    return str(place), str(find_dtype(model.dtype, place)).removeprefix("torch.")


def _has_more(seen: bytes, before: bytes) -> bool:
    """Whether something stands behind ``before``."""
    place = seen.find(before)
    return place >= 0 and len(seen) > place + len(before)


def _fill(model: Model, clip: Path, memory: Path, say: Say) -> None:
    """A memory with a short drawn stream."""
    with model.engine() as engine:
        check_family(engine.adapter, model.name)
        draw(clip, CLIP_MINUTES, engine.adapter.recipe.fps, say)
        with engine.open(memory) as take:
            take.watch(clip).wait()
