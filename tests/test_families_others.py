"""LLaVA-OneVision, InternVL and SmolVLM: what is particular to each.

What every family must hold is elsewhere; here is how their frames become words and pictures.
The expected texts are built by hand from what the families' processors write (transformers'
`processing_llava_onevision.py`, `processing_internvl.py`, `processing_smolvlm.py`), and held
against what these wrote (`tests.golden`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

from longtake.models.base import ModelError
from longtake.models.families import llava_onevision, smolvlm
from longtake.models.families.internvl import InternVL
from longtake.models.families.llava_onevision import LlavaOnevision
from longtake.models.families.smolvlm import SmolVLM
from longtake.models.loader import load
from tests import checkpoints
from tests.golden import cases

FAMILIES = ("internvl", "llava_onevision", "smolvlm")
WORDED = ("internvl", "smolvlm")
QUESTION = cases.QUESTION
# Logits of the model itself and of our embeddings through its decoder, float32, of sizes up to 6:
# the model sees all pictures at once, we see them one by one; 5e-6 was seen.
TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("others")
    return {name: checkpoints.write(name, root / name) for name in FAMILIES}


@pytest.fixture(scope="module")
def adapters(folders: dict[str, Path]) -> dict[str, Any]:
    return {name: load(str(folder), device="cpu") for name, folder in folders.items()}


@pytest.fixture(params=FAMILIES)
def adapter(request: pytest.FixtureRequest, adapters: dict[str, Any]) -> Any:
    return adapters[request.param]


def pictures(count: int, height: int = 30, width: int = 41, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def times(adapter: Any, count: int) -> list[float]:
    return [i / adapter.recipe.fps for i in range(count)]


def changed(folder: Path, copy: Path, name: str, **values: Any) -> Path:
    """A copy of a checkpoint with other values in one of its JSON files."""
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).symlink_to(file)
    path = folder / name
    content = json.loads(path.read_text()) if path.is_file() else {}
    (copy / name).unlink(missing_ok=True)
    (copy / name).write_text(json.dumps({**content, **values}))
    return copy


# ------------------------------------------------------------------ what a processor would write


def chatml(video: str) -> str:
    return f"<|im_start|>user\n{video}\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"


def llava_text(count: int) -> str:
    """Tokens of all frames and one for the newline that closes a video."""
    return chatml("<video>" * (count * 16 + 1))


def internvl_text(count: int) -> str:
    frames = [f"Frame{i + 1}: <img>{'<IMG_CONTEXT>' * 9}</img>" for i in range(count)]
    return chatml("\n".join(frames))


NUMBERS = "six frames from a 0:00:04 [H:MM:SS] video."  # what our introduction leaves out


def smolvlm_text(count: int, first_s: float = 0.0, fps: float = 1.0) -> str:
    picture = f"<fake_token_around_image><global-img>{'<image>' * 16}<fake_token_around_image>"
    frames = [f"\nFrame from 00:{int(first_s + i / fps):02d}:{picture}" for i in range(count)]
    introduction = "You are provided the following series of frames from a video.\n"
    video = f"{introduction}{''.join(frames)}\n\n"
    return f"<|im_start|>User: {video}{QUESTION}<end_of_utterance>\nAssistant:"


TEXTS: dict[str, Callable[[int], str]] = {
    "internvl": internvl_text,
    "llava_onevision": llava_text,
    "smolvlm": smolvlm_text,
}


def test_the_expected_words_are_the_real_processors(adapter: Any) -> None:
    golden = json.loads(cases.PROMPTS_PATH.read_text())[adapter.family]["ids"]
    shown: dict[str, Any] = cases.PROMPT_FRAMES
    if adapter.family == "smolvlm":
        expected = smolvlm_text(shown["count"], shown["first"] / shown["fps"], shown["fps"])
        expected = expected.replace("frames from a video.", NUMBERS)
    else:
        expected = TEXTS[adapter.family](shown["count"])
    assert adapter.template.encode(expected) == golden


def model_inputs(adapter: Any, images: list[Any]) -> dict[str, Any]:
    """Keywords of the whole model, as its processor would give them for one clip."""
    ids = adapter.template.encode(TEXTS[adapter.family](len(images)))
    name, values = next((n, v) for n, v in adapter.pixels(images).items() if v.dim() == 5)
    clip = values.flatten(0, 1)
    if adapter.family == "internvl":
        name = "pixel_values"  # its processor gives the frames of clips as pictures
    else:
        clip = clip[None]
    return {"input_ids": torch.tensor([ids]), name: clip}


@torch.no_grad()
def test_steps_are_what_the_model_makes_of_its_processors_words(adapter: Any) -> None:
    """12 frames: numbers of one digit and of two."""
    images = pictures(12)
    theirs = adapter.model(**model_inputs(adapter, images)).logits[0]
    steps = adapter.steps(images, times(adapter, 12))
    shown = [adapter.sink().embeds, *(step.embeds for step in steps)]
    if adapter.family == "llava_onevision":
        shown.append(adapter.model.model.image_newline[None])  # which no step brings
    embeds = torch.cat([*shown, adapter.embed(adapter.prompt(QUESTION).ids)])
    ours = adapter.model(
        inputs_embeds=embeds[None], attention_mask=torch.ones(1, len(embeds), dtype=torch.long)
    ).logits[0]
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("together", [1, 3, 16])
def test_any_portions_of_frames_give_the_same_bits(adapter: Any, together: int) -> None:
    images, when = pictures(16), times(adapter, 16)
    whole = adapter.steps(images, when)
    parts = []
    for i in range(0, 16, together):
        parts += adapter.steps(images[i : i + together], when[i : i + together])
    assert len(parts) == len(whole) == 16
    for part, step in zip(parts, whole, strict=True):
        assert torch.equal(part.embeds, step.embeds)
        assert torch.equal(part.positions, step.positions)


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "grey"), [((1, 1), 0), ((2, 90), 255), ((700, 3), 102), ((4320, 8192), 127)]
)
def test_plain_pictures_of_any_size(adapter: Any, size: tuple[int, int], grey: int) -> None:
    (step,) = adapter.steps([np.full((*size, 3), grey, np.uint8)], [0.0])
    (small,) = adapter.steps([np.full((1, 1, 3), grey, np.uint8)], [0.0])
    assert 0 < step.tokens <= adapter.step_tokens
    assert torch.isfinite(step.embeds).all()
    assert torch.equal(step.embeds, small.embeds)  # however resized, it stays the same grey


@torch.no_grad()
def test_a_size_may_change_between_frames(adapter: Any) -> None:
    images = [*pictures(2, 9, 70), *pictures(1, 64, 64), *pictures(2, 9, 70, seed=1)]
    when = times(adapter, 5)
    together = adapter.steps(images, when)
    for image, time_s, step in zip(images, when, together, strict=True):
        (alone,) = adapter.steps([image], [time_s])
        assert torch.equal(alone.embeds, step.embeds)


@torch.no_grad()
def test_resizing_follows_the_recipe(adapter: Any, folders: Any, tmp_path: Path) -> None:
    folder = changed(folders[adapter.family], tmp_path / "area", "longtake.json", resize="area")
    by_area: Any = load(str(folder), device="cpu")
    (one,) = adapter.steps(pictures(1), [0.0])
    (other,) = by_area.steps(pictures(1), [0.0])
    assert one.tokens == other.tokens
    assert not torch.equal(one.embeds, other.embeds)
    assert by_area.pixels.why_plain == "the recipe resizes by 'area'"


@torch.no_grad()
def test_a_step_may_hold_several_frames(adapter: Any, folders: Any, tmp_path: Path) -> None:
    folder = changed(folders[adapter.family], tmp_path / "two", "longtake.json", frames_per_step=2)
    two: Any = load(str(folder), device="cpu")
    images, when = pictures(4), times(adapter, 4)
    singles = adapter.steps(images, when)
    pairs = two.steps(images, when)
    assert two.step_tokens == 2 * adapter.step_tokens
    assert [(p.start_s, p.end_s) for p in pairs] == [(when[0], when[1]), (when[2], when[3])]
    for i, pair in enumerate(pairs):
        joined = torch.cat([single.embeds for single in singles[2 * i : 2 * i + 2]])
        assert torch.equal(pair.embeds, joined)
        assert pair.positions.tolist() == [list(range(pair.tokens))]


@pytest.mark.parametrize("family", WORDED)
def test_words_of_their_own_leave_no_place_for_a_stamp(
    folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    folder = changed(folders[family], tmp_path / "stamped", "longtake.json", stamp="hh:mm:ss")
    with pytest.raises(ModelError, match=r"stamp='hh:mm:ss'.*leave stamp out"):
        load(str(folder), device="cpu")


# ------------------------------------------------------------------ numbers and times


@pytest.mark.parametrize("family", WORDED)
@given(pts_s=st.floats(0, 1e9) | st.floats(0, 4e5))
def test_no_time_makes_a_step_too_long(adapters: Any, family: str, pts_s: float) -> None:
    adapter = adapters[family]
    words = "".join(adapter.words(adapter.recipe, pts_s))
    picture = adapter.picture_tokens(adapter.config, adapter.preprocessing)
    assert len(adapter.template.encode(words)) + picture <= adapter.step_tokens


@pytest.mark.parametrize("family", WORDED)
def test_the_bound_on_steps_is_reached(adapters: Any, family: str) -> None:
    adapter = adapters[family]
    last_s = {"internvl": 999_998 / adapter.recipe.fps, "smolvlm": 359_999.9}[family]
    with torch.no_grad():
        (step,) = adapter.steps(pictures(1), [last_s])
    assert step.tokens == adapter.step_tokens


def test_internvls_number_is_the_time_in_frames() -> None:
    recipe = InternVL.default_recipe
    assert recipe.fps == 0.5

    def number(pts_s: float) -> str:
        before, behind = InternVL.words(recipe, pts_s)
        assert behind == "</img>\n"
        return before

    assert number(0.0) == "Frame1: <img>"
    assert number(1.98) == number(2.03) == "Frame2: <img>"  # a source's times are never exact
    assert number(19.9999) == "Frame11: <img>"
    assert number(999_998 * 2.0) == "Frame999999: <img>"
    assert number(999_999 * 2.0) == "Frame1: <img>"


@pytest.mark.parametrize(
    ("pts_s", "written"),
    [
        (0.0, "00:00"),
        (59.99, "00:59"),
        (60.0, "01:00"),
        (75 * 60 + 3.2, "75:03"),
        (359_999.9, "5999:59"),
        (360_000.0, "00:00"),
    ],
)
def test_smolvlms_minutes_go_on_past_an_hour(pts_s: float, written: str) -> None:
    before, behind = SmolVLM.words(SmolVLM.default_recipe, pts_s)
    assert before == f"\nFrame from {written}:<fake_token_around_image><global-img>"
    assert behind == "<fake_token_around_image>"


# ------------------------------------------------------------------ SmolVLM


def test_smolvlm_writes_videos_with_its_processors_template(adapters: Any) -> None:
    """The checkpoint's own template has no place for a video."""
    tokenizer = adapters["smolvlm"].template._tokenizer
    turns = [
        [("user", "video", "text"), ("assistant", "text"), ("user", "text")],
        [("system", "text"), ("user", "text", "video", "text")],
        [("user", "image", "text")],
    ]
    for turn in turns:
        messages = [
            {"role": role, "content": [{"type": kind, "text": " some\n words"} for kind in kinds]}
            for role, *kinds in turn
        ]
        for is_open in (False, True):
            ours, theirs = (
                tokenizer.apply_chat_template(
                    messages, chat_template=template, tokenize=False, add_generation_prompt=is_open
                )
                for template in (None, DEFAULT_CHAT_TEMPLATE)
            )
            assert ours == theirs


