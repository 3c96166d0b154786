"""Where a visitor is, as his browser says it: the take of his page, the span he selected, himself.

`SCRIPT` runs before anything else of the page; `script` makes what an event of Gradio runs in the
browser before its inputs are sent.  Whatever comes from a browser may be made up: `Visit.read`
takes nothing that is not as it should be.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

MOST_CHARACTERS = 1000  # of what a browser says of itself
MOST_S = 1e9
_TAKE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VISITOR = re.compile(r"[A-Za-z0-9_-]{16,64}")

# A tab keeps its visitor over a reload, and another tab is another one.
SCRIPT = """
(() => {
  const KEY = 'longtake.visitor';
  const made = () => Array.from(crypto.getRandomValues(new Uint8Array(16)),
    (byte) => byte.toString(16).padStart(2, '0')).join('');
  let visitor = made();
  try {
    visitor = sessionStorage.getItem(KEY) || visitor;
    sessionStorage.setItem(KEY, visitor);
  } catch (_) { /* a browser that keeps nothing: he is new after a reload */ }
  window.longtakeVisit = () => JSON.stringify({
    take: new URLSearchParams(location.search).get('take'),
    span: window.longtake?.span?.() ?? null,
    visitor,
  });
})();
"""


def script(inputs: int) -> str:
    """What an event runs first, whose first input of `inputs` is where the visitor is."""
    if inputs == 1:
        return "() => window.longtakeVisit()"
    return f"(...given) => [window.longtakeVisit(), ...given.slice(1, {inputs})]"


@dataclass(frozen=True, slots=True)
class Visit:
    """One look of a visitor at a take.  Times are session seconds."""

    take: str | None = None  # None: the one for those who name none
    visitor: str | None = None  # None: a browser that says nothing of itself
    between_s: tuple[float, float] | None = None

    @classmethod
    def read(cls, said: object) -> Visit:
        """What is missing or odd is left out; a take that nobody could name stays wrong."""
        try:
            told = json.loads(said) if isinstance(said, str) else None
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or len(str(said)) > MOST_CHARACTERS:
            return cls()
        take, visitor = told.get("take"), told.get("visitor")
        return cls(
            take=_take(take),
            visitor=visitor if isinstance(visitor, str) and _VISITOR.fullmatch(visitor) else None,
            between_s=_span(told.get("span")),
        )

    def said(self) -> str:
        """As a browser says it, without a span: what does not change while a page is looked at."""
        return json.dumps({"take": self.take, "visitor": self.visitor})


def _take(named: object) -> str | None:
    if named in (None, ""):
        return None
    return named if isinstance(named, str) and _TAKE.fullmatch(named) else "-"


def _span(said: object) -> tuple[float, float] | None:
    if not isinstance(said, list) or len(said) != 2:
        return None
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in said):
        return None
    start_s, end_s = float(said[0]), float(said[1])
    is_whole = math.isfinite(start_s) and math.isfinite(end_s) and 0 <= start_s <= end_s <= MOST_S
    return (start_s, end_s) if is_whole else None
