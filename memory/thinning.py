"""A seam for methods that leave a chunk with fewer tokens: by dropping some, or merging alike ones.

A method sees a chunk by itself, without any question: at the time at which a chunk ages nobody
knows what will be asked.  What is left says for each token how many original ones it stands for.
No method ships, and attention does not weigh tokens yet; `thin` is what each one goes through.

L layers, H key/value heads, T tokens, D head dimension, A position axes.
"""

from dataclasses import replace
from typing import Protocol

import torch

from longtake.memory.chunk import Chunk


class Thinner(Protocol):
    """One method.  Pure: the same chunk always gives the same result."""

    @property
    def name(self) -> str: ...

    def thin(self, chunk: Chunk, tokens: int) -> Chunk:
        """A chunk of at most so many tokens.

        Args:
            chunk: whose ``weights`` are None (one each) or what an earlier pass left.
            tokens: at least 1.

        Returns:
            Keys and values ``[L, H, T', D]``, int32 positions ``[A, T']`` of the survivors, and
            float32 weights ``[T']``.  Merged tokens add their weights up; dropped ones are
            stood for by those that are left, so that the sum stays.
        """
        ...


def thin(thinner: Thinner, chunk: Chunk, tokens: int) -> Chunk:
    """Let a method shorten a chunk, and hold it to its word.

    Raises:
        ValueError: if fewer than 1 token is asked for, or if what came back is longer, weighs
            something else, has another geometry, or its tokens are not in their old order.
    """
    if tokens < 1:
        raise ValueError(f"tokens={tokens}: a chunk holds at least 1")
    if chunk.tokens <= tokens:
        return chunk
    found = thinner.thin(chunk, tokens)
    what = f"{thinner.name} made {found} of {chunk}"
    if found.tokens > tokens or replace(found.info, tokens=chunk.tokens) != chunk.info:
        raise ValueError(f"{what}: asked for at most {tokens} tokens of the same chunk")
    if (found.layers, found.heads, found.dim) != (chunk.layers, chunk.heads, chunk.dim):
        raise ValueError(f"{what}: layers, heads and dimension must stay")
    if found.weights is None or not torch.isclose(found.weights.sum(), _weight(chunk)):
        raise ValueError(f"{what}: the weights' sum must stay {float(_weight(chunk)):g}")
    first_axis = found.positions[0]
    if bool((first_axis[1:] < first_axis[:-1]).any()):
        raise ValueError(f"{what}: tokens must stay in their order")
    return found


def _weight(chunk: Chunk) -> torch.Tensor:
    """How many original tokens a chunk stands for."""
    if chunk.weights is None:
        return torch.tensor(float(chunk.tokens))
    return chunk.weights.sum()
