"""The outermost boxes of an MP4 or QuickTime file: enough to tell where its index lies.

A box is ``[size u32, name, ...]``; a size of 1 means that a u64 follows, 0 the rest of the file.
What the boxes hold is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

INDEX = b"moov"
PICTURES = b"mdat"
FIRST_NAMES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})


def box_names(read_at: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """Names of the outermost boxes, in order.

    Args:
        read_at: gives up to so many bytes (second argument) from an offset (first) on.
    """
    at = 0
    while len(head := read_at(at, 16)) >= 8:
        yield head[4:8]
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            return
        at += length


def has_index(read_at: Callable[[int, int], bytes]) -> bool:
    """Whether there is an index at all."""
    return INDEX in box_names(read_at)


def has_index_behind_pictures(read_at: Callable[[int, int], bytes]) -> bool:
    """Whether the pictures come first, so that only who can go back can show them."""
    for number, name in enumerate(box_names(read_at)):
        if number == 0 and name not in FIRST_NAMES:
            return False
        if name in (INDEX, PICTURES):
            return name == PICTURES
    return False
