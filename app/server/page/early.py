"""What a browser may load at once, while Gradio's own scripts would find it step by step.

Gradio's first script loads a second, that a third, and that one the parts of the page.  Which files
these are is read from the scripts themselves, as its builder wrote them; where they look different
one day nothing is said early, and the page loads as it does without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 2_500  # of the header: what stands between may take no more than 4 KiB of them all
_FIRST = re.compile(r'src="\./assets/(index-[\w-]+\.js)"')
_FILES = re.compile(r"m\.f=\[([^\]]*)\]")
_SECOND = re.compile(
    r"import\(`\./((?:Index|Blocks)-[\w-]+\.js)`\)[^\[]{0,80}__vite__mapDeps\(\[([\d,]*)\]"
)
_CORE = re.compile(r"core-[\w-]+\.js")
_PART = (
    r"\b%s:\{[^{}]*?component:[^{}]*?"
    r"import\(`\./([\w-]+\.js)`\)[^\[]*?__vite__mapDeps\(\[([\d,]*)\]"
)


def early_files(frontend: Path, parts: Iterable[str]) -> list[str]:
    """Modules that a page with such parts needs, in the order in which they are met.

    Args:
        frontend: Gradio's folder with ``index.html``.
        parts: kinds of components, such as ``textbox``.
    """
    assets = frontend / "assets"
    try:
        first = _FIRST.findall((frontend / "index.html").read_text())[0]
        found = [first, *_met(assets / first, _SECOND)]  # the first one first: it begins all
        for name in [each for each in found if each.startswith("Index-")]:
            found += _met(assets / name, _SECOND)
        core = next(name for name in found if _CORE.fullmatch(name))
        for part in sorted(set(parts)):
            found += _met(assets / core, re.compile(_PART % re.escape(part)))
    except (OSError, LookupError, StopIteration):
        return []
    return list(dict.fromkeys(found))


def _met(script: Path, loading: re.Pattern[str]) -> Iterator[str]:
    """The first module that it loads so, and all that this one needs."""
    text = script.read_text()
    files = _FILES.search(text)
    names = re.findall(r'"\./([^"]+)"', files[1]) if files else []
    if (loaded := loading.search(text)) is None:
        return
    yield loaded[1]
    for place in filter(None, loaded[2].split(",")):
        if names[int(place)].endswith(".js"):
            yield names[int(place)]


class Early:
    """Names them with the page itself."""

    def __init__(self, app: ASGIApp, files: Iterable[str]) -> None:
        self._app, said = app, ""
        for each in files:
            link = f"{', ' if said else ''}</assets/{each}>;rel=modulepreload"
            if len(said) + len(link) <= MOST_BYTES:
                said += link
        self._said = said

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and scope["path"] == "/" and self._said

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(scope=message).append("Link", self._said)
            await send(message)

        await self._app(scope, receive, told if is_page else send)
