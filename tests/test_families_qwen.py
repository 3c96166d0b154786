"""Qwen2-VL, Qwen2.5-VL, Qwen3-VL: prompts, positions, deepstack, budgets and batching.

What all families share is tested in `tests.test_models` and `tests.test_laws`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from longtake.models import bridge
from longtake.models.base import ModelError, Step
from longtake.models.families import qwen_vl
from longtake.models.families.qwen3_vl import time_text
from longtake.models.loader import load
from longtake.models.positions import in_turn, text_positions
from longtake.models.recipe import Recipe
from tests import checkpoints
from tests.golden import cases

FAMILIES = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl")


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write(request.param, tmp_path_factory.mktemp("qwen") / request.param)


@pytest.fixture(scope="module")
def adapter(folder: Path) -> Any:
    return load(str(folder), device="cpu")


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = checkpoints.write("qwen3_vl", tmp_path_factory.mktemp("deep") / "qwen3_vl")
    return load(str(folder), device="cpu")


def noise(count: int, height: int, width: int, seed: int = 0) -> list[Any]:
    drawn = np.random.default_rng(seed)
    return [drawn.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def seconds(count: int, first: float = 0.0) -> list[float]:
    return [first + i / 2 for i in range(count)]


# ------------------------------------------------------------------ as the family's own processor


class Prompted:
    """The golden clip and question: what the real processor wrote, and what we make of it."""

    def __init__(self, adapter: Any) -> None:
        shown: Any = cases.PROMPT_FRAMES
        golden = json.loads(cases.PROMPTS_PATH.read_text())[adapter.family]
        self.ids = torch.tensor(golden["ids"])
        self.positions = torch.tensor(golden["positions"]) if "positions" in golden else None
        self.frames = cases.draw(shown["count"], shown["height"], shown["width"])
        times = [(shown["first"] + i) / shown["fps"] for i in range(shown["count"])]
        with torch.no_grad():
            self.sink = adapter.sink()
            self.steps: list[Step] = adapter.steps(self.frames, times)
            self.prompt = adapter.prompt(cases.QUESTION)
            asked = adapter.embed(self.prompt.ids)
        text = text_positions(len(asked), 3)
        parts = [self.sink, *self.steps]
        self.embeds = torch.cat([*(part.embeds for part in parts), asked])
        self.placed = in_turn([*(part.positions for part in parts), text])


def test_a_clip_is_written_as_the_familys_processor_writes_it(adapter: Any) -> None:
    """Times, starts and ends included: every token that is no patch, and the number of those."""
    ours = Prompted(adapter)
    assert len(ours.embeds) == len(ours.ids)
    is_text = ours.ids != adapter.config.video_token_id
    words = adapter.embed(ours.ids)
    assert torch.equal(ours.embeds[is_text], words[is_text])
    assert not (ours.embeds[~is_text] == words[~is_text]).all(-1).any()
    (visual,) = {step.tokens for step in ours.steps} if adapter.family != "qwen3_vl" else {12}
    assert int((~is_text).sum()) == 3 * visual == 36


def test_the_positions_of_qwen3_are_those_of_transformers(qwen3: Any) -> None:
    ours = Prompted(qwen3)
    assert ours.positions is not None and torch.equal(ours.placed, ours.positions)


@torch.no_grad()
def test_the_model_itself_computes_the_same_from_pixels(adapter: Any, folder: Path) -> None:
    """Whole forward of transformers' classes, given ids, pixels and positions, to 1e-5 of logits
    of some 3: rounding of float32 through vision tower and decoder."""
    ours = Prompted(adapter)
    plain: Any = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    pixels = adapter.pixels(ours.frames)
    grid = pixels["video_grid_thw"]
    if adapter.family != "qwen3_vl":  # there the clip is one video, elsewhere written step by step
        grid = torch.tensor([[len(grid), *grid[0, 1:].tolist()]])
    expected = plain(
        input_ids=ours.ids[None],
        pixel_values_videos=pixels["pixel_values_videos"],
        video_grid_thw=grid,
        position_ids=ours.placed[:, None],
    ).logits[0]
    extra = joined_extra(ours)
    hidden = bridge.run_decoder(adapter.decoder, ours.embeds, own_tokens(adapter, ours), extra)
    torch.testing.assert_close(adapter.logits(hidden), expected, atol=1e-5, rtol=1e-5)


def own_tokens(adapter: Any, ours: Prompted) -> Any:
    return bridge._OwnTokens(adapter.rotary, ours.placed)


def joined_extra(ours: Prompted) -> dict[str, Any]:
    """The steps' deepstack features, for one pass over all of them."""
    if not ours.steps[0].extra:
        return {}
    masks = [s.extra["visual_pos_masks"] for s in ours.steps]
    before = torch.zeros(1, ours.sink.tokens, dtype=torch.bool)
    after = torch.zeros(1, len(ours.prompt.ids), dtype=torch.bool)
    levels = zip(*(s.extra["deepstack_visual_embeds"] for s in ours.steps), strict=True)
    return {
        "visual_pos_masks": torch.cat([before, *masks, after], 1),
        "deepstack_visual_embeds": [torch.cat(level) for level in levels],
    }


