"""What the engine costs beside the model's own forward: CPU time of seeing and of decoding.

    python benchmarks/engine_overhead.py [--pairs 7] [--json FILE]

Middle-sized decoders with random weights (speed does not depend on their values), a window that
is not full.  Each pair runs the engine, then unmodified transformers with a `DynamicCache`, over
the same frames; process CPU time, medians of the pairs' ratios.  Vision and pixels are in both.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from transformers import DynamicCache  # noqa: E402

from longtake.hardware import machine  # noqa: E402
from longtake.memory.turn import Turn  # noqa: E402
from longtake.models.loader import load  # noqa: E402
from longtake.turns import next_logits  # noqa: E402
from tests import checkpoints, streams  # noqa: E402
from tests.conformance import load_plain  # noqa: E402

MIDDLE: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
}
SECTIONS = {"qwen2_5_vl": {"rope_parameters": {"mrope_section": [8, 12, 12]}}}
STEPS, SIDE, WORDS, TOKENS = 12, 112, 16, 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # CPU time of waiting threads is nobody's work
    rows: list[dict[str, Any]] = []
    for family in ("llava_onevision", "qwen2_5_vl"):
        rows += measure(family, chosen.pairs)
    found = {"schema": "longtake.bench/1", "bench": "engine_overhead", "machine": machine()}
    found["sizes"] = {**MIDDLE, "steps": STEPS, "pairs": chosen.pairs, "dtype": "float32"}
    found["rows"] = rows
    for row in rows:
        print(f"{row['name']:<44}{row['value']:>9.2f} {row['unit']}  {row['ratio']:.3f} x plain")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")


def measure(family: str, pairs: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as home:
        changes = {**MIDDLE, **SECTIONS.get(family, {})}
        folder = checkpoints.write(family, Path(home) / family, **changes)
        adapter, plain = load(str(folder), device="cpu"), load_plain(folder, attention="sdpa")
    each = adapter.recipe.frames_per_step
    shown = streams.frames(STEPS * each, height=SIDE, width=SIDE)
    rows = []
    for name, ours, theirs, count in (
        ("seeing, a step", see(adapter, shown), plain_see(adapter, plain, shown), STEPS),
        ("decoding, a token", decode(adapter, shown), plain_decode(adapter, plain, shown), TOKENS),
    ):
        spent: list[tuple[float, float]] = []
        for pair in range(-1, pairs):
            took = (ours(), theirs())
            if pair >= 0:
                spent.append(took)
            gc.collect()
        rows.append(
            {
                "name": f"{family}: {name}",
                "value": statistics.median(a for a, _ in spent) / count * 1e3,
                "unit": "ms",
                "ratio": statistics.median(a / b for a, b in spent),
                "reference": "plain transformers, DynamicCache, sdpa",
                "plain_ms": statistics.median(b for _, b in spent) / count * 1e3,
            }
        )
    return rows


def cpu_time(job: Callable[[], object]) -> float:
    begun = time.process_time()
    job()
    return time.process_time() - begun


def see(adapter: Any, shown: list[Any]) -> Callable[[], float]:
    def run() -> float:
        with streams.session(adapter, window_s=1e6, window_tokens=16_000) as one:
            return cpu_time(lambda: one.see(shown))

    return run


def plain_see(adapter: Any, plain: Any, shown: list[Any]) -> Callable[[], float]:
    def run() -> float:
        def job() -> None:
            with torch.inference_mode():
                steps = adapter.steps([f.image for f in shown], [f.pts_s for f in shown])
                _fill(adapter, plain, steps)

        return cpu_time(job)

    return run


def _fill(adapter: Any, plain: Any, steps: list[Any]) -> DynamicCache:
    cache, behind = DynamicCache(), 0
    for step in (adapter.sink(), *steps):
        positions = step.positions + behind
        behind = int(positions.max()) + 1
        where = positions[:, None] if adapter.shape.axes > 1 else positions
        plain.get_decoder()(
            inputs_embeds=step.embeds[None],
            position_ids=where,
            past_key_values=cache,
            use_cache=True,
        )
    return cache


def decode(adapter: Any, shown: list[Any]) -> Callable[[], float]:
    """Greedy tokens over ``[sink | window]``, the context laid out once."""

    def run() -> float:
        with (
            torch.inference_mode(),
            streams.session(adapter, window_s=1e6, window_tokens=16_000) as one,
        ):
            one.see(shown)
            held = [one.window.sink, *one.window.segments()]
            turn = Turn.over_all(adapter.rotary, held, WORDS + TOKENS, adapter.shape.axes)
            logits = next_logits(adapter, turn, torch.arange(WORDS))

            def job() -> None:
                nonlocal logits
                for _ in range(TOKENS):
                    logits = next_logits(adapter, turn, logits.argmax()[None])

            return cpu_time(job)

    return run


def plain_decode(adapter: Any, plain: Any, shown: list[Any]) -> Callable[[], float]:
    """`generate`, so many tokens less one."""
    with torch.inference_mode():
        steps = adapter.steps([f.image for f in shown], [f.pts_s for f in shown])
        embeds = torch.cat([s.embeds for s in (adapter.sink(), *steps)])
        embeds = torch.cat([embeds, adapter.embed(torch.arange(WORDS))])[None]

    def generate(tokens: int) -> float:
        mask = torch.ones(embeds.shape[:2], dtype=torch.long)
        return cpu_time(
            lambda: plain.generate(
                inputs_embeds=embeds,
                attention_mask=mask,
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
            )
        )

    return lambda: generate(TOKENS + 1) - generate(1)


if __name__ == "__main__":
    main()
