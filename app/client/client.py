"""A server of takes, as a program on another machine holds it.

    with longtake.Client("http://robot:7860", token="...") as client:
        with client.open("arm") as take:
            take.push(image)
            print(take.ask("Is the gripper empty?").text)

What a take there can do is known to `remote_take`.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from longtake.client.readings import speaking
from longtake.client.remote_take import RemoteTake, path_of
from longtake.client.wire import Wire
from longtake.server.takes.refusals import NoSuchTake, TakeExists

FIRST = "live"  # the take of a server that is meant where nobody names one


class Client:
    """All methods may be called from any thread; nothing is sent before the first of them is.

    Args:
        url: of the server, such as ``http://host:7860``.
        token: one of those it was given; None where it lets everybody in.
        timeout_s: in which a connection is made, and an answer begins.  Answers to questions may
            take as long as they take; to open, remove, forget, export and send a video there are
            ten minutes.
        verify: True: the server's certificate is one that this machine trusts; else a file with
            it, or with that of who signed it.

    Raises:
        ValueError: if one of these makes no sense.
        OSError: if there is no such certificate.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        verify: bool | str | Path = True,
    ) -> None:
        self._wire = Wire(url, token, timeout_s, verify)
        self._lock = threading.Lock()
        self._takes: list[RemoteTake] = []

    def __repr__(self) -> str:
        return f"Client({self._wire.address!r})"

    def models(self) -> list[str]:
        """Names that takes may be opened with; the first is the default.

        Raises:
            ConnectionError: if the server cannot be reached.
            TimeoutError: if it does not answer in time.
            RemoteError: if it refuses; of status 401 where the token is missing or wrong.
        """
        return [each["id"] for each in self._wire.json("GET", "/v1/models")["data"]]

    def takes(self) -> list[dict[str, Any]]:
        """Those that are open: id, model, settings.  Raises as `models` does."""
        found: list[dict[str, Any]] = self._wire.json("GET", "/v1/takes")["takes"]
        return found

    def open(
        self, id: str | None = None, *, model: str | None = None, **settings: Any
    ) -> RemoteTake:
        """Open a take, or join the one of this id that is open.

        Args:
            id: 1 to 64 letters a-z, digits, - and _; None: a new one with a random id.
            model: one of `models`; None: the server's first.
            settings: as of `TakeConfig` and `MemoryConfig`, as far as a server lets them be
                wished: fps, window_s, top_k, mode, recall, evidence, dialogue_tokens, ram_bytes,
                disk_bytes, ladder, decoding.  A take that is joined keeps its own.

        Raises:
            ValueError: if a value makes no sense, or the take that is there has another model.
            TooMany: if as many takes are open as may be.
            Exception: as `models` does.
        """
        body = {"id": id, "model": model, **settings}
        if body.get("decoding") is not None:
            body["decoding"] = speaking(body["decoding"])
        try:
            told = self._wire.json("POST", "/v1/takes", _given(body), timeout=self._wire.slow)
        except TakeExists:
            assert id is not None
            told = self._wire.json("GET", path_of(id))
            if model is not None and told["model"] != model:
                raise ValueError(
                    f"model={model!r}: take {id!r} is open with {told['model']!r}; join it without "
                    "a model, or choose another id"
                ) from None
        return self._hold(told["id"])

    def take(self, id: str | None = None) -> RemoteTake:
        """One that is open; None: the only one, or ``live``.

        Raises:
            NoSuchTake: (a LookupError) if there is none; says which there are.
            Exception: as `models` does.
        """
        if id is None:
            known = [each["id"] for each in self.takes()]
            if len(known) != 1 and FIRST not in known:
                raise NoSuchTake(f"name a take: there is {', '.join(known) or 'none'}; or open one")
            id = known[0] if len(known) == 1 else FIRST
        else:
            self._wire.json("GET", path_of(id))
        return self._hold(id)

    def probe(self, address: str) -> dict[str, Any]:
        """What a camera or a stream is, as the server sees it, without watching it.

        Raises:
            SourceError: if it cannot be looked at.
            Exception: as `models` does.
        """
        found: dict[str, Any] = self._wire.json("POST", "/v1/probe", {"address": address})
        return found

    def close(self) -> None:
        """End what was begun here; takes stay open on the server.  May be called twice."""
        with self._lock:
            takes, self._takes = self._takes, []
        for take in takes:
            take.close()
        self._wire.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _hold(self, id: str) -> RemoteTake:
        take = RemoteTake(self._wire, id)
        with self._lock:
            self._takes = [each for each in self._takes if not each.is_closed] + [take]
        return take


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
