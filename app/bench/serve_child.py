"""A server in a process of its own, started, asked for its numbers, and ended.

What it serves is known to `serve_host`, who visits it is not known here.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from longtake.bench.model import Model
from longtake.models.base import ModelError

START_S = 300.0  # a large model may have to be loaded
ANSWER_S = 60.0
END_S = 20.0


class Child:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        thread = threading.Thread(target=self._read, name="longtake-bench-server", daemon=True)
        thread.start()
        self.url = str(self._answer(START_S)["url"])

    def ask(self, wish: str, **more: Any) -> Any:
        """One of its numbers, see `serve_host`.

        Raises:
            RuntimeError: if it has ended, or says nothing.
        """
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps({"wish": wish, **more}) + "\n")
            stdin.flush()
        except OSError as error:
            raise RuntimeError(f"the measured server has ended: {error}") from error
        return self._answer(ANSWER_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _answer(self, wait_s: float) -> Any:
        try:
            line = self._lines.get(timeout=wait_s)
        except queue.Empty:
            raise RuntimeError(f"the measured server said nothing for {wait_s:g} s") from None
        if not line:
            raise RuntimeError(f"the measured server ended with {self._process.wait()}")
        said = json.loads(line)
        if isinstance(said, dict) and "error" in said:
            kind = ModelError if said["kind"] == ModelError.__name__ else RuntimeError
            raise kind(said["error"])
        return said


@contextmanager
def child(serves: str, **more: Any) -> Iterator[Child]:
    """A server that ends with the block.

    Args:
        serves: one of `serve_host.SERVED`.

    Raises:
        ModelError: if its model cannot be used.
        RuntimeError: if it does not begin to answer.
    """
    wish = json.dumps({"serves": serves, **more})
    words = [sys.executable, "-P", "-m", "longtake.bench.serve_host", wish]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Child(process)
        finally:
            _end(process)


def taking(model: Model, film_s: float = 0.0) -> dict[str, Any]:
    """What a server with a take is started with."""
    return {"model": asdict(model), "film_s": film_s}


def _end(process: subprocess.Popen[str]) -> None:
    """It ends with its standard input; where it does not, it is ended."""
    assert process.stdin is not None
    try:
        process.stdin.close()
    except OSError:
        pass  # it has ended already
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
