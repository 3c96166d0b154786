"""The engine against its plain twin: what every model family must hold, as numbers.

`Twins` are one checkpoint loaded twice: into an adapter of ours, and into transformers' own
classes, which know nothing of us.  A check runs a small stream through the engine and says how
far it ends from the twin, which sees the same embeddings; what is allowed is `TOLERANCE`.
`tests/test_laws.py` holds the laws with these, `tests/exactness.py` prints them.

A axes, C width, T tokens, V vocabulary, H query heads, G key heads, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import DynamicCache

from longtake.asked import Asked
from longtake.models.base import Adapter
from longtake.models.decode import Decoding
from longtake.models.loader import load
from longtake.scope import When
from tests import dense, streams
from tests.streams import ONE_TOKEN, Listening

QUESTION = "what was on the table?"
ALL = 10_000  # chunks to recall: every one
TOKENS = 12  # of a greedy answer
TOLERANCE = 5e-5  # float32, of logits of size 5 to 6; what was seen: docs/exactness.md
BFLOAT16_TOLERANCE = 0.05  # as a share of the greatest logit
VARIANTS: dict[str, dict[str, Any]] = {  # of a checkpoint's text config
    "yarn": {
        "rope_parameters": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 1024,
        }
    },
    "heads 1 to 1": {"num_key_value_heads": 4},
    "heads 7 to 1": {"num_attention_heads": 7, "num_key_value_heads": 1},
}


@dataclass(frozen=True, eq=False)
class Twins:
    """One checkpoint, twice."""

    adapter: Adapter
    plain: Any  # in transformers' class, float32, eager attention

    @classmethod
    def load(cls, folder: Path, dtype: str = "float32") -> Twins:
        """Both from the same weights: in bfloat16 the plain ones are rounded, then float32."""
        return cls(load(str(folder), device="cpu", dtype=dtype), load_plain(folder, dtype).float())

    @property
    def decoder(self) -> Any:
        return self.plain.get_decoder()

    @property
    def tolerance(self) -> float:
        """Of the greatest difference of a logit, in float32."""
        return TOLERANCE


@dataclass(frozen=True, eq=False)
class Heard:
    """A stream and a question as they went through the engine."""

    parts: list[dense.Part]  # sink, chunks, question
    logits: list[Tensor]  # float32 [T, V], of each part
    held: int  # chunks in the window when it was asked
    from_disk: bool = False  # whatever came back was read from files

    @property
    def question(self) -> int:
        return len(self.parts) - 1


def load_plain(folder: Path, dtype: str = "float32", attention: str = "eager") -> Any:
    """The weights in the class that their own config names."""
    config = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, config.architectures[0])
    model = model_class.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    return model.requires_grad_(False).eval()


def hear(
    adapter: Any, count: int, *, window_s: float = 4.0, folder: Path | None = None, **asked: Any
) -> Heard:
    """Show ``count`` frames to a session, ask, and keep what its decoder computed.

    Args:
        adapter: ours, or one that listens (and may be made to err).
        folder: the memory is closed and opened again there before it is asked, and has no RAM.
        asked: further fields of `Asked`.
    """
    listening = adapter if isinstance(adapter, Listening) else Listening(adapter)
    where: dict[str, Any] = {} if folder is None else {"folder": folder, "ram_bytes": 0}
    question = Asked(question=QUESTION, decoding=ONE_TOKEN, **asked)
    from_disk = False
    with streams.session(listening, window_s=window_s, **where) as one:
        one.see(streams.frames(count))
        one.flush()
        if folder is None:
            streams.answer(one, question)
        held = len(one.window.infos)
    if folder is not None:
        with streams.session(listening, window_s=window_s, **where) as one:
            streams.answer(one, question)
            assert len(one.window.infos) == held
            stats = one._store.stats()
            from_disk = stats.misses > 0 and stats.hits == 0
    seen = listening.seen
    hidden = [*listening.hidden[: 1 + len(seen)], listening.hidden[-1]]
    with torch.inference_mode():
        logits = [adapter.logits(h).float() for h in hidden]
    parts = [*streams.parts_of(adapter, seen), text_part(adapter, adapter.prompt(QUESTION).ids)]
    return Heard(parts, [x.clone() for x in logits], held, from_disk)


def text_part(adapter: Any, ids: Tensor) -> dense.Part:
    with torch.no_grad():
        embeds = adapter.embed(ids).float()
    return dense.Part(embeds, torch.arange(len(ids)).expand(adapter.shape.axes, -1))


# ------------------------------------------------------------------ what the twin says


@torch.no_grad()
def plain_logits(plain: Any, parts: Sequence[dense.Part]) -> Tensor:
    """``[T of all, V]`` of the unmodified model over all parts, one behind the other."""
    tokens = sum(len(part.embeds) for part in parts)
    hidden = plain.get_decoder()(
        use_cache=False,
        attention_mask=added_mask(torch.ones(tokens, tokens).tril() > 0, plain.dtype),
        **plain_inputs(parts, plain.dtype),
    )[0]
    return plain.get_output_embeddings()(hidden)[0]


def added_mask(visible: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bool ``[T, N]`` as transformers adds it to scores.

    Without a mask, Qwen3-VL takes positions in pictures for packed sequences in transformers 5.0.
    """
    least = torch.finfo(dtype).min
    return torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, least)[None, None]


