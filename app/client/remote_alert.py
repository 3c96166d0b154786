"""A standing question on a server, and its events on this side.

It is an `Alert` as a take on this machine gives: iterate over it, or `poll`; callbacks and actions
are called here, on a thread of its own.  How events come is known to `event_feed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from longtake.alerts.alert import Alert, AlertStats
from longtake.alerts.alert_config import AlertConfig
from longtake.alerts.dispatch import Receiver
from longtake.client.readings import Told
from longtake.client.wire import Wire


class RemoteAlert(Alert):
    """It ends with the take, with `cancel`, or where the server has it no more (then what was
    wrong is raised behind the last event).

    Its events are those of the take's log: ``at_s`` is when the earliest of what shows it began,
    and the evidence is left out; `RemoteTake.picture_at` has a picture of it.

    Args:
        told: as the server describes it.
    """

    def __init__(
        self,
        wire: Wire,
        path: str,
        told: Told,
        config: AlertConfig | None = None,
        receivers: Sequence[Receiver] = (),
    ) -> None:
        self.id: str = told["id"]
        config = AlertConfig(condition=told["condition"]) if config is None else config
        super().__init__(config, told["name"], receivers)
        self._wire, self._path = wire, f"{path}/{self.id}"
        self._note(told)

    def __repr__(self) -> str:
        return f"RemoteAlert({self.id!r}, {self.condition!r})"

    def pause(self) -> None:
        """Judge no more until `resume`.  Raises as a request does."""
        self._note(self._wire.json("PATCH", self._path, {"paused": True}))

    def resume(self) -> None:
        """Judge again.  Raises as a request does."""
        self._note(self._wire.json("PATCH", self._path, {"paused": False}))

    def cancel(self) -> None:
        """Judge no more, and tell nothing that is not being told already; the server removes it.
        May be called twice.

        Raises:
            ConnectionError, TimeoutError: if the server could not be told; here it has ended.
        """
        was_over = self.is_over
        super().cancel()
        if not was_over:
            with suppress(LookupError, RuntimeError):  # it is gone there, or all of the take is
                self._wire.send("DELETE", self._path)

    def stats(self) -> AlertStats:
        """``judged``, ``fired`` and the probability as the server has them, where the alert is
        still there; what became of events on this side."""
        told = self.told()
        here = super().stats()
        if told is None:
            return here
        return replace(
            here,
            judged=told["judged"],
            fired=told["fired"],
            last_probability=told["probability"],
        )

    def told(self) -> dict[str, Any] | None:
        """As the server describes it; None where it is gone."""
        listed = self._wire.json("GET", self._path.rpartition("/")[0])["alerts"]
        found: dict[str, Any] | None = next((a for a in listed if a["id"] == self.id), None)
        if found is not None:
            self._note(found)
        return found

    def _note(self, told: Told) -> None:
        self._is_paused, self._warning = told["paused"], told["warning"]
