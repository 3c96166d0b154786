"""What happens to one frame and to one question.

A frame: frames become a `Step`, and the step goes through ``plan -> forward -> commit``: places
in the window, the decoder, and what leaves the window going to store and index.  A question:
`recall` (a blind pass that chooses chunks), then `context` (they come back and are laid out),
then tokens.  Single-threaded, deterministic, with no clock of its own; nothing of a question
stays in the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from longtake import scope
from longtake.answer import Answer, Moment, Timings
from longtake.memory.base import Index
from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.layout import Segment
from longtake.memory.recall import BlindQuery, peaks, shares
from longtake.memory.store import Store
from longtake.memory.turn import Turn
from longtake.memory.window import Window, WindowShape, fit
from longtake.models.base import Adapter, Image, Step
from longtake.models.decode import Chooser, Decoding
from longtake.settings import Pace, TakeConfig
from longtake.streaming.frame import Frame

Clock = Callable[[], float]
# Chooses chunk numbers for each layer (whose number is given) in place of recall.
Select = Callable[[scope.Scope, int], Sequence[Sequence[int]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One question with all that bears on it."""

    question: str
    dialogue: Sequence[tuple[str, str]] = ()
    when: scope.When = field(default_factory=scope.When)
    top_k: int | None = None
    decoding: Decoding | None = None
    select: Select | None = None
    with_window: bool = True  # False: the newest part of the stream stays out of the context
    received_s: float = 0.0  # session time of the newest frame that had come when it was asked


class Selection(NamedTuple):
    """What recall chose."""

    by_layer: list[list[int]]  # chunk numbers in time order
    evidence: tuple[Moment, ...]


