"""What happens to one frame.

Frames become a `Step`; the mode's stream puts it through ``plan -> forward -> commit``, and what
leaves the window goes to store and index.  Single-threaded, deterministic, with no clock of its
own.  What happens to a question stands in `answering`; it reads a session and changes nothing of
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor

from longtake import scope
from longtake.filling import Filling, count
from longtake.memory.album import Caption
from longtake.memory.base import Index
from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.events import Event
from longtake.memory.fetching import Fetch
from longtake.memory.forgetting import Forgotten
from longtake.memory.index import realign
from longtake.memory.ladder import PICTURE
from longtake.memory.layout import Segment
from longtake.memory.marks import Gap
from longtake.memory.store import Store
from longtake.models.base import Adapter, Image, Step
from longtake.modes import find_mode
from longtake.modes.base import Held, window_shape
from longtake.settings import TakeConfig
from longtake.streaming.frame import Frame
from longtake.stretch import LATEST_S, SEEN, Hidden, Stretch

_HIDDEN = "hidden"  # name of a note


class Session:
    """One stream and its memory, driven by one thread at a time.

    Args:
        store: of this stream; the session does not close it.
        index: empty; filled from the store.
    """

    def __init__(
        self,
        adapter: Adapter,
        store: Store,
        index: Index,
        config: TakeConfig,
    ) -> None:
        self.adapter, self.config = adapter, config
        self._store, self.index = store, index
        self.mode = find_mode(config.mode)
        self.pace = self.mode.pace(config, adapter)
        self.window_shape = window_shape(adapter, self.pace)
        self._filling = Filling(adapter.recipe.frames_per_step)
        self._leaving: list[Chunk] = []  # left the window, not yet in the store
        self.listeners: list[Callable[[ChunkInfo], None]] = []  # are told of each new chunk
        self.frames = 0  # that are in a chunk
        self.forgotten_frames = 0  # that were forgotten before they were in a chunk
        self.left_frames = 0  # half a step of a file that was stopped: to be read again
        self.next_number = 0  # of the next chunk; what was forgotten keeps its number
        self.seen_s: float | None = None  # session time of the newest frame that was taken in
        self._ended_s = -math.inf  # where the newest chunk ends
        self._keyless: frozenset[int] = frozenset()  # chunks of which only the picture is left
        self._unreadable: frozenset[int] = frozenset()  # without search vectors: damaged
        self._restored = -1, -1  # generation and next number of the store, when it was read
        self._generation = -1  # of the store, when the index was made to fit it
        self._unstored = 0  # chunks that were never put
        self._last_chunks: int | None = None  # how many were held when it was closed
        self.live: tuple[ChunkInfo, ...] = ()  # on the device, in time order; for other threads
        self._hidden = Hidden(store.noted(_HIDDEN, []))
        with torch.inference_mode():
            self.stream = self.mode.stream(adapter, self.pace, config)
            self._restore({})

    @property
    def window(self) -> Held:
        """The newest part of the stream, on the device."""
        return self.stream.window

    @property
    def waiting(self) -> int:
        """Frames that do not fill a step."""
        return len(self._filling)

    @property
    def newest_s(self) -> float:
        """`seen_s`, and 0 before the first frame."""
        return self.seen_s or 0.0

    @property
    def chunks(self) -> int:
        """How many are held, in the window and beyond."""
        if self._last_chunks is not None:
            return self._last_chunks
        return len(self._store) + self._unstored

    # ---------------------------------------------------------------- frames

    def see(self, frames: Sequence[Frame]) -> int:
        """Take in frames in time order; returns how many chunks they completed."""
        return sum(1 for _ in self.seeing(frames))

    def seeing(self, frames: Sequence[Frame]) -> Iterator[None]:
        """The same chunk by chunk: a question may be answered after each.

        Frames that do not fill a step wait for the next ones (`flush` ends the wait).  Frames
        that fail are not tried again; a chunk that the store refused is, before any frame.
        """
        self._store_leaving()
        whole: list[Sequence[Frame]] = []
        for frame in frames:
            if self._hidden.has(frame):
                self.forgotten_frames += 1
                self.seen_s = max(frame.pts_s, self.newest_s)
                continue
            whole += self._filling.add(frame)
            if sum(map(len, whole)) >= self.config.batch_frames:
                ready, whole = whole, []
                yield from self._take_in(ready)
        yield from self._take_in(whole)

    def flush(self) -> int:
        """Complete steps that wait by repeating their last frames; returns the chunks made."""
        return sum(1 for _ in self._take_in(self._filling.flush()))

    def drop_waiting(self, since_s: float) -> None:
        """Forget frames from then on that do not fill a step: they will come again."""
        self.left_frames += self._filling.drop(lambda frame: frame.pts_s >= since_s)

    def save(self) -> None:
        """Write what is in the window too, so that opening the memory again restores it.

        A memory that is only read was written by somebody else: there is nothing to add.
        """
        if self._store.read_only:
            return
        self._store_leaving()
        self._write_window(self.next_number)
        self._store.sync()

    def close(self) -> None:
        """Complete a waiting step, and save."""
        try:
            self.flush()
        finally:
            try:
                self.save()
            finally:
                self._last_chunks = self.chunks

    def _take_in(self, whole: Sequence[Sequence[Frame]]) -> Iterator[None]:
        """Steps that follow one another of one camera: vision at once, then one by one through
        the decoder.  They wait no more, whatever happens."""
        for camera, steps in groupby(whole, lambda step: step[0].camera):
            frames = list(steps)
            flat = [frame for step in frames for frame in step]
            images: list[Image] = [frame.image for frame in flat]
            with torch.inference_mode():
                made = self.adapter.steps(images, [frame.pts_s for frame in flat], camera)
            for step, of in zip(made, frames, strict=True):
                with torch.inference_mode():
                    self._take_step(step, self._info(step, of[0].wall_s), of[0].image)
                self.frames += count(of)
                yield

    def _info(self, step: Step, wall_s: float | None) -> ChunkInfo:
        """Of the next chunk.  Chunks end in the order of time: one whose camera was a little
        slower than another reaches to that one's end.  It begins when it was seen."""
        start_s, end_s = step.start_s, max(self._ended_s, step.end_s)
        return ChunkInfo(self.next_number, start_s, end_s, step.camera, wall_s, tokens=step.tokens)

    def _take_step(self, step: Step, info: ChunkInfo, image: Image) -> None:
        self._leaving += self.stream.put(step, info)
        self.next_number, self.seen_s = info.number + 1, max(self.newest_s, info.end_s)
        self._ended_s = info.end_s
        self._unstored += 1
        self._store.album.put(info.number, image)
        self._publish()
        self._store_leaving()
        for listener in self.listeners:
            listener(info)

    def _publish(self) -> None:
        """Whoever looks from another thread sees what was before or what is now, whole."""
        self.live = tuple(self._live_infos())

    def _store_leaving(self) -> None:
        if not self._leaving:
            return
        while self._leaving:
            chunk = self._leaving[0]
            vectors = summarize(chunk.keys)
            if self._archive(chunk, vectors):
                self.index.add(chunk.info.number, vectors.cpu())
            del self._leaving[0]
        self._publish()

    def _archive(self, chunk: Chunk, vectors: Tensor) -> bool:
        """To the store; whether it can be recalled from there."""
        number = chunk.info.number
        if number < self._store.next_number:  # put while it was in the window; it may have aged
            return number in self._store and self._store.has_keys(number)
        return self._put(chunk, vectors)  # False: the disk is too slow, see `Store.gaps`

    def _write_window(self, behind: int) -> None:
        """Put the chunks before a number that have not left yet.  A slow disk is waited for: one
        that were dropped here could not be put when it leaves."""
        for chunk in (*self._leaving, *self.window.chunks()):
            if self._store.next_number <= chunk.info.number < behind:
                self._store.drain()
                self._put(chunk, summarize(chunk.keys))

    def _put(self, chunk: Chunk, vectors: Tensor) -> bool:
        is_kept = self._store.put(chunk, vectors)
        self._unstored -= 1
        return is_kept

    # ---------------------------------------------------------------- what became of the memory

    def refresh(self) -> None:
        """Where this memory is only read: follow its writer, by what that made durable or forgot
        since the last time.  Before each question."""
        store = self._store
        if not store.read_only:
            return
        store.refresh()
        if (store.generation, store.next_number) == self._restored:
            return
        with torch.inference_mode():
            held = {chunk.info.number: chunk for chunk in self.window.chunks()}
            self.stream = self.mode.renew(self)
            self._restore(held)

    def _restore(self, held: Mapping[int, Chunk]) -> None:
        """The newest chunks to the window, search vectors of those before to the index.

        Args:
            held: chunks that need not be read.
        """
        self._restored = self._store.generation, self._store.next_number  # what comes later is new
        self._look_for_keys()
        past = self._with_keys(self._store.infos())
        newest: list[Chunk] = []
        for info in reversed(self.stream.wanted(past)):
            try:
                newest.insert(0, held.get(info.number) or self._store.read(info.number))
            except (LookupError, OSError):  # damaged, or gone: the window begins behind it
                break
        self.next_number = max(self.next_number, self._store.next_number)
        self._align(newest[0].info.number if newest else self.next_number)
        self.stream.restore(newest)
        self._ended_s = max([self._ended_s, *(info.end_s for info in past[-1:])])
        seen = [self.seen_s, self._store.noted(SEEN), past[-1].end_s if past else None]
        self.seen_s = max((at_s for at_s in seen if at_s is not None), default=None)
        self._publish()

    def _align(self, behind: int) -> None:
        """Make the index hold the chunks before a number that can be recalled."""
        self._look_for_keys()
        numbers = self._store.keyed(0, behind)
        realign(
            self.index,
            [number for number in numbers if number not in self._unreadable],
            lambda first, _: self._store.all_vectors(first, behind),
        )
        self._unreadable = frozenset(numbers).difference(self.index.numbers().tolist())

    def _look_for_keys(self) -> None:
        """Chunks lose their keys one by one as they grow old."""
        self._generation = self._store.generation
        self._keyless = frozenset()
        if self._store.rungs().get(PICTURE):
            held = (info.number for info in self._store.infos())
            self._keyless = frozenset(held).difference(self._store.keyed())

    def touching(self, stretch: Stretch) -> list[int]:
        """Numbers of the chunks that are meant by it, rising."""
        return [info.number for info in self.held() if stretch.touches(info)]

    @torch.inference_mode()
    def forget(self, stretch: Stretch, received_s: float = -math.inf) -> Forgotten:
        """Forget the chunks that touch a stretch, wherever they are, and its frames that wait.

        The window is made anew from the chunks that stay.

        Args:
            received_s: frames up to here have come; those of the stretch are not seen later.

        Raises:
            OSError: if the disk failed; what is left of it goes the next time.
        """
        self._hide(stretch, received_s)
        self._store.note(SEEN, self.seen_s)  # a source goes on behind what was forgotten
        self.index.remove(self.touching(stretch))
        live, beyond = self._live_infos(), self._store.next_number
        gone = {info.number: info for info in live if stretch.touches(info)}
        self._leaving = [c for c in self._leaving if c.info.number not in gone]
        if any(info.number in gone for info in self.window.infos):
            self._renew([c for c in self.window.chunks() if c.info.number not in gone])
        self.stream.wipe()
        self._publish()
        unstored = [info for number, info in gone.items() if number >= beyond]
        if unstored:  # numbers only rise: those before come first
            self._write_window(unstored[-1].number)
        self._unstored -= len(unstored)
        return self._store.forget(stretch.start_s, stretch.end_s, stretch.camera, unstored=unstored)

    def _hide(self, stretch: Stretch, received_s: float) -> None:
        """Forget frames that are in no chunk yet, now and when they come again; a camera may be
        a little behind what was seen of others."""
        self.forgotten_frames += self._filling.drop(stretch.has)
        seen_s = -math.inf if self.seen_s is None else self.seen_s
        received_s = max(received_s, self._filling.newest_s)
        begin_s = max(stretch.start_s, seen_s - LATEST_S)
        end_s = min(stretch.end_s, received_s)
        if end_s < begin_s:
            return
        self._hidden.add(Stretch(begin_s, end_s, stretch.camera), seen_s)
        self._store.note(_HIDDEN, self._hidden.to_note())

    def _renew(self, kept: Sequence[Chunk]) -> None:
        """A new window of these chunks; those that it has no use for leave it."""
        self.stream = self.mode.renew(self)
        wanted = {info.number for info in self.stream.wanted([chunk.info for chunk in kept])}
        self.stream.restore([chunk for chunk in kept if chunk.info.number in wanted])
        self._leaving += [chunk for chunk in kept if chunk.info.number not in wanted]
        self._store_leaving()

    # ---------------------------------------------------------------- the past, to be read

    def held(self) -> list[ChunkInfo]:
        """All chunks in time order, those of the window last."""
        live = self._live_infos()
        past = self._store.infos(0, live[0].number if live else None)
        past += live
        return past

    def past(self) -> list[ChunkInfo]:
        """Those of them that can be attended to: not only their pictures are left.  No other
        chunk is in the index then."""
        if self._store.generation != self._generation:
            live = self._live_infos()
            self._align(live[0].number if live else self.next_number)
        past = self._with_keys(self.held())
        if self._store.generation != self._generation:  # some grew too old just now
            here = {info.number for info in past}
            self.index.remove([n for n in self.index.numbers().tolist() if n not in here])
        return past

    def info(self, number: int) -> ChunkInfo:
        live = self.window.infos
        place = scope.place_of(live, number)
        return self._store.info(number) if place is None else live[place]

    def caption(self, start_s: float, end_s: float, text: str) -> None:
        """Keep what was said about the newest chunk, or the newest of them."""
        camera = self.window.infos[-1].camera
        self._store.album.add_caption(start_s, end_s, text, camera)

    def captions(self, start_s: float, end_s: float) -> list[Caption]:
        """What was said about times that touch this span, in time order."""
        return self._store.album.captions(start_s, end_s)

    def captioned(self, words: str) -> list[Caption]:
        """What was said with all of these words in it."""
        return self._store.album.find(words)

    def gaps(self, start_s: float, end_s: float) -> list[Gap]:
        """What is missing of this span, in time order."""
        held = self._store.gaps()
        return [gap for gap in held if gap.start_s <= end_s and start_s <= gap.end_s]

    def log(self, event: Event) -> Event:
        """Keep what happened; returned with its number."""
        return self._store.log(event)

    def _live_infos(self) -> list[ChunkInfo]:
        return [*(chunk.info for chunk in self._leaving), *self.window.infos]

    def _with_keys(self, infos: list[ChunkInfo]) -> list[ChunkInfo]:
        if not self._keyless:
            return infos
        return [info for info in infos if info.number not in self._keyless]

    def segment(self, number: int) -> Segment:
        """A chunk, all layers, on the device: from the window (a view) or the store.

        Raises:
            LookupError, OSError: if the store cannot give it.
        """
        place = scope.place_of(self.window.infos, number)
        if place is not None:
            return self.window.segments()[place]
        chunk, device = self._store.read(number), self.adapter.device
        return Segment(chunk.keys.to(device), chunk.values.to(device), chunk.positions)

    def fetch(
        self,
        by_layer: Sequence[Sequence[int]] | None = None,
        *,
        patience_s: float | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Fetch:
        """Begin to read evicted chunks layer by layer, as `memory.fetching.Fetch` says."""
        return self._store.fetch(by_layer, patience_s=patience_s, is_over=is_over)

    def thumbnail(self, number: int) -> bytes | None:
        """JPEG of a chunk's first frame."""
        return self._store.album.jpeg(number)
