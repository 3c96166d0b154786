"""From the model's device to this process's own RAM: copies that the model cannot change.

On the CPU a copy is a copy.  From CUDA chunks go through pinned buffers on a stream of their own,
which waits for the computation that makes them, and which the computation waits for before it
overwrites them; who reads a copy waits for its event.  Where pages cannot be pinned copies are
pageable and synchronous, which is told once.

L layers, H key/value heads, T tokens, D head dimension, W = H*D.
"""

import logging
import threading
from collections.abc import Callable

import torch
from torch import Tensor

from longtake.memory.chunk import Chunk

_log = logging.getLogger(__name__)


class Staged:
    """A chunk on its way off the device; asking for it waits until its copy is whole."""

    def __init__(self, make: Callable[[], Chunk], vectors: Tensor, nbytes: int) -> None:
        self._make, self._vectors = make, vectors
        self._lock = threading.Lock()
        self.nbytes = nbytes
        self._chunk: Chunk | None = None

    @property
    def chunk(self) -> Chunk:
        with self._lock:
            if self._chunk is None:
                self._chunk = self._make()
            return self._chunk

    @property
    def vectors(self) -> Tensor:
        """Search vectors float32 ``[L, W]``."""
        _ = self.chunk
        return self._vectors


class Staging:
    """Copies chunks off their device.

    Args:
        pin: gives a pinned tensor of a size in bytes, or fails with RuntimeError.
    """

    def __init__(self, pin: Callable[[int], Tensor] | None = None) -> None:
        self._pin = pin or _pinned
        self._is_pinnable = True
        self._stream: torch.cuda.Stream | None = None

    def copy(self, chunk: Chunk, vectors: Tensor) -> Staged:
        """A private copy on the CPU; whole at once but from CUDA."""
        if chunk.keys.device.type == "cuda" and self._is_pinnable:
            try:
                return self._copy_beside(chunk, vectors)
            except RuntimeError as error:
                self._is_pinnable = False
                _log.warning(
                    "pages cannot be pinned (%s): chunks are copied synchronously, and seeing "
                    "waits for each. In a container raise its limit of locked memory (ulimit -l)",
                    str(error).partition("\n")[0],
                )
        own = Chunk(
            chunk.info,
            _copy(chunk.keys),
            _copy(chunk.values),
            _copy(chunk.positions),
            None if chunk.weights is None else _copy(chunk.weights),
        )
        flat = vectors.detach().to("cpu", torch.float32, copy=True).contiguous()
        return Staged(lambda: own, flat, own.nbytes)

    def _copy_beside(self, chunk: Chunk, vectors: Tensor) -> Staged:
        given = [chunk.keys, chunk.values, chunk.positions, vectors.float()]
        if chunk.weights is not None:
            given.append(chunk.weights)
        targets = [self._target(tensor) for tensor in given]  # fails before anything is queued
        stream = self._stream = self._stream or _stream_on(chunk.keys.device)
        computing = torch.cuda.current_stream(chunk.keys.device)
        stream.wait_stream(computing)
        with torch.cuda.stream(stream):
            for target, tensor in zip(targets, given, strict=True):
                target.copy_(tensor.detach(), non_blocking=True)
                if tensor.is_cuda:
                    tensor.record_stream(stream)
            done = stream.record_event()
        computing.wait_event(done)  # what comes next may overwrite the window
        keys, values, positions, flat = targets[:4]
        weights = targets[4] if chunk.weights is not None else None

        def make() -> Chunk:
            done.synchronize()
            return Chunk(chunk.info, keys, values, positions, weights)

        return Staged(make, flat, chunk.nbytes)

    def _target(self, tensor: Tensor) -> Tensor:
        flat = self._pin(tensor.nbytes)
        return flat.view(tensor.dtype).view(tensor.shape)


def _stream_on(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _pinned(nbytes: int) -> Tensor:
    return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)


def unpinned(chunk: Chunk) -> Chunk:
    """The chunk in pages that the system may move: a copy where it is pinned."""
    if not chunk.keys.is_pinned():
        return chunk
    weights = None if chunk.weights is None else _copy(chunk.weights)
    own = (_copy(chunk.keys), _copy(chunk.values), _copy(chunk.positions))
    return Chunk(chunk.info, *own, weights)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
