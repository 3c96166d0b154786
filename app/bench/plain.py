"""The plain twin of a benchmark: the same weights in unmodified Hugging Face classes.

Nothing of ours runs in it but the reading of pixels: vision by the model's own method, its own
attention over its own `DynamicCache`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import DynamicCache

from longtake.models.base import Adapter, Image, ModelError
from longtake.models.loader import find_folder
from longtake.models.pixels import Normalizer, read_preprocessing, resize
from longtake.models.recipe import stamp_text
from longtake.settings import TakeConfig

FAMILY = "llava_onevision"  # the family whose plain twin is known here


def check_family(adapter: Adapter, name: str) -> None:
    """Raises ModelError for a model whose plain twin is not known."""
    if adapter.family != FAMILY:
        raise ModelError(
            f"{name}: is of the family {adapter.family!r}; bench compares {FAMILY} models only"
        )


class Plain:
    """The same weights, loaded a second time, in unmodified Hugging Face classes.

    Raises:
        ModelError: if the model is of another family than `FAMILY`.
    """

    def __init__(self, adapter: Adapter, name: str) -> None:
        check_family(adapter, name)
        folder = find_folder(name)
        classes: Any = transformers
        self._tokenizer = classes.AutoTokenizer.from_pretrained(folder)
        self._model = classes.AutoModelForImageTextToText.from_pretrained(
            folder, dtype=adapter.dtype, attn_implementation="sdpa"
        )
        self._model.requires_grad_(False).eval().to(adapter.device)
        self._device, self._dtype = adapter.device, adapter.dtype
        self._normalize = Normalizer.of(read_preprocessing(folder))
        self._how = "area" if adapter.recipe.resize == "area" else "bicubic"
        self._side = self._model.config.vision_config.image_size
        recipe = adapter.recipe
        self._each, self._fps, self._stamped = recipe.frames_per_step, recipe.fps, recipe.stamp
        self._step_tokens = adapter.step_tokens
        self._limit = adapter.shape.trained_tokens
        steps = -(-recipe.window_s * recipe.fps // self._each)
        self.window_tokens = int(max(1, steps)) * self._step_tokens
        self.batch_frames = TakeConfig().batch_frames // self._each * self._each
        self._sink = self._around_video("")[0]
        self._stamp_ids: dict[int, list[int]] = {}

    def pixels(self, images: Sequence[Image]) -> Tensor:
        """``[F, 3, side, side]``, F a multiple of a step's frames."""
        whole = images[: len(images) // self._each * self._each]
        small = resize(whole, self._side, self._side, self._how)
        return self._normalize(small, self._dtype, self._device)

    def prompt(self, question: str) -> list[int]:
        """Ids of what comes after the video."""
        return self._around_video(question)[1]

    def fitting(self, images: Sequence[Image], prompt_tokens: int) -> list[Image]:
        """As many of ``images``, evenly spread, as fit into the trained context."""
        room = self._limit - len(self._sink) - prompt_tokens - 1
        count = min(len(images), room // self._step_tokens * self._each)
        return [images[i * len(images) // count] for i in range(count)]

    @torch.inference_mode()
    def stream(self, pixels: Tensor) -> None:
        """See all frames as a stream does: batches through vision, steps over a fixed window."""
        cache = DynamicCache()
        self._forward(self._embed(self._sink), cache)
        done = 0
        for batch in torch.split(pixels, self.batch_frames):
            for step in self._see(batch):
                self._forward(self._stamped_step(step, done), cache)
                self._trim(cache)
                done += 1

    def first_token(self, pixels: Tensor, question: str) -> int:
        """The id that greedy decoding begins with."""
        return int(self.first_logits(pixels, question).argmax())

    @torch.inference_mode()
    def first_logits(self, pixels: Tensor, question: str) -> Tensor:
        """Encode a whole video and prefill it with the question in one forward: ``[V]``."""
        steps = [
            self._stamped_step(step, i)
            for i, step in enumerate(
                step
                for batch in torch.split(pixels, self.batch_frames)
                for step in self._see(batch)
            )
        ]
        parts = [self._embed(self._sink), *steps, self._embed(self.prompt(question))]
        hidden = self._forward(torch.cat(parts), DynamicCache())
        logits: Tensor = self._model.lm_head(hidden[0, -1])
        return logits

    def _around_video(self, question: str) -> tuple[list[int], list[int]]:
        content = [{"type": "video"}, {"type": "text", "text": question}]
        text: str = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        token = self._tokenizer.convert_ids_to_tokens(self._model.config.video_token_id)
        before, _, after = text.partition(token)
        return self._encode(before), self._encode(after)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _see(self, pixels: Tensor) -> Tensor:
        """A batch of frames -> ``[steps, tokens, C]``, without the closing newline."""
        seen = self._model.model.get_video_features(pixels[None], return_dict=True).pooler_output
        tokens: Tensor = seen[0, :-1].unflatten(0, (len(pixels) // self._each, -1))
        return tokens

    def _stamped_step(self, visual: Tensor, number: int) -> Tensor:
        if self._stamped is None:
            return visual
        if number not in self._stamp_ids:  # found in the warm-up: no tokenizer in what is timed
            text = stamp_text(number * self._each / self._fps)
            self._stamp_ids[number] = self._encode(text)
        return torch.cat([self._embed(self._stamp_ids[number]), visual])

    def _embed(self, ids: list[int]) -> Tensor:
        out: Tensor = self._model.get_input_embeddings()(torch.tensor(ids, device=self._device))
        return out

    def _forward(self, embeds: Tensor, cache: DynamicCache) -> Tensor:
        decoder = self._model.get_decoder()
        seen = decoder(inputs_embeds=embeds[None], past_key_values=cache, use_cache=True)
        hidden: Tensor = seen[0]
        return hidden

    def _trim(self, cache: DynamicCache) -> None:
        """Keep the sink and the newest ``window_tokens``."""
        sink = len(self._sink)
        if cache.get_seq_length() <= sink + self.window_tokens:
            return
        for layer in cache.layers:
            for name in ("keys", "values"):
                held = getattr(layer, name)
                newest = held[:, :, -self.window_tokens :]
                setattr(layer, name, torch.cat([held[:, :, :sink], newest], 2))
