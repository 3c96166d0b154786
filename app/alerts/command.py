"""Tell of an alert by a program: its JSON on standard input, no shell, an end in time.

The program leads a process group of its own.  When it ends, or its time is over, the whole group
is ended: what it would leave in the background needs a session of its own (`setsid`).  Of what it
prints the last part is logged.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from longtake.alerts.action import ActionFailed, HasJson, check_seconds
from longtake.streaming.errors import redact

_log = logging.getLogger(__name__)
_MOST_OUTPUT = 2000  # bytes of what it prints that are kept, the last ones
_LOOK_S = 0.05  # between looks at whether it has ended, where it keeps its output to itself
_READ_NBYTES = 1 << 16


class Command:
    """Runs a program for every event.  Any thread may call, several at once.

    Args:
        argv: the program and its arguments.  Only the program is ever shown.
        timeout_s: then it is killed, and all of its process group.
        stop: set by whoever wants it to be killed earlier.

    Raises:
        ValueError: if there is no such program, or a number makes no sense.
    """

    def __init__(
        self, argv: Sequence[str], timeout_s: float = 30.0, *, stop: threading.Event | None = None
    ) -> None:
        if isinstance(argv, str):
            raise ValueError("argv is one string; give the program and its arguments as a list")
        if not argv or not all(isinstance(part, str) and "\0" not in part for part in argv):
            raise ValueError("argv: expected the program and its arguments, as strings")
        self._argv, self._timeout_s = tuple(argv), timeout_s
        self.shown = os.path.basename(self._argv[0])
        if shutil.which(self._argv[0]) is None:
            raise ValueError(f"{self.shown}: no such program; name one on PATH, or its full path")
        check_seconds(timeout_s=timeout_s)
        self._stop = stop or threading.Event()

    def __repr__(self) -> str:
        return f"Command({self.shown}, {len(self._argv) - 1} arguments)"

    def stop(self) -> None:
        """Kill what is running, and start nothing more."""
        self._stop.set()

    def __call__(self, event: HasJson) -> None:
        """Run it for an event; returns when it has ended well.

        Raises:
            ActionFailed: if it cannot be started, ends with another code than 0, takes longer than
                `timeout_s`, or `stop` came first.
        """
        if self._stop.is_set():
            raise ActionFailed(f"{self.shown}: stopped before it was started")
        with tempfile.TemporaryFile() as said:  # a pipe would block where it reads nothing
            said.write(json.dumps(event.as_json()).encode())
            said.seek(0)
            try:
                process = subprocess.Popen(
                    self._argv,
                    stdin=said,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise ActionFailed(f"{self.shown}: cannot be started ({error.strerror})") from None
        why, output = self._watched(process)
        text = redact(output.decode(errors="replace").strip())
        if why:
            raise ActionFailed(f"{self.shown}: {why}" + (f"; it said: {text}" if text else ""))
        if text:
            _log.info("%s said: %s", self.shown, text)

    def _watched(self, process: subprocess.Popen[bytes]) -> tuple[str, bytes]:
        """Until it has ended, one way or the other; why it failed ('': it did not), and the last
        of what it printed."""
        assert process.stdout is not None
        deadline_s = time.monotonic() + self._timeout_s
        why, output = "", _Tail(process.stdout.fileno())
        try:
            while process.poll() is None and not why:
                if not output.read(_LOOK_S):
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_LOOK_S)
                if self._stop.is_set():
                    why = "stopped"
                elif time.monotonic() >= deadline_s:
                    why = f"killed after {self._timeout_s:g} s; raise timeout_s to give it longer"
        finally:
            with suppress(ProcessLookupError, PermissionError):  # nobody of it is left
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            output.read(0.0)
            output.close()
            process.stdout.close()
        return why or _ending(process.returncode), output.kept


class _Tail:
    """The last of what comes through a pipe."""

    def __init__(self, fd: int) -> None:
        self.kept = b""
        self._fd, self._ready = fd, selectors.DefaultSelector()
        self._ready.register(fd, selectors.EVENT_READ)

    def read(self, wait_s: float) -> bool:
        """What is there, or comes within this time; False where nothing comes any more."""
        if self._ready.select(wait_s):
            data = os.read(self._fd, _READ_NBYTES)
            self.kept = (self.kept + data)[-_MOST_OUTPUT:]
            return bool(data)
        return True

    def close(self) -> None:
        self._ready.close()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}" if code else ""
    with suppress(ValueError):
        return f"ended by {signal.Signals(-code).name}"
    return f"ended by signal {-code}"
