"""Pixels: our own arithmetic equals transformers' processors, and is bounded for every frame.

Golden values come from the real processors (`tests.golden`); where they can run they are asked
again, live.  Both ways are the same integers when resizing and the same two float32 operations
after it: equal to the last bit on the machines seen, and held to 1e-6 of values up to 3.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtake.models import processor
from longtake.models.families.qwen2_vl import Qwen2VL
from longtake.models.families.qwen3_vl import Qwen3VL
from longtake.models.families.qwen_pixels import Patches, Sizes
from longtake.models.families.smolvlm import TwiceResized
from longtake.models.families.squares import Squares
from longtake.models.pixels import Normalizer, read_preprocessing, resampling, resize
from longtake.models.processor import Pixels, Plain
from longtake.models.recipe import Recipe
from tests.golden import cases

TOLERANCE = {"atol": 1e-6, "rtol": 0.0}
CASES = {case.name: case for case in cases.CASES}
live = pytest.mark.skipif(
    processor.why_unusable() is not None, reason=f"no live processor: {processor.why_unusable()}"
)


def qwen(family: type[Qwen2VL] | type[Qwen3VL]) -> Callable[[dict[str, Any]], Plain]:
    """Our arithmetic, from a checkpoint's preprocessing and the tower's config."""

    def plain(told: dict[str, Any]) -> Patches:
        vision = SimpleNamespace(
            patch_size=told["patch_size"],
            spatial_merge_size=told["merge_size"],
            temporal_patch_size=told["temporal_patch_size"],
        )
        sizes = family.sizes(SimpleNamespace(vision_config=vision), told, family.default_recipe)
        return Patches(sizes, Normalizer.of(told, *family.default_colors), resampling(told))

    return plain


def internvl(told: dict[str, Any]) -> Plain:
    return Squares(told, Recipe(frames_per_step=2), 448, 448)


def llava_onevision(told: dict[str, Any]) -> Plain:
    return Squares(told, Recipe(), 384, 384)


def smolvlm(told: dict[str, Any]) -> Plain:
    return TwiceResized(told, Recipe(), 512)


PLAIN: dict[str, Callable[[dict[str, Any]], Plain]] = {
    "internvl": internvl,
    "llava_onevision": llava_onevision,
    "qwen2_vl": qwen(Qwen2VL),
    "qwen3_vl": qwen(Qwen3VL),
    "smolvlm": smolvlm,
}


def write_files(case: cases.Case, folder: Path) -> Path:
    for name, content in case.files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


# ------------------------------------------------------------------ against the real processors


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_our_arithmetic_gives_what_the_real_processor_gave(name: str, tmp_path: Path) -> None:
    case, golden = CASES[name], np.load(CASES[name].path)
    plain = PLAIN[name](read_preprocessing(write_files(case, tmp_path)))
    for height, width in case.sizes:
        made = plain(cases.draw(2 * case.frames, height, width))
        kept = {key.split("/")[1] for key in golden if key.startswith(f"{height}x{width}/")}
        assert set(made) == kept
        for key, value in made.items():
            at = f"{height}x{width}/{key}"
            assert list(value.shape) == golden[f"{at}/shape"].tolist(), at
            np.testing.assert_allclose(cases.sample(value), golden[f"{at}/sample"], **TOLERANCE)


def test_every_case_has_its_golden_values_and_few_bytes() -> None:
    assert all(case.path.is_file() for case in CASES.values())
    assert sum(case.path.stat().st_size for case in CASES.values()) < 300_000


@live
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_our_arithmetic_gives_what_the_processor_here_gives(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    folder = write_files(case, tmp_path)
    plain = PLAIN[name](read_preprocessing(folder))
    recipe = Recipe(frames_per_step=case.frames)
    ours, theirs = (Pixels(folder, recipe, plain) for _ in range(2))
    ours.processor = None
    assert theirs.processor is not None and theirs.why_plain is None
    for height, width in (*case.sizes, (33, 34), (61, 500), (900, 64)):
        frames = cases.draw(2 * case.frames, height, width)
        expected, made = theirs(frames, **case.arguments), ours(frames)
        assert made.keys() == expected.keys()
        for key, value in made.items():
            torch.testing.assert_close(value, expected[key], **TOLERANCE)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl"])
def test_grids_are_those_of_smart_resize(name: str) -> None:
    """Wherever the real one takes the frame and keeps its own budget."""
    case = CASES[name]
    (told,) = case.files.values()
    sizes = PLAIN[name](told).sizes  # type: ignore[attr-defined]
    rule = np.load(case.path)["rule"]
    usual = refused = 0
    for (height, width), theirs in zip(cases.RULE_SIZES, rule.tolist(), strict=True):
        ours = [n * sizes.cell for n in sizes.grid(height, width)]
        if math.prod(theirs) == 0:
            refused += 1
        elif math.prod(theirs) <= sizes.most_cells * sizes.cell**2:
            assert ours == theirs, (height, width)
        if sizes.is_usual(height, width):
            usual += 1
            assert ours == theirs, (height, width)
    assert usual > 80 and refused > 20, "the sizes must reach both sides of the rule"


# ------------------------------------------------------------------ sizes and patches


@given(
    height=st.one_of(st.integers(1, 12000), st.integers(1, 40)),
    width=st.one_of(st.integers(1, 12000), st.integers(1, 40)),
    cells=st.one_of(st.integers(1, 20), st.integers(1, 1024)),
    least=st.integers(1, 1024),
    counted=st.sampled_from([1, 2]),
    spare=st.integers(0, 63),
)
def test_no_frame_breaks_its_budget(
    height: int, width: int, cells: int, least: int, counted: int, spare: int
) -> None:
    pixels = counted * 8**2
    sizes = Sizes(
        patch=4,
        merge=2,
        frames=2,
        counted=counted,
        least_pixels=min(least, cells) * pixels,
        most_pixels=cells * pixels + spare,
    )
    rows, columns = sizes.grid(height, width)
    assert sizes.most_cells == cells
    assert rows >= 1 and columns >= 1 and rows * columns <= cells


def test_a_budget_below_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="one token has 1568"):
        Sizes(patch=14, merge=2, frames=2, counted=2, least_pixels=1, most_pixels=1567)


def test_long_frames_lose_cells_at_their_longer_side() -> None:
    sizes = Sizes(patch=4, merge=2, frames=2, counted=1, least_pixels=64, most_pixels=16 * 64)
    assert sizes.grid(8, 8 * 150) == (1, 16)  # 1 x 49 by the rule, for 16
    assert sizes.grid(5000, 1) == (16, 1)  # refused by it
    assert sizes.grid(64, 64) == (4, 4)
    assert not sizes.is_usual(8, 1200) and not sizes.is_usual(5000, 1) and sizes.is_usual(64, 64)


def test_patches_stand_as_the_vision_tower_wants_them() -> None:
    """Steps, then cells in reading order, then the patches of a cell, then its pixels."""
    p, m = 4, 2
    sizes = Sizes(patch=p, merge=m, frames=2, counted=1, least_pixels=64, most_pixels=64 * 64)
    pixels = torch.randn(4, 3, 16, 24)
    ours = Patches(sizes, Normalizer.of({}), "bicubic").flatten(pixels)
    grid = pixels.reshape(2, 2, 3, 16 // (p * m), m, p, 24 // (p * m), m, p)
    row = 0
    for step in range(2):
        for top in range(grid.shape[3]):
            for left in range(grid.shape[6]):
                for y in range(m):
                    for x in range(m):
                        cut = grid[step, :, :, top, y, :, left, x, :].transpose(0, 1)
                        assert torch.equal(ours[row], cut.reshape(-1))
                        row += 1
    assert row == len(ours)


# ------------------------------------------------------------------ which way is taken


class Recorder:
    """Stands for a video processor."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, dict[str, Any]]] = []

    def __call__(self, videos: Any, **named: Any) -> dict[str, Any]:
        self.calls.append((videos, named))
        return {"pixel_values_videos": torch.zeros(1), "video_metadata": ["no tensor"]}