# ------------------------------------------------------------------ steps


@torch.no_grad()
@pytest.mark.parametrize("size", [(30, 41), (3, 90)])
def test_how_many_steps_are_seen_at_once_changes_no_bit(
    adapter: Any, size: tuple[int, int]
) -> None:
    frames, times = noise(12, *size), seconds(12)
    at_once = adapter.steps(frames, times)
    for together in (2, 8):
        apart = []
        for i in range(0, 12, together):
            apart += adapter.steps(frames[i : i + together], times[i : i + together])
        assert len(apart) == len(at_once) == 6
        for one, other in zip(apart, at_once, strict=True):
            assert_same(one, other)


@torch.no_grad()
def test_a_clip_seen_step_by_step_is_the_clip_seen_as_one_video(adapter: Any) -> None:
    """The towers look at one temporal patch at a time; to 1e-5, the rounding of products of other
    sizes."""
    frames = noise(8, 40, 56)
    tokens, deepstack = adapter.see(frames)
    pixels = adapter.pixels(frames)
    grid = pixels["video_grid_thw"]
    whole = torch.tensor([[len(grid), *grid[0, 1:].tolist()]])
    seen, levels = qwen_vl._features(adapter._model, pixels["pixel_values_videos"], whole)
    torch.testing.assert_close(torch.cat(tokens), seen[0], atol=1e-5, rtol=1e-5)
    for i, level in enumerate(levels[0]):
        apart = torch.cat([step[i] for step in deepstack])
        torch.testing.assert_close(apart, level, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_frames_may_change_their_size_between_steps(adapter: Any) -> None:
    large, small = noise(4, 90, 60), noise(4, 21, 33, seed=1)
    frames = [*large[:2], *small, *large[2:]]
    mixed = adapter.steps(frames, seconds(8))
    alone = [
        *adapter.steps(large[:2], seconds(2)),
        *adapter.steps(small, seconds(4, 1.0)),
        *adapter.steps(large[2:], seconds(2, 3.0)),
    ]
    assert [s.tokens for s in mixed] == [s.tokens for s in alone]
    assert mixed[0].tokens > mixed[1].tokens
    for one, other in zip(mixed, alone, strict=True):
        assert_same(one, other)


def assert_same(one: Step, other: Step) -> None:
    assert torch.equal(one.embeds, other.embeds)
    assert torch.equal(one.positions, other.positions)
    assert (one.start_s, one.end_s) == (other.start_s, other.end_s)
    for mine, theirs in zip(
        one.extra.get("deepstack_visual_embeds", []),
        other.extra.get("deepstack_visual_embeds", []),
        strict=True,
    ):
        assert torch.equal(mine, theirs)


@torch.no_grad()
def test_order_and_time_of_frames_are_seen(adapter: Any) -> None:
    """A step is its two frames in their order, and patches where they are in the picture."""
    first, second = noise(2, 32, 32)
    (there,), (back,) = (
        adapter.steps(pair, [0.0, 0.5]) for pair in ([first, second], [second, first])
    )
    (turned,) = adapter.steps([first[::-1], second[::-1]], [0.0, 0.5])
    assert not torch.allclose(there.embeds, back.embeds, atol=1e-3)
    assert not torch.allclose(there.embeds, turned.embeds, atol=1e-3)


def test_a_step_begins_with_its_grid_or_its_time(adapter: Any) -> None:
    with torch.no_grad():
        (step,) = adapter.steps(noise(2, 24, 33), [12.25, 12.75])
    rows, columns = 3, 4
    time, row, column = step.positions
    if adapter.family != "qwen3_vl":
        assert step.extra == {}
        assert time.tolist() == [0] * 12
        assert row.tolist() == [y for y in range(rows) for _ in range(columns)]
        assert column.tolist() == list(range(columns)) * rows
        return
    written = adapter.template.encode("<12.5 seconds><|vision_start|>")
    assert torch.equal(step.embeds[: len(written)], adapter.embed(torch.tensor(written)))
    behind = len(written) + columns  # the greater side of the grid
    assert step.positions[:, -1].tolist() == [behind] * 3
    inside = slice(len(written), len(written) + 12)
    assert (time[inside] == len(written)).all()
    assert int(row[inside].max()) == len(written) + rows - 1
    assert int(column[inside].max()) == len(written) + columns - 1
    assert step.extra["visual_pos_masks"][0].nonzero().flatten().tolist() == list(
        range(inside.start, inside.stop)
    )


# ------------------------------------------------------------------ deepstack


@torch.no_grad()
def test_deepstack_reaches_the_decoder_and_is_needed(qwen3: Any) -> None:
    (step,) = qwen3.steps(noise(2, 40, 56), [0.0, 0.5])
    levels = step.extra["deepstack_visual_embeds"]
    mask = step.extra["visual_pos_masks"]
    assert len(levels) == len(qwen3.config.vision_config.deepstack_visual_indexes) == 2
    assert all(
        level.shape == (int(mask.sum()), qwen3.decoder.config.hidden_size) for level in levels
    )

    def hidden(extra: dict[str, Any]) -> Tensor:
        past: Any = bridge._OwnTokens(qwen3.rotary, step.positions)
        return qwen3.decode_step(step.embeds, past, extra)

    seen = hidden(step.extra)
    size = seen.square().mean().sqrt()
    for i in range(len(levels)):
        without = [level * (j != i) for j, level in enumerate(levels)]
        changed = hidden({**step.extra, "deepstack_visual_embeds": without})
        assert (changed - seen).square().mean().sqrt() > 0.05 * size, f"level {i} does nothing"
    nothing = hidden({**step.extra, "deepstack_visual_embeds": [level * 0 for level in levels]})
    torch.testing.assert_close(hidden({}), nothing)


def test_deepstack_comes_cut_by_step_or_whole() -> None:
    """transformers 5.0 gives whole levels, later ones cut them as they cut the tokens."""
    tokens = torch.randn(10, 4)
    levels = [torch.randn(10, 4) for _ in range(3)]
    cut = [level.split([6, 4]) for level in levels]
    made = []
    for deepstack in (levels, cut, tuple(cut)):
        seen = SimpleNamespace(pooler_output=tokens.split([6, 4]), deepstack_features=deepstack)
        model = SimpleNamespace(get_video_features=lambda *_, seen=seen, **__: seen)
        made.append(qwen_vl._features(model, tokens, tokens))
    for _, steps in made:
        assert [[len(level) for level in step] for step in steps] == [[6] * 3, [4] * 3]
        assert torch.equal(steps[1][2], levels[2][6:])


# ------------------------------------------------------------------ times as text


@pytest.mark.parametrize(
    ("at_s", "text"),
    [
        (0.0, "<0.0 seconds>"),
        (0.25, "<0.2 seconds>"),
        (12.75, "<12.8 seconds>"),
        (36_000.04, "<36000.0 seconds>"),
        (-3.0, "<0.0 seconds>"),
        (1e12, "<99999999.9 seconds>"),
    ],
)
def test_times_are_written_with_one_digit(at_s: float, text: str) -> None:
    assert time_text(at_s) == text


@torch.no_grad()
@pytest.mark.parametrize("at_s", [0.0, 86_399.5, 9e7, 1e15])
def test_a_late_time_fits_the_step(qwen3: Any, at_s: float) -> None:
    (step,) = qwen3.steps(noise(2, 128, 128), [at_s, at_s])
    assert step.tokens <= qwen3.step_tokens


# ------------------------------------------------------------------ pixels


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (4320, 8192), (1, 3000), (2500, 2), (127, 129), (8, 9)])
def test_every_frame_stays_in_the_budget(adapter: Any, size: tuple[int, int]) -> None:
    (step,) = adapter.steps([np.full((*size, 3), 90, np.uint8)] * 2, [0.0, 0.5])
    around = step.tokens - int(step.extra["visual_pos_masks"].sum()) if step.extra else 0
    assert 1 <= step.tokens - around <= qwen_vl.DEFAULT_TOKENS
    assert step.tokens <= adapter.step_tokens
    assert torch.isfinite(step.embeds).all()


