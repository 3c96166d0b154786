"""What ``longtake serve`` and ``longtake ui`` do: load, watch, listen, and end in order.

What is served, and to whom, is known to `longtake.server`.
"""

from __future__ import annotations

import json
import threading
import webbrowser
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.common import say
from longtake.cli.sources import Sources

if TYPE_CHECKING:
    import socket

    from longtake.config import Settings
    from longtake.server.door.access import Access
    from longtake.server.door.tls import Tls
    from longtake.server.takes.hall import Hall
    from longtake.server.takes.hosted import Hosted

SCHEMA = "longtake.serve/1"
FIRST_TAKE = "live"


@dataclass(frozen=True, kw_only=True)
class Request:
    """As it was typed; what cannot work is refused before anything is loaded."""

    sources: tuple[str, ...]
    settings: Settings
    memory: Path | None = None
    takes: Path | None = None
    names: tuple[str, ...] = ()
    token_file: Path | None = None
    users_file: Path | None = None
    tls: str | None = None
    auto_port: bool = False
    also_models: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """That takes may run on; the first is the default."""
        return tuple(dict.fromkeys((self.settings.model, *self.also_models)))

    @cached_property
    def watched(self) -> Sources | None:
        """What the first take watches.

        Raises:
            ValueError: if that makes no sense.
            SourceError: if something of it is not there.
        """
        if not self.sources:
            if self.names:
                raise ValueError(f"--camera {self.names[0]}: there is no SOURCE to be called so")
            return None
        watched = Sources(
            addresses=self.sources, capture=self.settings.take.capture, names=self.names
        )
        if len(watched.recordings()) > 1:
            raise ValueError(
                f"{watched.recordings()[1]}: one file at a time; watch several into a memory with "
                "longtake watch --memory DIR, then serve that"
            )
        return watched

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError, SourceError: as `watched`, or if what visitors may name makes no sense.
            ModelError: if a model that visitors may choose is a folder that is none.
            NotADirectoryError: if takes are to be kept in a file.
        """
        from longtake.models.loader import find_family, find_folder
        from longtake.server.takes.visitors import network_rules
        from longtake.streaming.passage_rules import Rules

        _ = self.watched
        try:
            Rules(network_rules(self.settings.serve.allow_sources))
        except ValueError as error:
            raise ValueError(f"--allow-source: {error}") from error
        if self.takes is not None and self.takes.exists() and not self.takes.is_dir():
            raise NotADirectoryError(f"--takes {self.takes}: is no folder; name one, or a new one")
        for name in self.also_models:
            is_hub_id = name.count("/") == 1 and not name.startswith((".", "/", "~"))
            if not is_hub_id or Path(name).exists():
                find_family(find_folder(name), name)


def run(request: Request, *, as_json: bool = False, opens_browser: bool = False) -> int:
    """Serve until it is told to end.  Errors are raised; `longtake.cli` says them in one line."""
    from longtake.server.door.access import Access
    from longtake.server.running import listen

    config = request.settings.serve
    request.check()
    access = Access.read(request.token_file, request.users_file)
    access.check_bind(config.host)
    certificate = _certificate(request)
    with ExitStack() as stack:
        listener = listen(config, auto_port=request.auto_port)
        stack.callback(listener.close)
        hall = stack.enter_context(_hall(request))
        hosted = hall.open(FIRST_TAKE, memory=request.memory)
        _tell_limits(hosted)
        _watch(hosted, request)
        _serve(request, hall, access, listener, certificate, as_json, opens_browser)
    return 0


def _certificate(request: Request) -> Tls | None:
    from longtake.server.door.tls import tls

    if request.tls is None:
        return None
    config = request.settings.serve
    return tls(request.tls, (config.host, *config.allow_hosts))


def _hall(request: Request) -> Hall:
    from longtake.engine import Engine
    from longtake.server.takes.engines import Engines
    from longtake.server.takes.hall import Hall

    settings = request.settings

    def load(model: str) -> Engine:
        return Engine(
            model,
            device=settings.device,
            dtype=settings.dtype,
            quantize=settings.quantize,
            max_pixels=settings.max_pixels,
        )

    config = settings.serve
    engines = Engines(request.models, most=config.max_engines, load=load)
    return Hall(engines, config, settings=settings.take, folder=request.takes)


def _tell_limits(hosted: Hosted) -> None:
    note = hosted.take.adapter.recipe.note
    if note:
        from longtake.models.loader import FAMILIES

        say(
            f"the {hosted.model} model {note}; for real footage give --model with a folder or hub "
            f"id of {' or '.join(FAMILIES)}"
        )


def _watch(hosted: Hosted, request: Request) -> None:
    """The operator's own sources: cameras together, or one file."""
    watched = request.watched
    if watched is None:
        return
    for address, camera in zip(watched.addresses, watched.cameras, strict=True):
        hosted.add_source(address, camera=camera, trusted=True)


def _serve(
    request: Request,
    hall: Hall,
    access: Access,
    listener: socket.socket,
    certificate: Tls | None,
    as_json: bool,
    opens_browser: bool,
) -> None:
    from longtake.server.app import create_app
    from longtake.server.logs import quiet_uvicorn
    from longtake.server.page.page import Page
    from longtake.server.running import Certificate, Serving, url_of

    url = url_of(listener, is_tls=certificate is not None)

    def ready() -> None:
        if as_json:
            told = _as_json(request, listener, url, certificate)
            print(json.dumps(told), flush=True)
        say(f"{url}  (Ctrl-C ends it)")
        if certificate is not None:
            say(str(certificate))
        if access.is_open:
            say("nobody is asked who he is: it can be reached from this machine alone")
        if opens_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    quiet_uvicorn()
    config = request.settings.serve
    files = None
    if certificate is not None:
        files = Certificate(str(certificate.certificate), str(certificate.key))
    app = create_app(hall, access, config, Page(hall))
    serving = Serving(app, config, certificate=files, on_ready=ready, on_ending=hall.announce)
    serving.serve_on([listener])


def _as_json(
    request: Request, listener: socket.socket, url: str, certificate: Tls | None
) -> dict[str, Any]:
    """The object that ``--json`` prints; documented in docs/json.md."""
    host, port = listener.getsockname()[:2]
    return {
        "schema": SCHEMA,
        "url": url,
        "host": host,
        "port": port,
        "take": FIRST_TAKE,
        "models": list(request.models),
        "fingerprint": None if certificate is None else certificate.fingerprint,
    }
