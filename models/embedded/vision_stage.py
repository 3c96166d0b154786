"""First stage of training: single frames, without the language model.

Linear heads over a frame's nine tokens learn what each cell shows; they are thrown away after
their class rows have become the words for shapes and colours (`align`), so that a token which
shows a star already says 'star' when the language stage begins.

F frames, C width of the language model.
"""

from __future__ import annotations

import random

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration

from longtake.models.embedded import language, world
from longtake.models.embedded.camera import photograph
from longtake.models.embedded.network import GRID, see

CELL = world.SIZE // GRID
CLASSES = (len(world.SHAPES) + 1, len(world.COLORS) + 1)  # 0: the cell is empty
_EMPTY_WEIGHT = 0.25  # most cells are empty


def label_cells(scene: world.Scene, t_s: float) -> NDArray[np.int64]:
    """``[9, 4]``: shape, colour (0 = none) and centre x, y within the cell, -100 to 100.

    Two things in one cell: the last one counts (a little label noise).
    """
    labels = np.zeros((GRID * GRID, 4), np.int64)
    for thing in scene.things:
        if thing.is_seen(t_s):
            x, y = thing.at(t_s)
            column, row = (min(GRID - 1, int(v) // CELL) for v in (x, y))
            offsets = [
                round((v - (cell + 0.5) * CELL) / CELL * 200) for v, cell in ((x, column), (y, row))
            ]
            labels[row * GRID + column] = (
                world.SHAPES.index(thing.shape) + 1,
                list(world.COLORS).index(thing.color) + 1,
                *offsets,
            )
    return labels


def single_frames(rng: random.Random, count: int) -> tuple[Tensor, Tensor]:
    """Independent frames uint8 ``[1, count, 3, 96, 96]`` and their labels ``[count, 9, 4]``."""
    images, labels = [], []
    for _ in range(count):
        scene = world.make_scene(rng, 0, 8, rng.sample(world.PAIRS, len(world.PAIRS)))
        t_s = rng.uniform(0, 7.9)
        images.append(photograph(scene, t_s, rng))
        labels.append(label_cells(scene, t_s))
    frames = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)[None]
    return frames, torch.from_numpy(np.stack(labels))


class CellHeads(nn.Module):
    """What the generator knows about each cell, read off its token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classes = nn.Linear(width, sum(CLASSES))
        self.offset = nn.Linear(width, 2)

    def forward(self, tokens: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Tokens ``[F, 9, C]``, labels ``[F, 9, 4]`` -> loss, accuracies and pixel error."""
        loss, report = tokens.new_zeros(()), {}
        logits = torch.split(self.classes(tokens).flatten(0, 1), list(CLASSES), -1)
        for i, name in enumerate(("shape", "color")):
            target, weight = labels[..., i].flatten(), torch.ones(CLASSES[i])
            weight[0] = _EMPTY_WEIGHT
            loss = loss + F.cross_entropy(logits[i], target, weight=weight)
            right = (logits[i].argmax(-1) == target)[target > 0]
            report[name] = right.float().mean().item()
        shown = labels[..., 0] > 0
        error = self.offset(tokens)[shown] - labels[..., 2:4][shown] / 100
        report["offset_px"] = error.abs().mean().item() * CELL / 2
        return loss + 2 * error.square().mean(), report


@torch.no_grad()
def align(model: LlavaOnevisionForConditionalGeneration, heads: CellHeads, frames: Tensor) -> float:
    """Start language from vision; returns the factor on the projector's output.

    Visual tokens are scaled to a root mean square of 0.3, and the words for shapes and colours
    become their heads' class rows.  The output head is tied to these embeddings, so answers
    begin after a few hundred steps instead of thousands.
    """
    scale = float(0.3 / see(model, frames).pow(2).mean().sqrt())
    last = model.model.multi_modal_projector.linear_2
    last.weight *= scale
    last.bias *= scale
    table = model.model.language_model.embed_tokens.weight.normal_(0, 0.1)
    norm = 0.1 * table.shape[1] ** 0.5
    ids = {word: i for i, word in enumerate(language.vocabulary())}
    shape, color = torch.split(heads.classes.weight, list(CLASSES))
    for words, rows in ((world.SHAPES, shape[1:]), (tuple(world.COLORS), color[1:])):
        centred = F.normalize(rows - rows.mean(0), dim=1) * norm
        for word, row in zip(words, centred, strict=True):
            table[ids[word]] = row
    return scale