@torch.no_grad()
@pytest.mark.parametrize("tokens", [1, 7, 64, 1000])
def test_the_recipe_sets_the_budget(folder: Path, tokens: int) -> None:
    """`max_pixels` are those of both frames."""
    chosen: Any = load(str(folder), device="cpu", max_pixels=tokens * 2 * 64)
    assert chosen._sizes.most_cells == tokens
    for size in ((700, 900), (300, 5), (2, 2)):
        (step,) = chosen.steps(noise(2, *size), [0.0, 0.5])
        assert step.tokens <= chosen.step_tokens
    (step,) = chosen.steps(noise(2, 700, 900), [0.0, 0.5])
    assert step.tokens > 0.75 * tokens, "most of the budget is used"


def test_the_checkpoints_own_limit_is_kept(folder: Path, tmp_path: Path) -> None:
    family = load(str(folder), device="cpu")
    told = dict(family.preprocessing)  # type: ignore[attr-defined]
    named = {"longest_edge": 40 * 64 * 2} if "size" in told else None
    told |= {"size": told["size"] | named} if named else {"max_pixels": 40 * 64}
    sizes = type(family).sizes(family.config, told, Recipe(frames_per_step=2))  # type: ignore[attr-defined]
    assert sizes.most_cells == 40
    wide = Recipe(frames_per_step=2, max_pixels=10**9)
    assert type(family).sizes(family.config, told, wide).most_cells == 40  # type: ignore[attr-defined]
    assert type(family).sizes(family.config, {}, wide).most_cells == (  # type: ignore[attr-defined]
        384 if named else 768
    )


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ({"frames_per_step": 1}, "temporal patch has 2 frames"),
        ({"max_pixels": 127}, "max_pixels=127: must be at least 128, one token of this model"),
        ({"stamp": "hh:mm:ss"}, "its own place for times"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(
    adapter: Any, recipe: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        adapter.check_recipe(adapter.config, Recipe(**{"frames_per_step": 2, **recipe}))


@torch.no_grad()
def test_area_keeps_the_grid(folder: Path, adapter: Any, tmp_path: Path) -> None:
    """Resizing by OpenCV is another filter, not another size."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).symlink_to(path)
    (copy / "longtake.json").write_text('{"resize": "area"}')
    by_area = load(str(copy), device="cpu")
    frames = cases.draw(2, 200, 300)
    (ours,), (theirs,) = (a.steps(frames, [0.0, 0.5]) for a in (by_area, adapter))
    assert torch.equal(ours.positions, theirs.positions)
    assert not torch.equal(ours.embeds, theirs.embeds)


def test_a_processor_that_cuts_otherwise_is_refused(folder: Path) -> None:
    """A later version's own ideas of a budget must not pass unseen."""
    chosen: Any = load(str(folder), device="cpu")
    own = chosen.pixels

    class Otherwise:
        processor = object()

        def __call__(self, images: Any, **_: Any) -> dict[str, Tensor]:
            made = own._plain(images)
            return {**made, "video_grid_thw": made["video_grid_thw"] + 2}

    chosen.pixels = Otherwise()
    with pytest.raises(ModelError, match=r"cuts a frame into \[3, 14, 14\] patches, \[1, 12, 12\]"):
        chosen.see(noise(2, 48, 48))


@torch.no_grad()
def test_what_the_processor_is_told(folder: Path) -> None:
    """Ordinary frames as they are, with the budget; odd ones are stretched before."""
    chosen: Any = load(str(folder), device="cpu")
    own, told = chosen.pixels, []

    class Listening:
        processor = object()

        def __call__(self, images: Any, **named: Any) -> dict[str, Tensor]:
            told.append((images[0].shape[:2], named))
            return own._plain(images)  # type: ignore[no-any-return]

    chosen.pixels = Listening()
    chosen.see(noise(2, 48, 60))
    chosen.see(noise(2, 2, 900))
    (usual, asked), (odd, instead) = told
    most = 256 * 64 * (2 if chosen.family == "qwen3_vl" else 1)
    assert usual == (48, 60) and "do_resize" not in asked
    assert asked["size"] == {"shortest_edge": 4 * 64, "longest_edge": most}
    assert (asked["patch_size"], asked["merge_size"], asked["temporal_patch_size"]) == (4, 2, 2)
    assert odd == (8, 256 * 8) and instead["do_resize"] is False


# ------------------------------------------------------------------ other shapes of decoders


@torch.no_grad()
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (7, 1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_grouping_of_heads_loads(family: str, heads: tuple[int, int], tmp_path: Path) -> None:
    queries, keys = heads
    folder = checkpoints.write(
        family, tmp_path / "model", num_attention_heads=queries, num_key_value_heads=keys
    )
    chosen = load(str(folder), device="cpu")
    assert chosen.shape.kv_heads == keys and chosen.shape.axes == 3
    (step,) = chosen.steps(noise(2, 30, 41), [0.0, 0.5])
    assert torch.isfinite(step.embeds).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stretched_rope_keeps_its_sections(family: str, tmp_path: Path) -> None:
    """YaRN; the model is compared with its own forward when it is loaded."""
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
    folder = checkpoints.write(family, tmp_path / "model", rope_parameters=rope)
    chosen: Any = load(str(folder), device="cpu")
    assert chosen.shape.axes == 3
    assert chosen.identity_error < 1e-5
    assert math.isfinite(chosen.identity_error)
