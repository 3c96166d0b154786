"""``longtake bench ingest``: how fast a file is taken in, beside the plain twin's bare forward."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from longtake.bench.clip import SCALE, check_minutes, draw
from longtake.bench.frame import (
    Row,
    Say,
    check_repeats,
    compared,
    interleave,
    median,
    show,
    timed,
)
from longtake.bench.model import Model
from longtake.bench.plain import Plain
from longtake.settings import TakeConfig
from longtake.streaming.sources import open_source


def run(model: Model, minutes: float, repeats: int, as_json: bool, say: Say) -> None:
    """Take in a drawn clip with a memory on disk, beside the model's bare forward.

    Raises:
        ValueError: for a length or a number of repeats that makes no sense.
        ModelError: if there is no plain twin for the model's family.
    """
    check_minutes(minutes)
    check_repeats(repeats)
    with TemporaryDirectory(prefix="longtake-bench-") as home, model.engine() as engine:
        folder = Path(home)
        clip, fps = folder / "clip.mp4", engine.adapter.recipe.fps
        film = draw(clip, minutes, fps, say)
        frames = round(film.seconds * fps)
        plain = Plain(engine.adapter, model.name)
        pixels = plain.pixels([image for _, image in film.frames(fps)])
        nbytes: list[int] = []

        def whole() -> float:
            memory = folder / f"memory{len(nbytes)}"
            begun = time.perf_counter()
            with engine.open(memory) as take:
                take.watch(clip).wait()
                pace = take.pace
            took_s = time.perf_counter() - begun
            nbytes.append(sum(p.stat().st_size for p in memory.rglob("*") if p.is_file()))
            assert plain.window_tokens == pace.window_tokens
            return took_s

        jobs: dict[str, Callable[[], float]] = {
            "whole pipeline": whole,
            "bare forward": lambda: timed(lambda: plain.stream(pixels)),
            "decode and sample": lambda: timed(lambda: _read(clip, fps)),
        }
        found = interleave(jobs, repeats, say)
        rate = {name: frames / median(times) for name, times in found.items()}
        bare = Row("bare forward", rate["bare forward"], "frames/s")
        rows = [
            compared("whole pipeline", rate["whole pipeline"], "frames/s", bare),
            bare,
            Row("decode and sample", rate["decode and sample"], "frames/s"),
            Row("memory on disk", nbytes[-1] / film.seconds * 3600 / 1e6, "MB/h"),
        ]
    sizes = {
        "clip": f"{film.seconds} s drawn at {fps:g} frames/s, {96 * SCALE} x {96 * SCALE}, H.264",
        "model": f"{model.name}, {engine.adapter.dtype}, {engine.adapter.device}",
        "threads": torch.get_num_threads(),
        "repeats": f"{repeats}, interleaved; medians",
        "whole": "decode, sample, encode, window, store, thumbnails; until all is on disk",
        "bare": f"{plain.batch_frames} frames through vision, then step by step through the "
        f"decoder over sink and {plain.window_tokens} tokens; pixels ready in RAM",
    }
    show("ingest", sizes, rows, as_json)


def _read(clip: Path, fps: float) -> int:
    config = TakeConfig()
    with open_source(clip, fps=fps, max_side=config.memory.thumbnail_px) as source:
        return sum(1 for _ in source.frames())