def test_smolvlms_question_stands_behind_the_conclusion(adapters: Any) -> None:
    adapter = adapters["smolvlm"]
    tokenizer = adapter.template._tokenizer
    prompt = adapter.prompt(QUESTION, [("and before?", "a cup <image> of tea")])
    written = tokenizer.decode(prompt.ids)
    assert written == (
        "\n\nand before?<end_of_utterance>\nAssistant: a cup   of tea<end_of_utterance>\n"
        f"User: {QUESTION}<end_of_utterance>\nAssistant:"
    )
    assert tokenizer.decode(prompt.ids[prompt.asked]) == QUESTION
    alone = adapter.prompt(QUESTION)
    assert tokenizer.decode(alone.ids[alone.asked]) == QUESTION


@torch.no_grad()
def test_grey_frames_are_not_taken_for_padding(folders: Any, tmp_path: Path) -> None:
    """Where the mean is a grey, such a frame is zero throughout, and the model drops zeros."""
    means = {"image_mean": [0.4, 0.4, 0.4]}
    folder = changed(folders["smolvlm"], tmp_path / "grey", "preprocessor_config.json", **means)
    adapter: Any = load(str(folder), device="cpu")
    grey, noise = np.full((20, 30, 3), 102, np.uint8), pictures(1)[0]
    zeros = adapter.pixels([grey])["pixel_values"]
    assert not zeros.any()
    seen = adapter.model.model.get_image_features(
        torch.cat([zeros, adapter.pixels([noise])["pixel_values"]], 1), return_dict=True
    ).pooler_output
    assert sum(x.numel() for x in seen) == 16 * adapter.config.text_config.hidden_size, "no trap"
    steps = adapter.steps([grey, noise, grey], [0.0, 1.0, 0.0])
    assert len({step.tokens for step in steps}) == 1
    assert torch.equal(steps[0].embeds, steps[2].embeds)
    (nearly,) = adapter.steps([np.full((20, 30, 3), 103, np.uint8)], [0.0])
    assert not torch.equal(nearly.embeds, steps[0].embeds)
    together = adapter.see(torch.cat([zeros[0], zeros[0]]))
    assert together.shape[:2] == (2, 16)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((480, 640), (1536, 2048)),
        ((1080, 1920), (1152, 2048)),
        ((4320, 8192), (1080, 2048)),
        ((333, 512), (1332, 2048)),
        ((100, 301), (680, 2048)),
        ((301, 100), (2048, 680)),
        ((1, 1), (2048, 2048)),
        ((1, 5000), (1, 2048)),
        ((5000, 1), (2048, 1)),
    ],
)
def test_the_first_resize_keeps_the_shape(shape: Any, size: Any) -> None:
    """`get_resize_output_image_size` of its video processor: the shorter side is even."""
    preprocessing = {
        "size": {"longest_edge": 2048},  # of pictures; it goes over the one of videos, there too
        "video_sampling": {"video_size": {"longest_edge": 512}},
    }
    assert smolvlm.first_size(shape, preprocessing) == size
    del preprocessing["size"]
    assert max(smolvlm.first_size(shape, preprocessing)) == 512
    assert max(smolvlm.first_size(shape, {})) == 4 * 364
    assert max(smolvlm.first_size(shape, {"size": {"longest_edge": 9999}})) == 4096
    assert smolvlm.first_size(shape, {"size": {"height": 5, "width": 7}}) == (5, 7)