class Session:
    """One stream and its memory, driven by one thread at a time.

    Args:
        store: of this stream; the session does not close it.
        index: empty; filled from the store.
        clock: seconds that only rise, for timings.
    """

    def __init__(
        self,
        adapter: Adapter,
        store: Store,
        index: Index,
        config: TakeConfig,
        clock: Clock,
    ) -> None:
        self.adapter, self.config = adapter, config
        self._store, self._index, self._clock = store, index, clock
        self.pace = Pace.settle(config, adapter.recipe, adapter.step_tokens, adapter.shape)
        sizes = adapter.shape
        self._window_shape = WindowShape(
            layers=sizes.layers,
            kv_heads=sizes.kv_heads,
            head_dim=sizes.head_dim,
            window_s=self.pace.window_s,
            window_tokens=self.pace.window_tokens,
            step_tokens=adapter.step_tokens,
        )
        self._waiting: list[Frame] = []  # fewer than a step's
        self.frames = 0
        with torch.inference_mode():
            sink = adapter.sink()
            self.window = Window(
                self._window_shape, sink.positions, adapter.rotary, adapter.dtype, adapter.device
            )
            self._forward(sink, sink.positions)
            self.window.commit_sink()
            self._restore()

    # ---------------------------------------------------------------- frames

    @property
    def chunks(self) -> int:
        """Seen so far: in the window and beyond."""
        infos = self.window.infos
        return infos[-1].number + 1 if infos else len(self._store)

    @property
    def newest_s(self) -> float:
        """Session time of the newest frame in a chunk; 0 before the first."""
        infos = self.window.infos
        return infos[-1].end_s if infos else 0.0

    def see(self, frames: Sequence[Frame]) -> int:
        """Take in frames in time order; returns how many chunks they completed.

        Frames that do not fill a step wait for the next ones (`flush` ends the wait).
        """
        each = self.adapter.recipe.frames_per_step
        done = 0
        for frame in frames:
            if self._waiting and self._waiting[0].camera != frame.camera:
                done += self.flush()  # a chunk never mixes cameras
            self._waiting.append(frame)
            full = len(self._waiting) // each * each
            if full >= self.config.batch_frames:
                done += self._take_in(self._waiting[:full])
                del self._waiting[:full]
        full = len(self._waiting) // each * each
        if full:
            done += self._take_in(self._waiting[:full])
            del self._waiting[:full]
        self.frames += len(frames)
        return done

    def flush(self) -> int:
        """Complete a waiting step by repeating its last frame; returns the chunks made (0 or 1)."""
        if not self._waiting:
            return 0
        each = self.adapter.recipe.frames_per_step
        missing = -len(self._waiting) % each
        done = self._take_in([*self._waiting, *self._waiting[-1:] * missing])
        self._waiting.clear()
        return done

    def close(self) -> None:
        """Write what is still in the window, so that opening the memory again restores it."""
        self.flush()
        for chunk in self.window.chunks():
            self._store.put(chunk, summarize(chunk.keys))
        self._store.sync()

    @torch.inference_mode()
    def _take_in(self, frames: Sequence[Frame]) -> int:
        """Whole steps of one camera: vision at once, then step by step through the decoder."""
        images: list[Image] = [frame.image for frame in frames]
        steps = self.adapter.steps(images, [f.pts_s for f in frames], frames[0].camera)
        each = self.adapter.recipe.frames_per_step
        for i, step in enumerate(steps):
            first = frames[i * each]
            info = ChunkInfo(
                self.chunks, step.start_s, step.end_s, step.camera, first.wall_s, tokens=step.tokens
            )
            self._forward(step, step.positions)
            self._commit(info, first.image)
        return len(steps)

    def _forward(self, step: Step, positions: Tensor) -> None:
        """Plan places for a step and run the decoder over the window."""
        self.window.begin(positions)
        self.adapter.decode_step(step.embeds, self.window, step.extra)

    def _commit(self, info: ChunkInfo, image: Image) -> None:
        for chunk in self.window.commit(info):
            vectors = summarize(chunk.keys)
            self._store.put(chunk, vectors)
            self._index.add(chunk.info.number, vectors)
        self._store.album.put(info.number, image)

    def _restore(self) -> None:
        """Search vectors of what was evicted to the index, the newest chunks to the window."""
        past = self._store.infos()
        window = fit(past, self._window_shape)
        if window:
            numbers, vectors = self._store.all_vectors(0, window[0].number)
            if len(numbers):
                self._index.extend(numbers.tolist(), vectors)
        self.window.restore(self._store.read(info.number) for info in window)

    # ---------------------------------------------------------------- questions

    def answer(
        self, asked: Asked, is_over: Callable[[], bool] = lambda: False
    ) -> Generator[str, None, Answer]:
        """Yield the answer's text piece by piece; the generator's value is the `Answer`.

        Args:
            is_over: asked before each token; once true, the answer ends there and is partial.

        Raises:
            ValueError: for an empty question, or a context beyond what the model was trained for.
        """
        begun = self._clock()
        prompt = self.adapter.prompt(asked.question, self._fit_dialogue(asked))
        known = scope.settle(asked.when, self._past(), len(self.window.infos), self._window_shape)
        if not asked.with_window:
            known = replace(known, window=())
        decoding = asked.decoding or self.config.decoding
        with torch.inference_mode():
            blind = self._blind_vectors(prompt.ids, prompt.asked)
            selection = self._select(blind, known, asked)
            room = len(prompt.ids) + decoding.max_tokens
            turn, coverage = self._context(selection, known, room)
        recalled = self._clock()
        first_token = recalled
        ids: list[int] = []
        text, finished = "", False
        chooser = Chooser(decoding)
        following = prompt.ids
        while len(ids) < decoding.max_tokens and not is_over():
            with torch.inference_mode():
                token = chooser.choose(self._next_logits(turn, following))
            if not ids:
                first_token = self._clock()
            if token in self.adapter.stop_ids:
                finished = True
                break
            ids.append(token)
            following = torch.tensor([token])
            longer = self.adapter.text(ids)
            if longer.startswith(text) and not longer.endswith("\ufffd"):
                if len(longer) > len(text):
                    yield longer[len(text) :]
                text = longer
        return Answer(
            question=asked.question,
            text=self.adapter.text(ids),
            evidence=selection.evidence,
            as_of_s=known.as_of_s,
            staleness_s=max(0.0, max(asked.received_s, self.newest_s) - known.as_of_s),
            coverage=coverage,
            partial=not finished,
            timings=Timings(recalled - begun, first_token - begun, self._clock() - begun, len(ids)),
        )

    def _past(self) -> list[ChunkInfo]:
        """All chunks in time order."""
        live = self.window.infos
        first = live[0].number if live else len(self._store)
        return [*self._store.infos()[:first], *live]

    def _blind_vectors(self, ids: Tensor, asked: Tensor) -> Tensor:
        """The question's mean queries ``[L, G*D]``, from a forward that sees no video."""
        last = int(asked.nonzero()[-1]) + 1
        sizes = self.adapter.shape
        listener = BlindQuery(asked[:last], sizes.layers, sizes.kv_heads)
        sink = [_layer_of(self.window.sink, layer) for layer in range(sizes.layers)]
        turn = Turn(self.adapter.rotary, [[s] for s in sink], last, sizes.axes, listener)
        turn.begin(last)
        self.adapter.decode_step(self.adapter.embed(ids[:last]), turn, {})
        return listener.vectors()

    def _select(self, blind: Tensor, known: scope.Scope, asked: Asked) -> Selection:
        """The best chunks of each layer, and the moments that stand out over all layers."""
        if asked.select is None:
            top_k = asked.top_k or self.pace.top_k
            found, _ = self._index.search(blind, top_k, known.first, known.last)
            by_layer = [sorted(row) for row in found.tolist()]
        else:
            by_layer = [sorted(row) for row in asked.select(known, len(blind))]
        scores = [self._index.scores(blind, known.first, known.last).cpu()]
        candidates: list[int] = self._index.numbers(known.first, known.last).tolist()
        for info in known.window:
            keys = summarize(self._segment(info.number).keys)
            scores.append((blind * keys).sum(1, keepdim=True).cpu())
            candidates.append(info.number)
        if not candidates:
            return Selection(by_layer, ())
        recipe, dim = self.adapter.recipe, self.adapter.shape.head_dim
        share = shares(torch.cat(scores, 1), dim, recipe.sharpness)
        best = peaks(candidates, share, self.config.evidence)
        return Selection(by_layer, tuple(self._moment(p.first, p.last, p.score) for p in best))

    def _context(self, selection: Selection, known: scope.Scope, room: int) -> tuple[Turn, float]:
        """Bring the chunks and lay out ``[sink | recalled | window]`` for each layer."""
        sizes = self.adapter.shape
        window = [self._segment(info.number) for info in known.window]
        arrived, wanted = 0, 0
        context = []
        for layer in range(sizes.layers):
            segments = [_layer_of(self.window.sink, layer)]
            for number in selection.by_layer[layer]:
                wanted += 1
                segment = self._layer_segment(number, layer)
                if segment is not None:
                    arrived += 1
                    segments.append(segment)
            segments += [_layer_of(segment, layer) for segment in window]
            context.append(segments)
        turn = Turn(self.adapter.rotary, context, room, sizes.axes)
        if turn.next_position + room > sizes.trained_tokens:
            raise ValueError(
                f"{turn.context_tokens} tokens of context and {room} of question and answer: the "
                f"model was trained for {sizes.trained_tokens}. Lower --top-k or --window"
            )
        return turn, arrived / wanted if wanted else 1.0

    def _next_logits(self, turn: Turn, ids: Tensor) -> Tensor:
        """Put tokens behind the turn; logits ``[V]`` of what follows them."""
        turn.begin(len(ids))
        hidden = self.adapter.decode_step(self.adapter.embed(ids), turn, {})
        turn.commit()
        return self.adapter.logits(hidden[-1:])[0]

    def _fit_dialogue(self, asked: Asked) -> list[tuple[str, str]]:
        """The newest turns that fit into ``dialogue_tokens``."""
        alone = len(self.adapter.prompt(asked.question).ids)
        for start in range(len(asked.dialogue)):
            kept = list(asked.dialogue[start:])
            prompt = self.adapter.prompt(asked.question, kept)
            if len(prompt.ids) - alone <= self.config.dialogue_tokens:
                return kept
        return []

    def _segment(self, number: int) -> Segment:
        """A chunk, all layers, from the window or the store."""
        live = self.window.infos
        if live and number >= live[0].number:
            return self.window.segments()[number - live[0].number]
        return self._place(self._store.read(number))

    def _layer_segment(self, number: int, layer: int) -> Segment | None:
        """One layer of a chunk that was evicted; None where it cannot be read."""
        try:
            keys, values = self._store.layer(number, layer)
            positions, _ = self._store.positions(number)
        except (LookupError, OSError):
            return None
        device = self.adapter.device
        return Segment(keys.to(device), values.to(device), positions)

    def _place(self, chunk: Chunk) -> Segment:
        device = self.adapter.device
        return Segment(chunk.keys.to(device), chunk.values.to(device), chunk.positions)

    def _moment(self, first: int, last: int, score: float) -> Moment:
        begin, end = self._info(first), self._info(last)
        return Moment(begin.start_s, end.end_s, score, begin.camera, self._store.album.jpeg(first))

    def _info(self, number: int) -> ChunkInfo:
        live = self.window.infos
        if live and number >= live[0].number:
            return live[number - live[0].number]
        return self._store.info(number)


def _layer_of(segment: Segment, layer: int) -> Segment:
    return Segment(segment.keys[layer], segment.values[layer], segment.positions)