def own(images: Sequence[Any]) -> dict[str, Any]:
    return {"plain": torch.tensor(len(images))}


def test_a_processor_sees_each_step_as_a_video_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorder, asked = Recorder(), {}

    def load(folder: Path, **settings: Any) -> tuple[Any, None]:
        asked.update(settings)
        return recorder, None

    monkeypatch.setattr(processor, "load_processor", load)
    pixels = Pixels(tmp_path, Recipe(frames_per_step=2), own, cap_pixels_per_frame=False)
    made = pixels(cases.draw(6, 5, 3), size={"longest_edge": 7})
    assert list(made) == ["pixel_values_videos"]
    ((videos, named),) = recorder.calls
    assert [video.shape for video in videos] == [(2, 5, 3, 3)] * 3
    assert named["do_sample_frames"] is False and named["input_data_format"] == "channels_last"
    assert named["size"] == {"longest_edge": 7}
    assert asked == {"cap_pixels_per_frame": False}


def test_area_and_a_missing_torchvision_take_our_own_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    by_area = Pixels(tmp_path, Recipe(resize="area"), own)
    assert by_area.processor is None and "area" in str(by_area.why_plain)
    monkeypatch.setattr(processor, "why_unusable", lambda: "ImportError: not here")
    without = Pixels(tmp_path, Recipe(), own)
    assert without.why_plain == "ImportError: not here"
    assert int(without(cases.draw(3, 2, 2))["plain"]) == 3


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module"), RuntimeError("nms\nmissing")])
def test_a_torchvision_that_fails_in_any_way_is_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(name: str) -> Any:
        raise error

    monkeypatch.setattr(processor, "import_module", broken)
    processor.why_unusable.cache_clear()
    try:
        first = str(error).splitlines()[0]
        assert processor.why_unusable() == f"{type(error).__name__}: {first}"
    finally:
        processor.why_unusable.cache_clear()


