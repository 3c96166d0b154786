"""Train the embedded model: vision, then alignment, then language, in one command.

    python -m longtake.models.embedded.train --out DIR

Every minute, at the end of a stage and on Ctrl-C the state goes to DIR/checkpoint.pt; the same
command continues from it.  At the end DIR/model holds an ordinary Hugging Face folder in bf16,
DIR/log.jsonl the curves.  Steps shape the learning-rate schedule: a continued run keeps its own.

A batch is shared out among processes of one thread each, which average their gradients: at these
sizes two such processes are faster than one with two threads.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections import defaultdict
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads cost most of a busy machine

import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn

from longtake.models.embedded.batches import FrameBatches, QuestionBatches, prefetched
from longtake.models.embedded.network import (
    LAYERS,
    WIDTH,
    build_model,
    see,
    vision_parameters,
)
from longtake.models.embedded.objective import language_loss, trainable
from longtake.models.embedded.vision_stage import CellHeads, align, single_frames
from longtake.models.embedded.weights_folder import write_folder
from longtake.models.embedded.world import WORLD_VERSION

PEAK_RATE = 1.5e-3
FRAMES_PER_BATCH = 128
FILMS_PER_BATCH, QUESTIONS_PER_FILM, CHUNKS_PER_FILM = 8, 20, 16
CHECKPOINT_S = 60.0
RENDEZVOUS = "processes"  # a file through which they find one another


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m longtake.models.embedded.train", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="for checkpoint, log and model")
    parser.add_argument("--seed", type=int, default=1)
    cores = min(FILMS_PER_BATCH, os.cpu_count() or 1)
    parser.add_argument("--processes", type=int, default=1 << (cores.bit_length() - 1))
    parser.add_argument("--vision-steps", type=int, default=3600, help="of 128 single frames")
    parser.add_argument("--language-steps", type=int, default=1800, help="of 160 questions")
    settings = parser.parse_args()
    if FILMS_PER_BATCH % settings.processes:
        parser.error(f"--processes {settings.processes}: must divide {FILMS_PER_BATCH} films")
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / RENDEZVOUS).unlink(missing_ok=True)
    try:
        if settings.processes == 1:
            train(0, settings)
        else:
            spawn(train, (settings,), settings.processes)  # type: ignore[no-untyped-call]
    except KeyboardInterrupt:
        raise SystemExit(
            f"stopped; the same command continues from {settings.out / 'checkpoint.pt'}"
        ) from None


def train(rank: int, settings: argparse.Namespace) -> None:
    """One process of a run; the first keeps checkpoint and log."""
    torch.set_num_threads(1)
    if torch.cpu.get_capabilities().get("avx512_bf16"):
        # bf16 products inside fp32 matrix multiplications: 3 to 15 times faster on such a CPU.
        torch.set_float32_matmul_precision("medium")
    torch.manual_seed(settings.seed)
    if settings.processes > 1:
        distributed.init_process_group(
            "gloo",
            init_method=f"file://{(settings.out / RENDEZVOUS).absolute()}",
            rank=rank,
            world_size=settings.processes,
            timeout=timedelta(minutes=5),
        )
    with suppress(KeyboardInterrupt) if rank else nullcontext():
        Training(settings, rank).run()


def rate(step: int, total: int, warm: int, hold: float) -> float:
    """Share of the peak: linear warm-up, flat until ``hold`` of the way, cosine to 3 %."""
    done = step / total
    fall = 0.0 if done < hold else (done - hold) / (1 - hold)
    return min(1.0, (step + 1) / warm) * (0.03 + 0.97 * (1 + math.cos(math.pi * fall)) / 2)


class Training:
    """One run: the model, its optimizer, and where it stands."""

    def __init__(self, settings: argparse.Namespace, rank: int = 0) -> None:
        self.settings, self.rank = settings, rank
        self.out: Path = settings.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.model = build_model()
        self.heads = CellHeads(WIDTH)
        self.stage, self.step, self.runs = "vision", 0, 1
        self.cpu_before_s = self.wall_before_s = 0.0
        self.cpu_start_s, self.wall_start_s = time.process_time(), time.monotonic()
        self.saved_s = time.monotonic()
        state = self._read_checkpoint()
        self.optimizer = self._make_optimizer()
        if state is not None:
            self.optimizer.load_state_dict(state["optimizer"])

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def run(self) -> None:
        try:
            if self.stage == "vision":
                self.train_vision()
                self.begin_language()
            self.train_language()
        finally:
            self.save()
        if self.rank == 0:
            folder = self.out / "model"
            write_folder(self.model, folder)
            print(f"written: {folder}", flush=True)

    def train_vision(self) -> None:
        total = self.settings.vision_steps
        share = FRAMES_PER_BATCH // self.settings.processes
        batches = prefetched(FrameBatches(share, self.settings.seed, self._start()))
        parameters = [*vision_parameters(self.model), *self.heads.parameters()]
        while self.step < total:
            frames, labels = next(batches)
            loss, report = self.heads(see(self.model, frames)[0], labels)
            self._descend(loss, parameters, rate(self.step, total, 100, 0.0))
            if self.step % 50 == 0:
                self._tell(total, loss=loss.item(), **report)

    def begin_language(self) -> None:
        frames, _ = single_frames(random.Random(f"align {self.settings.seed}"), 64)
        scale = align(self.model, self.heads, frames)
        self.stage, self.step = "language", 0
        self.optimizer = self._make_optimizer()
        self.save()
        self._tell(self.settings.language_steps, alignment_scale=scale)

    def train_language(self) -> None:
        total = self.settings.language_steps
        batches = prefetched(
            QuestionBatches(
                FILMS_PER_BATCH // self.settings.processes,
                QUESTIONS_PER_FILM,
                LAYERS,
                CHUNKS_PER_FILM,
                self.settings.seed,
                self._start(),
            )
        )
        parameters = trainable(self.model)
        seen: dict[str, list[float]] = defaultdict(list)
        while self.step < total:
            batch = next(batches)
            loss, report = language_loss(self.model, batch)
            for kind, right in zip(batch["kinds"], report.right, strict=True):
                seen[kind].append(right)
            seen["answer_loss"].append(report.answer_loss)
            seen["contrast_loss"].append(report.contrast_loss)
            seen["grounded_mass"].append(report.grounded_mass)
            for layer, hit in enumerate(report.recall_at_1):
                seen[f"recall_at_1.{layer}"].append(hit)
            self._descend(loss, parameters, rate(self.step, total, 150, 0.4))
            if self.step % 25 == 0:
                self._tell(total, **{k: sum(v) / len(v) for k, v in sorted(seen.items())})
                seen.clear()

    def save(self) -> None:
        if self.rank:
            return
        cpu_s, wall_s = self._spent()
        state = {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "stage": self.stage,
            "step": self.step,
            "cpu_s": cpu_s,
            "wall_s": wall_s,
            "runs": self.runs,
            "settings": self._identity(),
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)  # never a half-written checkpoint
        self.saved_s = time.monotonic()

    def _identity(self) -> dict[str, int | str]:
        """What a checkpoint must share with the run that continues it."""
        return {
            "world_version": WORLD_VERSION,
            "seed": self.settings.seed,
            "vision_steps": self.settings.vision_steps,
            "language_steps": self.settings.language_steps,
            "processes": self.settings.processes,
        }

    def _read_checkpoint(self) -> dict[str, Any] | None:
        if not self.checkpoint.exists():
            return None
        state: dict[str, Any] = torch.load(self.checkpoint, weights_only=True)
        if state["settings"] != self._identity():
            raise SystemExit(
                f"{self.checkpoint} was made with {state['settings']}, this run has "
                f"{self._identity()}: use the same values, or another --out"
            )
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.stage, self.step, self.runs = state["stage"], state["step"], state["runs"] + 1
        self.cpu_before_s, self.wall_before_s = state["cpu_s"], state["wall_s"]
        if self.rank == 0:
            print(f"continuing: {self.stage}, step {self.step}", flush=True)
        return state

    def _make_optimizer(self) -> torch.optim.AdamW:
        in_vision = self.stage == "vision"
        for p in vision_parameters(self.model):
            p.requires_grad_(in_vision)
        parameters = (
            [*vision_parameters(self.model), *self.heads.parameters()]
            if in_vision
            else trainable(self.model)
        )
        groups = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.05},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98))

    def _descend(self, loss: Tensor, parameters: list[nn.Parameter], factor: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = PEAK_RATE * factor
        loss.backward()  # type: ignore[no-untyped-call]
        self._average([p.grad for p in parameters if p.grad is not None])
        nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if time.monotonic() - self.saved_s > CHECKPOINT_S:
            self.save()

    def _average(self, gradients: list[Tensor]) -> None:
        """Over all processes, in place."""
        if self.settings.processes == 1:
            return
        together = torch.cat([g.flatten() for g in gradients])
        distributed.all_reduce(together)
        together /= self.settings.processes
        for gradient, mean in zip(
            gradients, torch.split(together, [g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))

    def _start(self) -> str:
        """Seeds this process's data from this step on: no batch is seen twice."""
        return f"{self.step} {self.rank}"

    def _spent(self) -> tuple[float, float]:
        """CPU and wall seconds of all runs so far; CPU of one process, without drawing."""
        return (
            self.cpu_before_s + time.process_time() - self.cpu_start_s,
            self.wall_before_s + time.monotonic() - self.wall_start_s,
        )

    def _tell(self, total: int, **values: float) -> None:
        if self.rank:
            return
        cpu_s, wall_s = self._spent()
        line = {
            "stage": self.stage,
            "step": self.step,
            "of": total,
            "cpu_s": round(cpu_s),
            "wall_s": round(wall_s),
            "runs": self.runs,
            **{key: round(value, 4) for key, value in values.items()},
        }
        with (self.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
