"""Moments as HTML: their pictures, times and scores, and links that open them.

Every word of a model, a camera or a file is escaped here.  Pictures are fetched from the server by
their number; what opens a moment stands in the page's scripts, which follow links of `link`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from longtake.ui.needs import Hit, Shown
from longtake.ui.view import span

MOST_CAPTION = 200  # letters of one
NOTHING_FOUND = (
    "Nothing seen so far fits these words. Use words for things that can be seen, "
    "or clear the selected span, and look again."
)


def evidence(take: str, moments: Sequence[Shown]) -> str:
    """A strip, in the order given."""
    if not moments:
        return ""
    tiles = "".join(f"<li>{_tile(take, moment)}</li>" for moment in moments)
    return f'<ul class="lt-evidence" aria-label="What this answer rests on">{tiles}</ul>'


def hits(take: str, found: Sequence[Hit]) -> str:
    """A list with what each was found by; says what to do where there is none."""
    if not found:
        return f'<p class="lt-empty">{NOTHING_FOUND}</p>'
    rows = "".join(f"<li>{_tile(take, hit.moment)}{_found_by(hit)}</li>" for hit in found)
    return f'<ol class="lt-hits" aria-label="What was found">{rows}</ol>'


def link(moment: Shown) -> str:
    """What the page's scripts open as a moment."""
    number = "" if moment.number is None else str(moment.number)
    return f"#moment={number}@{moment.start_s:g}-{moment.end_s:g}"


def picture(take: str, number: int) -> str:
    """Its address on this server."""
    return f"/v1/takes/{quote(take, safe='')}/frames/{number}.jpg"


def _tile(take: str, moment: Shown) -> str:
    when = span(moment.start_s, moment.end_s)
    share = round(100 * min(1.0, max(0.0, moment.score)))
    seen = '<span class="lt-no-picture">no picture</span>'
    if moment.number is not None:
        seen = f'<img src="{picture(take, moment.number)}" alt="{when}" loading="lazy">'
    camera = f'<span class="lt-camera">{escape(moment.camera)}</span>' if moment.camera else ""
    return (
        f'<a class="lt-tile" href="{escape(link(moment))}" title="Open {when}">'
        f'{seen}<span class="lt-when">{when}</span>{camera}'
        f'<span class="lt-score" role="img" aria-label="score {share} %">'
        f'<i style="width:{share}%"></i></span></a>'
    )


def _found_by(hit: Hit) -> str:
    by = ", ".join(_BY.get(each, each) for each in hit.matched)
    said = hit.caption or ""
    caption = f"<q>{escape(said[:MOST_CAPTION])}</q>" if said else ""
    return f'<div class="lt-found">{caption}<span class="lt-by">found by {escape(by)}</span></div>'


_BY = {"keys": "what was seen", "caption": "what was said of it"}
