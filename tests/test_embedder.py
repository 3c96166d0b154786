"""Text-image models: vectors as transformers' own classes give them, pixels as Pillow's
processors make them, and checkpoints that are refused."""

from __future__ import annotations

import json
import math
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from longtake.models import embedder, picture
from longtake.models.base import ModelError
from tests import checkpoints, text_image
from tests.text_image import IDS, SIDE, TEXT_TOKENS, drawn, plain_inputs

# Two float32 forwards of one model in other batches; vectors have length 1.
SAME_VECTOR = 1e-5
# Golden levels are of Pillow's resizing, ours is PyTorch's: 2 of 255 on smooth pictures.
SAME_LEVEL = 2.01


@pytest.fixture(scope="module", params=text_image.FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_image.write(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return text_image.write("clip", tmp_path / "clip")


def test_vectors_are_those_of_transformers_own_forward(folder: Path) -> None:
    ours = embedder.load(str(folder), device="cpu")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    images = [drawn(SIDE, SIDE, seed) for seed in range(5)]
    ids = ours.ids("where is the red ball ?")
    with torch.no_grad():
        plain = model(input_ids=ids, **plain_inputs(ours.family, images))
    pictures, words = ours.pictures(images), ours.text("where is the red ball ?")
    assert pictures.shape == (5, ours.width) and words.shape == (ours.width,)
    torch.testing.assert_close(pictures, plain.image_embeds, atol=SAME_VECTOR, rtol=0)
    torch.testing.assert_close(words, plain.text_embeds[0], atol=SAME_VECTOR, rtol=0)
    assert (pictures @ pictures.T).triu(1).max() < 0.999  # they differ, so this says something


def test_pictures_of_many_sizes_in_batches_are_as_one_by_one(folder: Path) -> None:
    ours = embedder.load(str(folder), device="cpu")
    images = [drawn(20 + 3 * i, 90 - 2 * i, i) for i in range(embedder.BATCH + 3)]
    alone = torch.cat([ours.pictures([image]) for image in images])
    torch.testing.assert_close(ours.pictures(images), alone, atol=SAME_VECTOR, rtol=0)
    assert ours.pictures([]).shape == (0, ours.width)


def test_words_are_given_as_the_family_was_trained(folder: Path) -> None:
    ours = embedder.load(str(folder), device="cpu")

    def ids(*tokens: str) -> list[list[int]]:
        return [[IDS[token] for token in tokens]]

    if ours.family == "clip":  # the tokenizer's own case, no padding
        assert ours.ids("Red").tolist() == ids("<bos>", *"Red", "<eos>")
    else:  # lower case, padded on the right whatever the tokenizer's file says
        padding = ["<pad>"] * (TEXT_TOKENS - 5)
        assert ours.ids("Red").tolist() == ids("<bos>", *"red", "<eos>", *padding)
    long = ours.ids("red star " * 50)
    assert long.shape == (1, TEXT_TOKENS) and int(long[0, -1]) == IDS["<eos>"]
    assert torch.isfinite(ours.text("red star " * 50)).all()


# ---------------------------------------------------------------- pixels

# Levels (0 to 255) that transformers' processors for Pillow make of `drawn`, `[..., H, W]`:
# CLIPImageProcessorPil, SiglipImageProcessorPil and Siglip2ImageProcessorPil of 5.23, Pillow 13.0
GOLDEN = {
    "clip": ""
    "9e8c796754422f1d099684715f4c3a2714058e7c695744321f0c068674614f3c2a17060d7e6c594734220e05"
    "157664513f2c1a070a1e6e5c493724110413266654412f1c09081b2e99938c86807a746e6777716a645e5852"
    "4c45554f48423b352f2921322c251e18120d0908100b0809090e13192011161d242a30363c44333941474d53"
    "595f66565c63696f757b8188ad93785d42270c0d29bba1866b503619061ac8af94795e44280d0cd7bda2876c"
    "52371b06e6cbb0957a60452a0df3d8bea3886e53381cf8e7cbb1967c61462bf0f5dabfa48a6f5439",
    "siglip": ""
    "e7b98959270d34dbad7d4d1b1340cfa17141111d4dc39565340c2959b78959270c3665ab7d4c1b1243719f71"
    "40111c4f7d9365340c285b89e6d7c7b7a79788b5a69686766657817262524130204e3e2d1c100c11190f0c13"
    "213242162536475767764c5b6b7b8b9baa7d8c9cacbcccdbe7a8611b256eb1efbd752d16599cead38b441043"
    "87dae4a05a172c72c4edb770281b5caeeacd853e124597dce19b55152f83c8edb06a221c",
    "siglip2": ""
    "efe5f2d6ddd4bbd4ada0cb86e3b5eecaade7afa4c1949b9ad780dcbe78f1a36fd78866b0cb4cc7b244e9973b"
    "ea7c32c585c25f6ab9384fb01436a8147992735e894c4380252a780d6d5d89525462374b3b1e431761299e46"
    "21772b1a5012152cbe1bb1a516d58a13f16f12dbb21f9c9925c07e2ee66337eca651868d59aa7262d1576bf0"
    "9a8671818e956697bc4ba0e25414b439198d1e1f660926424840c92d49a212527b0b5a573c74de217db80a86"
    "91138e6d30a9ee15b2cd0bbba61fc3828dba5b74c27f59cba63ed4cd81e94668ec6a4ded9132ecb875db305c"
    "d35441ca7b26c1a269ab1c50a340359a671a918e23dcee0ce3e213e9bc2cec9817e8de0ae2f01fdad138d3ad"
    "0db8c911afec2ba6e6449ec30988b51c7fdc3776f1506ed7",
}
LEVELS = {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
SETTINGS: dict[str, dict[str, object]] = {
    "clip": {"size": {"shortest_edge": 12}, "crop_size": {"height": 8, "width": 9}},
    "siglip": {"size": {"height": 8, "width": 7}},
    "siglip2": {"patch_size": 4, "max_num_patches": 7, "resample": 2},
}
SHAPES = {"clip": (24, 37), "siglip": (24, 37), "siglip2": (37, 24)}


@pytest.mark.parametrize("family", text_image.FAMILIES)
def test_pixels_are_those_of_the_processor_for_pillow(family: str) -> None:
    preprocess = picture.by_hand({**LEVELS, **SETTINGS[family]}, family)
    inputs = preprocess([drawn(*SHAPES[family])])
    golden = torch.frombuffer(bytearray.fromhex(GOLDEN[family]), dtype=torch.uint8).float()
    values = inputs["pixel_values"] * 255
    if family == "siglip2":  # three rows of two patches, and one place that is none
        assert inputs["spatial_shapes"].tolist() == [[3, 2]]
        assert inputs["pixel_attention_mask"].tolist() == [[1] * 6 + [0]]
        assert values.shape == (1, 7, 48) and not values[0, 6].any()
        values = values[:, :6]
    else:
        assert values.shape[2:] == ((8, 9) if family == "clip" else (8, 7))
    assert (values.flatten() - golden).abs().max() <= SAME_LEVEL


@pytest.mark.skipif(find_spec("PIL") is None, reason="Pillow is not installed")
@pytest.mark.parametrize("shape", [(33, 47), (240, 320), (320, 180), (20, 30)])
@pytest.mark.parametrize("family", text_image.FAMILIES)
def test_with_pillow_transformers_processor_gives_the_same(
    family: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    settings = {**LEVELS, **SETTINGS[family]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    images = [drawn(*shape, seed) for seed in range(2)]
    theirs = picture.find_preprocess(tmp_path, family)(images)
    ours = picture.by_hand(settings, family)(images)
    assert theirs.keys() == ours.keys()
    for name in ours:
        scale = 255 if name == "pixel_values" else 1
        distance = (theirs[name] - ours[name]).abs().max() * scale
        assert theirs[name].shape == ours[name].shape and distance <= SAME_LEVEL


@pytest.mark.parametrize(
    ("height", "width", "side", "most"),
    [(10, 11, 16, 256), (1, 5000, 16, 256), (240, 320, 16, 256), (320, 180, 4, 17), (97, 3, 8, 1)],
)
def test_a_grid_of_patches_fits_and_no_greater_one_of_its_shape_does(
    height: int, width: int, side: int, most: int
) -> None:
    rows, columns = picture._grid(height, width, side, most)
    assert 1 <= rows * columns <= most
    larger = max(rows / height, columns / width) * side * 1.001
    assert math.ceil(height * larger / side) * math.ceil(width * larger / side) > most


def test_a_picture_smaller_than_its_crop_gets_a_black_border() -> None:
    settings = {**LEVELS, "size": {"shortest_edge": 4}, "crop_size": {"height": 7, "width": 5}}
    (pixels,) = picture.by_hand(settings, "clip")([np.full((8, 8, 3), 255, np.uint8)])[
        "pixel_values"
    ]
    assert pixels.shape == (3, 7, 5)
    white = (pixels[0] > 0.99).nonzero()  # as np_center_crop of transformers: rounded up
    assert white.min(0).values.tolist() == [2, 1] and white.max(0).values.tolist() == [5, 4]


def test_an_old_clip_configuration_with_bare_numbers_is_understood() -> None:
    old = {**LEVELS, "feature_extractor_type": "CLIPFeatureExtractor", "size": 12, "crop_size": 8}
    new = {**LEVELS, "size": {"shortest_edge": 12}, "crop_size": {"height": 8, "width": 8}}
    pictures = [drawn(24, 37)]
    old_pixels, new_pixels = (
        picture.by_hand(settings, "clip")(pictures)["pixel_values"] for settings in (old, new)
    )
    assert torch.equal(old_pixels, new_pixels) and old_pixels.shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    "settings",
    [
        {"image_processor_type": "EfficientNetImageProcessor"},
        {"resample": 1},
        {"resample": 4},
        {"do_rescale": False},
        {"rescale_factor": 0.5},
        {"size": {"longest_edge": 384}},
    ],
)
def test_preprocessing_that_needs_pillow_says_so(settings: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="needs Pillow: pip install pillow"):
        picture.by_hand(settings, "siglip")


@pytest.mark.parametrize("settings", [{"patch_size": "wide"}, {"resample": [3]}, {"image_std": 5}])
def test_preprocessing_that_is_nonsense_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="preprocessing is not understood"):
        picture.by_hand(settings, "siglip2")


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "a/b/c", "/no/where", ""])
def test_a_name_that_is_no_model_is_refused_with_the_families(name: str) -> None:
    with pytest.raises(ModelError, match=r"give a folder with a checkpoint, or a hub id .*siglip2"):
        embedder.load(name)


def test_a_video_llm_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.write("llava_onevision", tmp_path / "llava")
    with pytest.raises(ModelError, match="of the family 'llava_onevision', which does not put"):
        embedder.load(str(folder))


def test_the_embedded_model_is_refused() -> None:
    with pytest.raises(ModelError, match="'embedded' is no text-image model"):
        embedder.load("embedded")


def test_half_a_model_is_refused(clip: Path) -> None:
    weights = load_file(clip / "model.safetensors")
    kept = {name: w for name, w in weights.items() if not name.startswith("text_model.encoder")}
    assert len(kept) < len(weights)
    save_file(kept, clip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"clip: the checkpoint lacks \d+ tensors .*text_model"):
        embedder.load(str(clip))


def test_an_adapter_that_was_not_merged_is_refused(clip: Path) -> None:
    weights = load_file(clip / "model.safetensors")
    name = "vision_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"
    assert name.replace("lora_A.", "") in weights
    save_file(
        weights | {name: torch.zeros(2, 2)}, clip / "model.safetensors", metadata={"format": "pt"}
    )
    with pytest.raises(ModelError, match=r"holds 1 tensors inside its layers .*must be merged"):
        embedder.load(str(clip))


def test_tensors_beside_its_layers_are_passed_over(clip: Path) -> None:
    weights = load_file(clip / "model.safetensors") | {"an.older.one": torch.zeros(2)}
    save_file(weights, clip / "model.safetensors", metadata={"format": "pt"})
    assert embedder.load(str(clip), device="cpu").family == "clip"


def test_weights_that_are_no_numbers_are_refused(clip: Path) -> None:
    weights = load_file(clip / "model.safetensors")
    weights["visual_projection.weight"][0, 0] = float("nan")
    save_file(weights, clip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="visual_projection"):
        embedder.load(str(clip))


def test_weights_of_other_sizes_are_refused(clip: Path) -> None:
    config = json.loads((clip / "config.json").read_text())
    config["projection_dim"] = 48
    (clip / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"do not fit config.json: .* is \[24, 32\], not \[48"):
        embedder.load(str(clip))


def test_pickled_weights_are_refused(clip: Path) -> None:
    weights = load_file(clip / "model.safetensors")
    (clip / "model.safetensors").unlink()
    torch.save(weights, clip / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        embedder.load(str(clip))


def test_damaged_weights_are_refused(clip: Path) -> None:
    weights = (clip / "model.safetensors").read_bytes()
    (clip / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors is cut"):
        embedder.load(str(clip))


def test_a_missing_tokenizer_is_told(clip: Path) -> None:
    (clip / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=f"{clip}: its tokenizer cannot be read"):
        embedder.load(str(clip))
    (clip / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=f"{clip}: holds no tokenizer"):
        embedder.load(str(clip))


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="SentencePiece is installed")
def test_a_tokenizer_that_needs_sentencepiece_says_what_to_install(tmp_path: Path) -> None:
    folder = text_image.write("siglip", tmp_path / "siglip")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "SiglipTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").rename(folder / "spiece.model")  # all that the first SigLIP has
    with pytest.raises(ModelError, match="needs SentencePiece: pip install sentencepiece"):
        embedder.load(str(folder))


def test_damaged_preprocessing_is_told(clip: Path) -> None:
    for damaged in ("[1, 2", "[1, 2]"):
        (clip / "preprocessor_config.json").write_text(damaged)
        with pytest.raises(ModelError, match=f"^{clip}: its preprocessing cannot be read: .*json"):
            embedder.load(str(clip))


def test_code_beside_a_checkpoint_is_not_run(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "with_code"
    shutil.copytree(clip, copy)
    (copy / "modeling.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: ...\n")
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        settings = json.loads((copy / name).read_text())
        settings["auto_map"] = {
            "AutoModel": "modeling.Evil",
            "AutoTokenizer": ["modeling.Evil"] * 2,
        }
        (copy / name).write_text(json.dumps(settings))
    ours = embedder.load(str(copy), device="cpu")
    assert ours.text("red").shape == (ours.width,) and not (tmp_path / "ran").exists()
