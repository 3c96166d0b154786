"""What happens to one frame.

Frames become a `Step`; the mode's stream puts it through ``plan -> forward -> commit``, and what
leaves the window goes to store and index.  Single-threaded, deterministic, with no clock of its
own.  What happens to a question stands in `answering`; it reads a session and changes nothing of
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from longtake.memory.base import Index
from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.layout import Segment
from longtake.memory.store import Store
from longtake.models.base import Adapter, Image, Step
from longtake.modes import find_mode
from longtake.modes.base import Held, window_shape
from longtake.settings import TakeConfig
from longtake.streaming.frame import Frame


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
        self._waiting: list[Frame] = []  # fewer than a step's
        self._leaving: list[Chunk] = []  # left the window, not yet in the store
        self.listeners: list[Callable[[ChunkInfo], None]] = []  # are told of each new chunk
        self.frames = 0
        self.chunks = 0  # in the window and beyond
        self.newest_s = 0.0  # session time of the newest frame in a chunk
        with torch.inference_mode():
            self.stream = self.mode.stream(adapter, self.pace, config)
            self._restore()

    @property
    def window(self) -> Held:
        """The newest part of the stream, on the device."""
        return self.stream.window

    # ---------------------------------------------------------------- frames

    def see(self, frames: Sequence[Frame]) -> int:
        """Take in frames in time order; returns how many chunks they completed.

        Frames that do not fill a step wait for the next ones (`flush` ends the wait).  Frames
        that fail are not tried again; a chunk that the store refused is, before any frame.
        """
        self._store_leaving()
        each = self.adapter.recipe.frames_per_step
        done = 0
        for frame in frames:
            if self._waiting and self._waiting[0].camera != frame.camera:
                done += self.flush()  # a chunk never mixes cameras
            self._waiting.append(frame)
            full = len(self._waiting) // each * each
            if full >= self.config.batch_frames:
                done += self._take_first(full)
        done += self._take_first(len(self._waiting) // each * each)
        self.frames += len(frames)
        return done

    def flush(self) -> int:
        """Complete a waiting step by repeating its last frame; returns the chunks made (0 or 1)."""
        if not self._waiting:
            return 0
        missing = -len(self._waiting) % self.adapter.recipe.frames_per_step
        self._waiting += self._waiting[-1:] * missing
        return self._take_first(len(self._waiting))

    def drop_waiting(self, since_s: float) -> None:
        """Forget frames from then on that do not fill a step: they will come again."""
        kept = [frame for frame in self._waiting if frame.pts_s < since_s]
        self.frames -= len(self._waiting) - len(kept)
        self._waiting = kept

    def save(self) -> None:
        """Write what is in the window too, so that opening the memory again restores it.

        A memory that is only read was written by somebody else: there is nothing to add.
        """
        if self._store.read_only:
            return
        self._store_leaving()
        for chunk in self.window.chunks():
            self._store.put(chunk, summarize(chunk.keys))
        self._store.sync()

    def close(self) -> None:
        """Complete a waiting step, and save."""
        try:
            self.flush()
        finally:
            self.save()

    def _take_first(self, count: int) -> int:
        """Take in the frames that have waited longest; they wait no more, whatever happens."""
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        return self._take_in(ready) if ready else 0

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
            self._take_step(step, info, first.image)
        return len(steps)

    def _take_step(self, step: Step, info: ChunkInfo, image: Image) -> None:
        self._leaving += self.stream.put(step, info)
        self.chunks, self.newest_s = info.number + 1, info.end_s
        self._store.album.put(info.number, image)
        self._store_leaving()
        for listener in self.listeners:
            listener(info)

    def _store_leaving(self) -> None:
        while self._leaving:
            chunk = self._leaving[0]
            vectors = summarize(chunk.keys)
            self._store.put(chunk, vectors)
            self.index.add(chunk.info.number, vectors.cpu())
            del self._leaving[0]

    def _restore(self) -> None:
        """Search vectors of what was evicted to the index, the newest chunks to the window."""
        past = self._store.infos()
        if not past:
            return
        newest: list[Chunk] = []
        for info in reversed(self.stream.wanted(past)):
            try:
                newest.insert(0, self._store.read(info.number))
            except OSError:  # damaged: the window begins behind it
                break
        first = newest[0].info.number if newest else past[-1].number + 1
        numbers, vectors = self._store.all_vectors(0, first)
        if len(numbers):
            self.index.extend(numbers.tolist(), vectors)
        self.stream.restore(newest)
        self.chunks, self.newest_s = past[-1].number + 1, past[-1].end_s

    # ---------------------------------------------------------------- the past, to be read

    def past(self) -> list[ChunkInfo]:
        """All chunks in time order, those of the window last."""
        live = [*(chunk.info for chunk in self._leaving), *self.window.infos]
        past = self._store.infos(0, live[0].number if live else None)
        past += live
        return past

    def info(self, number: int) -> ChunkInfo:
        live = self.window.infos
        if live and number >= live[0].number:
            return live[number - live[0].number]
        return self._store.info(number)

    def segment(self, number: int) -> Segment:
        """A chunk, all layers, on the device: from the window (a view) or the store.

        Raises:
            LookupError, OSError: if the store cannot give it.
        """
        live = self.window.infos
        if live and number >= live[0].number:
            return self.window.segments()[number - live[0].number]
        chunk, device = self._store.read(number), self.adapter.device
        return Segment(chunk.keys.to(device), chunk.values.to(device), chunk.positions)

    def layer(self, number: int, layer: int) -> Segment:
        """One layer of an evicted chunk, on the device.  Raises like `segment`."""
        keys, values = self._store.layer(number, layer)
        positions, _ = self._store.positions(number)
        device = self.adapter.device
        return Segment(keys.to(device), values.to(device), positions)

    def thumbnail(self, number: int) -> bytes | None:
        """JPEG of a chunk's first frame."""
        return self._store.album.jpeg(number)
