"""``longtake bench``: how fast a file is taken in and a question is answered.

Both stand beside a plain twin, measured in the same run: the same weights in unmodified
Hugging Face classes, with nothing of ours in their way (`Plain`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import Tensor
from transformers import DynamicCache

from longtake.bench_frame import Row, compared, interleave, median, say, show, timed
from longtake.engine import Engine
from longtake.memory.index import make_index
from longtake.models.base import Adapter, Image, ModelError
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.questions import Question, ask_about
from longtake.models.embedded.world import Film, long_film
from longtake.models.loader import find_folder
from longtake.models.pixels import Normalizer, read_preprocessing, resize
from longtake.models.recipe import stamp_text
from longtake.settings import TakeConfig
from longtake.streaming.sources import open_source

if TYPE_CHECKING:
    from longtake.take import Take

FAMILY = "llava_onevision"  # the family whose plain twin is known here
SEED = 1
SCALE = 4  # 384 x 384 pixels


def ingest(model: str, minutes: float, repeats: int, as_json: bool) -> None:
    """Take in a drawn clip with a memory on disk, beside the model's bare forward.

    Raises:
        ValueError: for a length or a number of repeats that makes no sense.
        ModelError: if there is no plain twin for the model's family.
    """
    with TemporaryDirectory(prefix="longtake-bench-") as home, Engine(model) as engine:
        folder = Path(home)
        clip, fps = folder / "clip.mp4", engine.adapter.recipe.fps
        film = _draw(clip, minutes, fps)
        frames = round(film.seconds * fps)
        plain = Plain(engine.adapter, model)
        pixels = plain.pixels([image for _, image in film.frames(fps)])
        nbytes: list[int] = []

        def whole() -> float:
            memory = folder / f"memory{len(nbytes)}"
            begun = time.perf_counter()
            with engine.open(memory) as take:
                take.watch(clip).wait()
                pace = take.pace
            took_s = time.perf_counter() - begun
            nbytes.append(sum(p.stat().st_size for p in memory.rglob("*") if p.is_file()))
            assert plain.window_tokens == pace.window_tokens
            return took_s

        jobs: dict[str, Callable[[], float]] = {
            "whole pipeline": whole,
            "bare forward": lambda: timed(lambda: plain.stream(pixels)),
            "decode and sample": lambda: timed(lambda: _read(clip, fps)),
        }
        found = interleave(jobs, repeats, say)
        rate = {name: frames / median(times) for name, times in found.items()}
        bare = Row("bare forward", rate["bare forward"], "frames/s")
        rows = [
            compared("whole pipeline", rate["whole pipeline"], "frames/s", bare),
            bare,
            Row("decode and sample", rate["decode and sample"], "frames/s"),
            Row("memory on disk", nbytes[-1] / film.seconds * 3600 / 1e6, "MB/h"),
        ]
    sizes = {
        "clip": f"{film.seconds} s drawn at {fps:g} frames/s, {96 * SCALE} x {96 * SCALE}, H.264",
        "model": f"{model}, {engine.adapter.dtype}, {engine.adapter.device}",
        "threads": torch.get_num_threads(),
        "repeats": f"{repeats}, interleaved; medians",
        "whole": "decode, sample, encode, window, store, thumbnails; until all is on disk",
        "bare": f"{plain.batch_frames} frames through vision, then step by step through the "
        f"decoder over sink and {plain.window_tokens} tokens; pixels ready in RAM",
    }
    show("ingest", sizes, rows, as_json)


def ask(model: str, minutes: float, repeats: int, as_json: bool) -> None:
    """Ask about a long drawn stream in memory, beside encoding the video again.

    Raises: as `ingest`.
    """
    if repeats < 1:
        raise ValueError(f"repeats={repeats}: must be at least 1")
    with TemporaryDirectory(prefix="longtake-bench-") as home, Engine(model) as engine:
        clip, fps = Path(home) / "clip.mp4", engine.adapter.recipe.fps
        film = _draw(clip, minutes, fps)
        plain = Plain(engine.adapter, model)
        say(f"taking in {film.seconds} s")
        with engine.open(Path(home) / "memory") as take:
            take.watch(clip).wait()
            asked = _questions(film, repeats)
            images = [image for _, image in film.frames(fps)]
            whole = plain.fitting(images, max(len(plain.prompt(q.text)) for q in asked))
            pixels = plain.pixels(whole)
            timings = _ask_in_turn(take, asked, partial(plain.first_token, pixels))
            chunks, top_k = take.stats().chunks, take.pace.top_k
        search_ms = _search_ms(engine.adapter, chunks, top_k, repeats)
    again = Row("plain re-encoding, first token", median(timings["plain"]) * 1e3, "ms")
    rows = [
        compared("first token", median(timings["first"]) * 1e3, "ms", again),
        Row("  blind pass, search, layout", median(timings["recall"]) * 1e3, "ms"),
        Row("    of it the search", search_ms, "ms"),
        Row("  prefill", median(timings["prefill"]) * 1e3, "ms"),
        Row("whole answer", median(timings["total"]) * 1e3, "ms"),
        again,
    ]
    sizes = {
        "stream": f"{film.seconds} s at {fps:g} frames/s, {chunks} chunks in memory",
        "model": f"{model}, {engine.adapter.dtype}, {engine.adapter.device}",
        "threads": torch.get_num_threads(),
        "questions": f"{repeats}, interleaved with the plain twin; medians",
        "recalled": f"{top_k} chunks a layer",
        "plain": f"{len(whole)} of {len(images)} frames, evenly: all that fit into the "
        f"{engine.adapter.shape.trained_tokens} tokens that the model was trained for; "
        "pixels ready in RAM",
    }
    show("ask", sizes, rows, as_json)


class Plain:
    """The same weights, loaded a second time, in unmodified Hugging Face classes.

    Raises:
        ModelError: if the model is of another family than `FAMILY`.
    """

    def __init__(self, adapter: Adapter, name: str) -> None:
        if adapter.family != FAMILY:
            raise ModelError(
                f"{name}: is of the family {adapter.family!r}; bench compares {FAMILY} models only"
            )
        folder = find_folder(name)
        classes: Any = transformers
        self._tokenizer = classes.AutoTokenizer.from_pretrained(folder)
        self._model = classes.AutoModelForImageTextToText.from_pretrained(
            folder, dtype=adapter.dtype, attn_implementation="sdpa"
        )
        self._model.requires_grad_(False).eval().to(adapter.device)
        self._device, self._dtype = adapter.device, adapter.dtype
        self._normalize = Normalizer.of(read_preprocessing(folder))
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
        return self._normalize(resize(whole, self._side, self._side), self._dtype, self._device)

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


def _draw(clip: Path, minutes: float, fps: float) -> Film:
    seconds = round(minutes * 60)
    if seconds < 30:
        raise ValueError(f"minutes={minutes:g}: must be at least 0.5")
    say(f"drawing {seconds} s")
    film = long_film(random.Random(SEED), seconds)
    write_film(film, clip, fps=fps, scale=SCALE)
    return film


def _read(clip: Path, fps: float) -> int:
    config = TakeConfig()
    with open_source(clip, fps=fps, max_side=config.memory.thumbnail_px) as source:
        return sum(1 for _ in source.frames())


def _questions(film: Film, count: int) -> list[Question]:
    """About things from all over the film; the same ones again where they do not suffice."""
    rng = random.Random(SEED)
    things = rng.sample(film.things, len(film.things))
    found = [q for t in things if (q := ask_about(rng, film, t, "exist", float(film.seconds)))]
    return [found[i % len(found)] for i in range(count)]


def _ask_in_turn(
    take: Take, asked: Sequence[Question], plain: Callable[[str], object]
) -> dict[str, list[float]]:
    """Each question to the take, then to the plain twin; the first once more before, uncounted."""
    found: dict[str, list[float]] = {
        name: [] for name in ("first", "recall", "prefill", "total", "plain")
    }
    for i, question in enumerate((asked[0], *asked)):
        say(f"question {i} of {len(asked)}")
        spent = take.ask(question.text).timings
        plain_s = timed(lambda text=question.text: plain(text))  # type: ignore[misc]
        if i == 0:
            continue
        found["first"].append(spent.first_token_s)
        found["recall"].append(spent.recall_s)
        found["prefill"].append(spent.first_token_s - spent.recall_s)
        found["total"].append(spent.total_s)
        found["plain"].append(plain_s)
    return found


def _search_ms(adapter: Adapter, chunks: int, top_k: int, repeats: int) -> float:
    """The search alone, over as many vectors of the same size, at random."""
    shape = adapter.shape
    width = shape.kv_heads * shape.head_dim
    index = make_index("auto", layers=shape.layers, width=width, device=adapter.device)
    generator = torch.Generator().manual_seed(SEED)
    index.extend(range(chunks), torch.randn(shape.layers, chunks, width, generator=generator))
    query = torch.randn(shape.layers, width, generator=generator).to(adapter.device)
    times = [timed(lambda: index.search(query, top_k)) for _ in range(repeats + 1)]
    return median(times[1:]) * 1e3
