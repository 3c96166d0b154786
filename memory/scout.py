"""A block's rows in 8 bits: a first look that knows how far off it can be.

Each channel of a layer is shifted to the middle of its range and divided by a scale, so that its
values become whole numbers of -127 to 127.  The scale moves into the query:

    row = middle + scale * code + rest        |rest| <= radius
    query . row = query . middle + (query * scale) . code + query . rest

so the first two terms are off by no more than ``|query| * radius`` (Cauchy-Schwarz).  FAISS
multiplies with the codes; `QT_8bit_uniform`, because `QT_8bit_direct_signed` rounds the query to
whole numbers where the processor has a fast product for them.

L layers, l of them asked, n rows, m found, W = H*D width of a search vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.memory.chunk_numbers import Places
from longtake.memory.faiss_search import import_faiss

Scores = NDArray[np.float64]

_MOST = 127
_NEAR_OVERFLOW = 1e37
_AT_ONCE = 512  # rows that stay in a processor's cache while they are coded
_OUTGROWN = 2.0  # new rows that the scale fits this much worse: it is made anew


class Scout:
    """The first rows of a block.

    Args:
        rows: float32 ``[L, n, W]``, n at least 1, on the CPU, every number finite.
    """

    def __init__(self, rows: Tensor) -> None:
        self._faiss = import_faiss("staged")
        low, high = rows.amin(1), rows.amax(1)  # [L, W]
        self._middle = low / 2 + high / 2  # [L, W]
        self._scale = (high / 2 - low / 2).div_(_MOST).clamp_min_(torch.finfo(torch.float32).tiny)
        self._layers = [self._empty(rows.shape[2]) for _ in rows]
        self._radius = np.zeros(len(rows))  # [L]: the greatest rest
        self._largest = np.zeros(len(rows))  # [L]: the greatest length of a row
        self.count = 0
        self.add(rows)
        self._first_radius = self._radius.copy()

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and middles."""
        codes = sum(int(index.codes.size()) for index in self._layers)
        return codes + self._middle.nbytes + self._scale.nbytes

    @property
    def is_outgrown(self) -> bool:
        """Rows that came later lie far beyond the range of the first ones."""
        return bool((self._radius > _OUTGROWN * self._first_radius).any())

    def add(self, rows: Tensor) -> None:
        """The block's next rows, ``[L, n, W]``."""
        for layer, index in enumerate(self._layers):
            codes = torch.empty(rows.shape[1:])
            for begin in range(0, len(codes), _AT_ONCE):
                some = rows[layer, begin : begin + _AT_ONCE]
                coded = codes[begin : begin + _AT_ONCE]
                rest = some - self._middle[layer]
                torch.div(rest, self._scale[layer], out=coded)
                coded.round_().clamp_(-_MOST, _MOST)
                rest -= coded * self._scale[layer]
                self._radius[layer] = max(self._radius[layer], float(rest.norm(dim=1).max()))
                self._largest[layer] = max(self._largest[layer], float(some.norm(dim=1).max()))
            index.add(codes.numpy())
        self.count += rows.shape[1]

    def remove(self, places: Places) -> None:
        """Rows of the block, rising; those behind move up."""
        known = places[places < self.count]
        if not len(known):
            return
        for index in self._layers:
            index.remove_ids(self._faiss.IDSelectorBatch(known))
        self.count -= len(known)

    def aim(self, layers: slice, query: Tensor) -> Aim:
        """Ready to be searched with the queries float32 ``[l, W]`` of some layers."""
        shift = (query.double() * self._middle[layers].double()).sum(1).numpy()
        scaled = (query * self._scale[layers]).numpy()
        return Aim(self._faiss, self._layers[layers], scaled, shift, self._errors(layers, query))

    def _errors(self, layers: slice, query: Tensor) -> Scores:
        """How far scores can be off, ``[l]``, float32's rounding included: that of sums, and that
        of codes, which FAISS gives back as whole numbers but for the last bits.  Infinite where
        products may not be finite."""
        middle = self._middle[layers].double().norm(dim=1).numpy()
        scale = self._scale[layers].double().norm(dim=1).numpy()
        length = query.double().norm(dim=1).numpy()
        reach = self._largest[layers] + 2 * middle
        sums = query.shape[1] * 2.0**-23 * reach
        errors: Scores = length * (1.001 * self._radius[layers] + sums + 2.0**-16 * scale)
        return np.where(length * reach < _NEAR_OVERFLOW, errors, np.inf)

    def _empty(self, width: int) -> Any:
        quantizer = self._faiss.ScalarQuantizer.QT_8bit_uniform
        index = self._faiss.IndexScalarQuantizer(width, quantizer, self._faiss.METRIC_INNER_PRODUCT)
        # Parted into 255 steps of 1, each decoded to its middle: -127, -126, ... 127.
        ends = np.array([[-_MOST - 0.5], [_MOST + 0.5]], np.float32)
        index.train(np.ascontiguousarray(ends.repeat(width, 1)))
        return index


class Aim:
    """A block's codes and the queries of some layers; ``i`` is the i-th of those layers."""

    def __init__(
        self, faiss: Any, indexes: list[Any], scaled: Any, shift: Scores, errors: Scores
    ) -> None:
        self._faiss, self._indexes, self._scaled, self._shift = faiss, indexes, scaled, shift
        self.errors = errors  # [l]: how far scores can be off

    def best(self, i: int, m: int, low: int, high: int, at: Places | None) -> tuple[Places, Scores]:
        """The m rows of ``[low, high)``, or of these only ``at``, with the highest scores."""
        index = self._indexes[i]
        chosen = self._chosen(index.ntotal, low, high, at)
        scores, places = index.search(self._scaled[i : i + 1], m, params=chosen)
        is_here = places[0] >= 0
        return places[0][is_here], scores[0][is_here] + self._shift[i]

    def above(self, i: int, least: float, low: int, high: int, at: Places | None) -> Places:
        """All of them with a higher score than ``least``, rising."""
        index, raw = self._indexes[i], np.float32(least - self._shift[i])
        raw = np.nextafter(raw, np.float32(-np.inf))  # not less for having been rounded
        chosen = self._chosen(index.ntotal, low, high, at)
        query = self._scaled[i : i + 1]
        _, _, places = index.range_search(query, float(raw), params=chosen)
        found: Places = np.sort(places)
        return found

    def _chosen(self, count: int, low: int, high: int, at: Places | None) -> Any:
        """FAISS's parameters for a choice of rows; None: all of them."""
        if at is not None:
            mask = np.zeros(count, np.bool_)
            mask[at] = True
            selector = self._faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        elif low or high < count:
            selector = self._faiss.IDSelectorRange(low, high)
        else:
            return None
        return self._faiss.SearchParameters(sel=selector)
