"""Flags of commands that serve: where they listen, who may come in, what visitors may do.

Values are words here; which of them make sense is known to `ServeConfig` and `server.access`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longtake.cli.capture_flags import watching_settings
from longtake.cli.flag_groups import Given, Group
from longtake.cli.flags import MemoryOption, folder, whole
from longtake.cli.live_flags import CameraOption

if TYPE_CHECKING:
    from longtake.cli.run_serve import Request

SourcesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SOURCE...]",
        help="what the first take watches: live addresses (rtsp://, webcam:0 ...), or one file",
    ),
]
_Host = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="where to listen: 127.0.0.1 (default) is this machine alone, 0.0.0.0 all networks",
    ),
]
_Port = Annotated[
    int | None, typer.Option(parser=whole, metavar="N", help="default 7860; 0: any that is free")
]
_AutoPort = Annotated[
    bool, typer.Option("--auto-port", help="where the port is in use take the next free one")
]
_TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="tokens that may come in, one a line [env var: LONGTAKE_TOKEN, one token]",
    ),
]
_UsersFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="people who may come in, as `longtake user` writes them"),
]
_Tls = Annotated[
    str | None,
    typer.Option(
        metavar="auto|CERT,KEY", help="https: with a certificate made here, or with one of yours"
    ),
]
_AllowSource = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-source",
        metavar="WHERE",
        help="what visitors may name beside public addresses: 192.168.1.0/24, cam.local, private, "
        "loopback, devices, files; repeatable",
    ),
]
_AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host", metavar="NAME", help="a name that this server goes by; repeatable"
    ),
]
_AllowOrigin = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-origin",
        metavar="ORIGIN",
        help="pages of another site that may call, https://name:port; repeatable",
    ),
]
_AlsoModel = Annotated[
    list[str] | None,
    typer.Option(
        "--also-model",
        metavar="NAME",
        help="a model that visitors may choose beside --model; repeatable",
    ),
]
_MostTakes = Annotated[
    int | None, typer.Option(parser=whole, metavar="N", help="takes open at once (default 8)")
]
_MostModels = Annotated[
    int | None, typer.Option(parser=whole, metavar="N", help="models loaded at once (default 1)")
]
_Takes = Annotated[
    Path | None,
    typer.Option(
        "--takes",
        parser=folder,
        metavar="DIR",
        help="where takes that visitors open are kept; else they last as long as the server",
    ),
]

SERVE = Group(
    {
        "host": (_Host, None),
        "port": (_Port, None),
        "auto_port": (_AutoPort, False),
        "tls": (_Tls, None),
        "token_file": (_TokenFile, None),
        "users_file": (_UsersFile, None),
        "allow_source": (_AllowSource, None),
        "allow_host": (_AllowHost, None),
        "allow_origin": (_AllowOrigin, None),
        "also_model": (_AlsoModel, None),
        "most_takes": (_MostTakes, None),
        "most_models": (_MostModels, None),
    }
)

KEPT = Group.of(memory=MemoryOption, takes=_Takes, camera=CameraOption)

_KEYS = {
    "host": "serve.host",
    "port": "serve.port",
    "allow_source": "serve.allow_sources",
    "allow_host": "serve.allow_hosts",
    "allow_origin": "serve.allow_origins",
    "most_takes": "serve.max_takes",
    "most_models": "serve.max_engines",
}


def request(
    sources: Sequence[str] | None, serve: Given, kept: Given, capture: Given, **given: object
) -> Request:
    """What a command that serves is asked for.

    Args:
        serve, kept, capture: of `SERVE`, `KEPT` and `capture_flags.CAPTURE`.
        given: the command's other flags, as `flags.take_settings` takes them.

    Raises:
        ConfigError: if the configuration cannot be used.
        ValueError: if a flag is out of range or not understood.
    """
    from longtake.cli.run_serve import Request

    return Request(
        sources=tuple(sources or ()),
        settings=watching_settings(capture, more=_by_key(serve), **given),
        memory=kept["memory"],
        takes=kept["takes"],
        names=tuple(kept["camera"] or ()),
        token_file=serve["token_file"],
        users_file=serve["users_file"],
        tls=serve["tls"],
        auto_port=serve["auto_port"],
        also_models=tuple(serve["also_model"] or ()),
    )


def _by_key(serve: Mapping[str, Any]) -> dict[str, object]:
    """Lists as tuples; None where nothing was given."""
    found = {key: serve[name] for name, key in _KEYS.items()}
    return {key: tuple(v) if isinstance(v, list) else v for key, v in found.items()}
