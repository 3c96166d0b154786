"""Ends of several things, none of which may keep the others from theirs."""

from __future__ import annotations

from collections.abc import Callable


def in_turn(*ends: Callable[[], object]) -> None:
    """Call each of them, whatever the others raise; then raises what the first one raised."""
    first: Exception | None = None
    for end in ends:
        try:
            end()
        except Exception as error:
            first = first or error
    if first is not None:
        raise first
