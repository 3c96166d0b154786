"""Write the golden values: what transformers' own processors make of a few frames.

    [TORCHVISION_FOLDER=DIR] python -m tests.golden.make

They need torchvision (see `tests.golden`); the tests that compare with these values do
not.  Written with the versions of torch, torchvision and transformers that the files name.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.video_utils import VideoMetadata

from tests import checkpoints
from tests.golden import cases


def main() -> None:
    versions = {name: version(name) for name in ("torch", "torchvision", "transformers")}
    for case in cases.CASES:
        values = {"versions": np.array(json.dumps(versions))}
        with tempfile.TemporaryDirectory() as folder:
            for name, content in case.files.items():
                (Path(folder) / f"{name}.json").write_text(json.dumps(content))
            processor: Any = transformers.AutoVideoProcessor.from_pretrained(folder)
        for height, width in case.sizes:
            values |= _see(processor, case, height, width)
        values |= _rule(processor, case)
        np.savez_compressed(case.path, **values)
        print(case.path, case.path.stat().st_size, "bytes")
    prompts = {family: _prompt(family) for family in cases.PROMPTS}
    cases.PROMPTS_PATH.write_text(json.dumps({"versions": versions, **prompts}) + "\n")
    print(cases.PROMPTS_PATH)


def _see(processor: Any, case: cases.Case, height: int, width: int) -> dict[str, Any]:
    """Two steps, each a video."""
    each = case.frames
    frames = cases.draw(2 * each, height, width)
    made = processor(
        [np.stack(frames[:each]), np.stack(frames[each:])],
        do_sample_frames=False,
        input_data_format="channels_last",
        return_tensors="pt",
        **case.arguments,
    )
    values: dict[str, Any] = {}
    for name, value in made.items():
        key = f"{height}x{width}/{name}"
        values |= {f"{key}/shape": np.array(value.shape), f"{key}/sample": cases.sample(value)}
    return values


def _rule(processor: Any, case: cases.Case) -> dict[str, Any]:
    """What `smart_resize` makes of `RULE_SIZES`; 0 where it refuses."""
    rule = getattr(sys.modules[type(processor).__module__], "smart_resize", None)
    if rule is None:
        return {}
    size = case.arguments["size"]
    fixed = {
        "factor": processor.patch_size * processor.merge_size,
        "min_pixels": size["shortest_edge"],
        "max_pixels": size["longest_edge"],
    }
    if case.name == "qwen3_vl":
        fixed |= {"num_frames": case.frames, "temporal_factor": case.frames}
    made = []
    for height, width in cases.RULE_SIZES:
        try:
            made.append(rule(height=height, width=width, **fixed))
        except ValueError:
            made.append((0, 0))
    return {"rule": np.array(made)}


def _prompt(family: str) -> dict[str, Any]:
    """A question about a clip, as the family's processor writes it.

    Token ids, and for Qwen3-VL the positions that transformers' model gives them: there a step
    is a segment for the model too.
    """
    shown: dict[str, Any] = cases.PROMPT_FRAMES
    frames = cases.draw(shown["count"], shown["height"], shown["width"])
    indices = list(range(shown["first"], shown["first"] + shown["count"]))
    metadata = VideoMetadata(
        total_num_frames=indices[-1] + 1, fps=shown["fps"], frames_indices=indices
    )
    content = [{"type": "video"}, {"type": "text", "text": cases.QUESTION}]
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.write(family, Path(folder))
        processor: Any = transformers.AutoProcessor.from_pretrained(folder)
        model: Any = transformers.AutoModelForImageTextToText.from_pretrained(folder)
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    if family == "qwen3_vl":
        # The published template puts the video between two tokens of its own.  The processor that
        # came with the model, and transformers up to 5.0, replaced all three; newer ones leave the
        # outer two standing around the steps.  Given the one alone, all of them write the same.
        text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>")
    coded = processor(
        text=[text],
        videos=[torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)],
        video_metadata=[metadata],
        do_sample_frames=False,
        return_tensors="pt",
    )
    prompt = {"ids": coded["input_ids"][0].tolist()}
    if family == "qwen3_vl":
        placed, _ = model.model.get_rope_index(
            coded["input_ids"], coded["mm_token_type_ids"], video_grid_thw=coded["video_grid_thw"]
        )
        prompt["positions"] = placed[:, 0].tolist()
    return prompt


if __name__ == "__main__":
    main()
