"""How a command ends: its exit code.

An unknown error is our own mistake and ends with 1.
"""

from __future__ import annotations

import sys

from longtake.out_of_memory import ran_out

USAGE, CONFIGURATION, SOURCE, MODEL, NOTHING_FOUND, PARTIAL = 2, 3, 4, 5, 6, 7
DEADLINE, INTERRUPTED = 124, 130


_KINDS = (  # module, error, code; the first that fits counts
    ("longtake.config", "ConfigError", CONFIGURATION),
    ("longtake.streaming.errors", "SourceError", SOURCE),
    ("longtake.memory.signature", "WrongModel", MODEL),
    ("longtake.models.base", "ModelError", MODEL),
    ("torch", "AcceleratorError", MODEL),  # since torch 2.8
    ("longtake.memory.record", "MemoryFromFuture", CONFIGURATION),
    ("builtins", "ValueError", USAGE),
    ("builtins", "TimeoutError", DEADLINE),  # before OSError, of which it is one
    ("builtins", "OSError", CONFIGURATION),
)


def exit_code(error: BaseException) -> int:
    """By where an error comes from: a module that was never imported has raised nothing."""
    if ran_out(error):
        return MODEL
    for module, name, code in _KINDS:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return code
    return 1