@live
def test_a_checkpoint_without_a_video_processor_is_told(tmp_path: Path) -> None:
    loaded, why = processor.load_processor(tmp_path)
    assert loaded is None and why


# ------------------------------------------------------------------ what the checkpoint says


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, lambda x: (x / 255 - 0.5) / 0.25),
        ({"rescale_factor": 1 / 127.5}, lambda x: (x / 127.5 - 0.5) / 0.25),
        ({"do_rescale": False}, lambda x: (x - 0.5) / 0.25),
        ({"do_normalize": False}, lambda x: x / 255),
    ],
)
def test_pixels_are_scaled_as_the_checkpoint_says(
    told: dict[str, Any], expected: Callable[[Any], Any]
) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    normalize = Normalizer.of({"image_mean": [0.5] * 3, "image_std": [0.25] * 3, **told})
    made = normalize(image, torch.float32, "cpu")
    assert made.shape == (1, 3, 16, 16)
    exact = expected(np.arange(256, dtype=np.float64)).reshape(16, 16)
    np.testing.assert_allclose(made[0, 1].numpy(), exact, rtol=1e-5, atol=1e-6)


def test_the_nearest_description_counts(tmp_path: Path) -> None:
    """In the order in which transformers looks."""
    assert read_preprocessing(tmp_path) == {}
    nested = {"image_processor": {"a": 4}}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    assert read_preprocessing(tmp_path) == {"a": 4}
    (tmp_path / "preprocessor_config.json").write_text('{"a": 3}')
    assert read_preprocessing(tmp_path) == {"a": 3}
    (tmp_path / "video_preprocessor_config.json").write_text('{"a": 2}')
    assert read_preprocessing(tmp_path) == {"a": 2}
    nested["video_processor"] = {"a": 1}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    assert read_preprocessing(tmp_path) == {"a": 1}


@pytest.mark.parametrize("content", ["{", "[1]", '"text"'])
def test_a_description_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
        read_preprocessing(tmp_path)


def test_filters_are_pils_numbers() -> None:
    assert resampling({}) == "bicubic" and resampling({}, "bilinear") == "bilinear"
    assert [resampling({"resample": n}) for n in (1, 2, 3)] == ["lanczos", "bilinear", "bicubic"]
    with pytest.raises(ValueError, match=r"resample=4.*2 \(bilinear\)"):
        resampling({"resample": 4})


@pytest.mark.parametrize("how", ["bicubic", "bilinear", "area"])
def test_a_plain_colour_stays_what_it_is(how: str) -> None:
    image = np.full((37, 53, 3), (0, 128, 255), np.uint8)
    for size in ((8, 8), (64, 100), (37, 53), (1, 1)):
        made = resize([image, image[:20]], *size, how)
        assert made.shape == (2, *size, 3)
        assert (made == image[0, 0]).all()