# ------------------------------------------------------------------ sizes of published models


def test_tokens_of_a_picture_at_published_sizes() -> None:
    """As their processors count them: `num_image_tokens` pooled, `image_seq_length`,
    `image_seq_len`."""

    def vision(side: Any, patch: Any, **more: Any) -> Any:
        return SimpleNamespace(
            vision_config=SimpleNamespace(image_size=side, patch_size=patch), **more
        )

    assert llava_onevision.frame_tokens(vision(384, 14)) == 196
    assert (
        LlavaOnevision.most_step_tokens(
            vision(384, 14), {}, LlavaOnevision.default_recipe, lambda text: []
        )
        == 196
    )
    intern = vision((448, 448), (14, 14), downsample_ratio=0.5)
    assert InternVL.picture_tokens(intern, {}) == 256
    square = {"max_image_size": {"longest_edge": 512}}
    assert SmolVLM.picture_tokens(vision(512, 16, scale_factor=4), square) == 64
    assert SmolVLM.picture_tokens(vision(384, 14, scale_factor=3), {}) == 81


def test_llavas_frames_end_without_a_newline(adapters: Any) -> None:
    adapter = adapters["llava_onevision"]
    with torch.no_grad():
        (step,) = adapter.steps(pictures(1), [0.0])
    assert step.tokens == adapter.step_tokens == 16
    newline = adapter.model.model.image_newline
    assert not (step.embeds == newline).all(-1).any()


# ------------------------------------------------------------------ decoders


@pytest.mark.parametrize(
    ("family", "text", "decoder"),
    [
        ("internvl", {}, "Qwen3Model"),
        ("internvl", {"model_type": "qwen2"}, "Qwen2Model"),
        ("llava_onevision", {}, "Qwen2Model"),
        ("smolvlm", {}, "LlamaModel"),
    ],
)
def test_the_decoder_is_the_language_model(
    tmp_path: Path, family: str, text: dict[str, Any], decoder: str
) -> None:
    adapter: Any = load(str(checkpoints.write(family, tmp_path / "model", **text)), device="cpu")
    assert type(adapter.decoder).__name__ == decoder
    assert adapter.shape.axes == 1
    assert adapter.identity_error < 1e-5
