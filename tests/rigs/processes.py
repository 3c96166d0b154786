"""A server in a process of its own, that can be killed, frozen and started again on its port.

The command takes ``--port N`` as its last arguments (0: any free one) and prints ``ready N`` when
it listens.  What it serves is not known here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence

READY_S = 20.0  # a machine under load may be slow to start a process; never slept


class Server:
    """A process that listens; ended by its own id, whatever happened to it before.

    `ready_s` is the monotonic time at which it last said that it listens.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.port = 0
        self.ready_s = 0.0
        self._process: subprocess.Popen[str] | None = None

    def start(self, *more: str) -> None:
        """Start it, on the port it had before; `more` arguments count for this time alone."""
        assert self._process is None
        self._process = subprocess.Popen(
            [*self.command, *more, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        heard, _, _ = select.select([self._process.stdout], [], [], READY_S)
        line = self._process.stdout.readline() if heard else ""
        if not line.startswith("ready "):
            self.kill()
            raise RuntimeError(f"{self.command} did not come up: {line!r}")
        self.port = int(line.split()[1])
        self.ready_s = time.monotonic()

    def kill(self) -> None:
        """SIGKILL: nobody is told goodbye.  Does nothing to one that has ended."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def freeze(self) -> None:
        """Its connections stay, and nothing comes through them any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)
        self.ready_s = time.monotonic()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
