"""Training: a few steps run and give a folder that loads; it goes on where it stopped."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from longtake.models.embedded import objective, train
from longtake.models.embedded.network import FRAMES_PER_STEP, STEP_TOKENS
from longtake.models.embedded.world import SIZE
from longtake.models.loader import load

TOLERANCE = 1e-5  # float32


@pytest.fixture(autouse=True)
def tiny_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A few frames and questions a batch, drawn by this process, on one thread."""
    for name, value in (
        ("FRAMES_PER_BATCH", 6),
        ("FILMS_PER_BATCH", 2),
        ("QUESTIONS_PER_FILM", 4),
        ("CHUNKS_PER_FILM", 6),
    ):
        monkeypatch.setattr(train, name, value)
    monkeypatch.setattr(train, "prefetched", iter)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def settings(out: Path, **changes: Any) -> argparse.Namespace:
    plain = {"seed": 1, "processes": 1, "vision_steps": 3, "language_steps": 3}
    return argparse.Namespace(out=out, **{**plain, **changes})


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def interrupt_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Ctrl-C during the language stage, ``steps`` steps in."""
    calls = iter(range(steps))
    plain = train.language_loss

    def loss(*arguments: Any) -> Any:
        if next(calls, None) is None:
            monkeypatch.setattr(train, "language_loss", plain)
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(train, "language_loss", loss)


def test_a_run_ends_with_a_folder_that_loads(tmp_path: Path) -> None:
    train.train(0, settings(tmp_path))
    (aligned,) = log(tmp_path)  # further lines come every 25 and 50 steps
    assert aligned["stage"] == "language" and aligned["alignment_scale"] > 0
    weights = tmp_path / "model" / "model.safetensors"
    assert weights.stat().st_size < 10 << 20

    adapter = load(str(tmp_path / "model"))
    assert adapter.recipe.frames_per_step == FRAMES_PER_STEP
    assert adapter.step_tokens == STEP_TOKENS
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    with torch.inference_mode():
        (step,) = adapter.steps([frame] * FRAMES_PER_STEP, [0.0, 1.0])
    assert step.tokens == STEP_TOKENS
    assert torch.isfinite(step.embeds).all()


def test_both_stages_change_what_they_train_and_nothing_else(tmp_path: Path) -> None:
    training = train.Training(settings(tmp_path))
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}

    def changed() -> set[str]:
        parts = ("vision_tower", "multi_modal_projector", "language_model")
        now = training.model.named_parameters()
        moved = {name for name, p in now if not torch.equal(p.detach(), before[name])}
        return {part for part in parts if any(part in name for name in moved)}

    training.train_vision()
    assert changed() == {"vision_tower", "multi_modal_projector"}
    training.begin_language()  # scales the projector, writes the words for shapes and colours
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    training.train_language()
    assert changed() == {"language_model"}


def test_an_interrupted_run_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_after(monkeypatch, 1)
    first = train.Training(settings(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert (first.stage, first.step) == ("language", 1)

    second = train.Training(settings(tmp_path))
    assert "continuing: language, step 1" in capsys.readouterr().out
    assert (second.stage, second.step, second.runs) == ("language", 1, 2)
    for name, value in first.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value, rtol=0, atol=0)
    moments = [s["exp_avg"] for s in second.optimizer.state_dict()["state"].values()]
    assert any(moment.abs().max() > 0 for moment in moments)
    second.run()
    assert second.step == 3
    assert (tmp_path / "model" / "config.json").is_file()


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"vision_steps": 4}, {"language_steps": 9}, {"processes": 2}]
)
def test_a_checkpoint_of_other_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, int]
) -> None:
    train.Training(settings(tmp_path)).save()
    with pytest.raises(SystemExit, match="use the same values, or another --out"):
        train.Training(settings(tmp_path, **change))


def test_a_run_that_was_finished_writes_its_folder_again(tmp_path: Path) -> None:
    train.Training(settings(tmp_path)).run()
    weights = tmp_path / "model" / "model.safetensors"
    written = weights.read_bytes()
    weights.unlink()
    train.Training(settings(tmp_path)).run()
    assert weights.read_bytes() == written


def test_the_rate_warms_up_holds_and_falls() -> None:
    rates = [train.rate(step, 100, 10, 0.4) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert all(r == pytest.approx(1.0) for r in rates[9:40])
    assert all(a > b for a, b in pairwise(rates[41:]))
    assert 0.03 <= rates[-1] < 0.04


@pytest.mark.parametrize(("tokens", "memory"), [(5, 5), (1, 7), (7, 31)])
def test_attention_by_hand_is_the_fused_one(tokens: int, memory: int) -> None:
    generator = torch.Generator().manual_seed(tokens)
    q, k, v = (
        torch.randn(3, n, heads, 16, generator=generator)
        for n, heads in ((tokens, 4), (memory, 2), (memory, 2))
    )
    mask = torch.rand(3, 1, tokens, memory, generator=generator) < 0.7
    mask[..., 0] = True  # nobody sees nothing
    by_hand = objective._attend(q, k, v, mask)
    fused = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, enable_gqa=True
    )
    torch.testing.assert_close(
        by_hand, fused.transpose(1, 2).flatten(2), rtol=TOLERANCE, atol=TOLERANCE
    )


@pytest.mark.long
def test_processes_that_share_a_batch_end_with_one_model(tmp_path: Path) -> None:
    words = ["--out", str(tmp_path), "--vision-steps", "2", "--language-steps", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "longtake.models.embedded.train", *words, "--processes", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert load(str(tmp_path / "model"), device="cpu").recipe.world_version == 1