def plain_inputs(parts: Sequence[dense.Part], dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Keywords of a decoder of transformers."""
    positions = dense.contiguous(parts)
    inputs: dict[str, Any] = {
        "inputs_embeds": torch.cat([part.embeds for part in parts])[None].to(dtype),
        "position_ids": positions if len(positions) == 1 else positions[:, None],
    }
    deep = [part for part in parts if part.visual is not None]
    if deep:
        none = [torch.zeros(len(part.embeds), dtype=torch.bool) for part in parts]
        visual = [
            n if part.visual is None else part.visual for n, part in zip(none, parts, strict=True)
        ]
        inputs["visual_pos_masks"] = torch.cat(visual)[None]
        levels = zip(*(part.deepstack for part in deep), strict=True)
        inputs["deepstack_visual_embeds"] = [torch.cat(level).to(dtype) for level in levels]
    return inputs


@torch.no_grad()
def dense_logits(
    twins: Twins, parts: Sequence[dense.Part], sees: dense.Sees, watch: dense.Watch | None = None
) -> list[Tensor]:
    """``[T, V]`` of each part."""
    head = twins.plain.get_output_embeddings()
    return [head(hidden) for hidden in dense.run(twins.decoder, parts, sees, watch)]


def sees_window(held: int, question: int) -> dense.Sees:
    """A chunk sees the sink and ``held`` chunks before it; the question everything."""

    def sees(_layer: int, part: int) -> list[int]:
        if part == 0:
            return []
        return [0, *range(1 if part >= question else max(1, part - held), part)]

    return sees


class Recall:
    """ReKV's choice, written out: mean queries, mean keys, the best chunks of every layer.

    Args:
        asked: bool ``[T]``, the question's own words.
        blind: queries ``[H, T, D]`` by layer that choose; None: the question's own, which have
            attended to what the layers below chose.
    """

    def __init__(self, heard: Heard, asked: Tensor, k: int, blind: Sequence[Tensor] | None) -> None:
        self._heard, self._asked, self._k, self._blind = heard, asked, k, blind
        self._within = sees_window(heard.held, heard.question)
        self._means: dict[int, Tensor] = {}
        self._query = torch.empty(0)
        self.chosen: list[list[int]] = []  # parts, by layer

    def watch(self, layer: int, part: int, queries: Tensor, keys: Tensor) -> None:
        self._means[part] = keys.mean(1).repeat_interleave(len(queries) // len(keys), 0)
        if part == self._heard.question:
            chooses = queries if self._blind is None else self._blind[layer]
            self._query = chooses[:, self._asked].mean(1)

    def sees(self, layer: int, part: int) -> Sequence[int]:
        if part != self._heard.question:
            return self._within(layer, part)
        window = self._heard.question - self._heard.held
        scores = {p: float((self._query * self._means[p]).sum()) for p in range(1, window)}
        best = sorted(scores, key=lambda p: -scores[p])[: self._k]
        self.chosen.append(sorted(best))
        return [0, *self.chosen[-1], *range(window, self._heard.question)]


# ------------------------------------------------------------------ checks


@dataclass(frozen=True, eq=False)
class Pair:
    """What the engine said and what its twin says, for every token: ``[T of all, V]``."""

    ours: Tensor
    theirs: Tensor

    @classmethod
    def of(cls, heard: Heard, theirs: Sequence[Tensor]) -> Pair:
        return cls(torch.cat(heard.logits), torch.cat(list(theirs)))

    @property
    def worst(self) -> float:
        return streams.worst(self.ours, self.theirs)

    @property
    def share(self) -> float:
        """The greatest difference as a share of the greatest logit."""
        return self.worst / float(self.theirs.abs().max())


def all_in_window(twins: Twins, count: int = 7) -> Pair:
    """Law 1: a window longer than the stream, against the unmodified model."""
    heard = hear(twins.adapter, count, window_s=20.0)
    assert heard.held == len(heard.parts) - 2
    return Pair.of(heard, [plain_logits(twins.plain, heard.parts)])


def all_recalled(twins: Twins, count: int = 24, folder: Path | None = None) -> Pair:
    """Law 2: everything recalled, from RAM or (with a folder) from files."""
    heard = hear(twins.adapter, count, folder=folder, top_k=ALL)
    assert heard.held < len(heard.parts) - 2
    assert heard.from_disk == (folder is not None)
    sees = sees_window(heard.held, heard.question)
    return Pair.of(heard, dense_logits(twins, heard.parts, sees))


def best_recalled(
    twins: Twins, select_by: str, count: int = 24, k: int = 3
) -> tuple[Pair, list[list[int]]]:
    """Sink, each layer's best chunks, window; and which parts the twin chose, by layer."""
    heard = hear(twins.adapter, count, top_k=k, select_by=select_by)
    blind = blind_queries(twins, heard) if select_by == "blind" else None
    recall = Recall(heard, twins.adapter.prompt(QUESTION).asked, k, blind)
    theirs = dense_logits(twins, heard.parts, recall.sees, recall.watch)
    return Pair.of(heard, theirs), recall.chosen


def blind_queries(twins: Twins, heard: Heard) -> list[Tensor]:
    """``[H, T, D]`` by layer, of the question behind the sink alone."""
    found: list[Tensor] = []

    def watch(_layer: int, part: int, queries: Tensor, _keys: Tensor) -> None:
        if part:
            found.append(queries)

    alone = [heard.parts[0], heard.parts[-1]]
    dense.run(twins.decoder, alone, lambda _layer, part: [0] if part else [], watch)
    return found


def trace_of_questions(twins: Twins, count: int = 20) -> float:
    """Law 6: how far a stream that is asked after every chunk ends from one that is not."""
    asked = Asked(question=QUESTION, decoding=ONE_TOKEN)
    earlier = replace(asked, when=When(at_s=9.0))
    quiet, talkative = (streams.session(Listening(twins.adapter)) for _ in range(2))
    with quiet as left, talkative as right:
        for frame in streams.frames(count):
            left.see([frame])
            right.see([frame])
            for question in (asked, earlier)[: 2 if frame.pts_s > 12 else 1]:
                streams.answer(right, question)
        assert left.chunks == right.chunks
        pairs = [(left.segment(n), right.segment(n)) for n in range(left.chunks)]
        return max(streams.worst(a, b) for x, y in pairs for a, b in zip(x[:2], y[:2], strict=True))


def greedy_answer(adapter: Any, count: int, window_s: float, top_k: int | None = None) -> list[int]:
    """Token ids of an answer, without the end."""
    listening = Listening(adapter)
    with streams.session(listening, window_s=window_s) as one:
        one.see(streams.frames(count))
        one.flush()
        asked = Asked(question=QUESTION, decoding=Decoding(max_tokens=TOKENS), top_k=top_k)
        streams.answer(one, asked)
    return listening.answered


@torch.no_grad()
def plain_greedy(twins: Twins, parts: Sequence[dense.Part]) -> list[int]:
    """The unmodified decoder over transformers' own cache, at explicit positions."""
    decoder, head = twins.decoder, twins.plain.get_output_embeddings()
    cache, inputs, ids = DynamicCache(), plain_inputs(parts), list[int]()
    position = inputs["position_ids"]
    while len(ids) < TOKENS:
        hidden = decoder(past_key_values=cache, use_cache=True, **inputs)[0]
        ids.append(int(head(hidden[0, -1]).argmax()))
        if ids[-1] in twins.adapter.stop_ids:
            return ids[:-1]
        position = torch.full_like(position[..., :1], int(position.max()) + 1)
        embeds = twins.plain.get_input_embeddings()(torch.tensor([ids[-1:]]))
        inputs = {"inputs_embeds": embeds, "position_ids": position}
    return ids


def dense_greedy(twins: Twins, heard: Heard) -> list[int]:
    """Every token by a dense pass of its own, with everything recalled."""
    question, ids = heard.parts[-1], list[int]()
    sees = sees_window(heard.held, heard.question)
    while len(ids) < TOKENS:
        spoken = text_part(twins.adapter, torch.tensor(ids, dtype=torch.long))
        behind = spoken.offsets + question.offsets.shape[1]
        longer = dense.Part(
            torch.cat([question.embeds, spoken.embeds]), torch.cat([question.offsets, behind], 1)
        )
        logits = dense_logits(twins, [*heard.parts[:-1], longer], sees)[-1][-1]
        ids.append(int(logits.argmax()))
        if ids[-1] in twins.adapter.stop_ids:
            return ids[:-1]
    return ids


@torch.no_grad()
def generated(twins: Twins, parts: Sequence[dense.Part]) -> list[int]:
    """`generate`, which counts positions by itself: for models with one axis."""
    embeds = plain_inputs(parts)["inputs_embeds"]
    ends = twins.adapter.stop_ids
    ids = twins.plain.generate(
        inputs_embeds=embeds,
        attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long),
        generation_config=transformers.GenerationConfig(
            max_new_tokens=TOKENS,
            do_sample=False,
            eos_token_id=sorted(ends),
            pad_token_id=min(ends),
        ),
    )[0].tolist()
    return [token for token in ids if token not in ends]
