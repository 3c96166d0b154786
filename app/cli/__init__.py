"""The command line: `main` runs one command and returns its exit code."""

from longtake.cli.endings import (
    CONFIGURATION,
    DEADLINE,
    INTERRUPTED,
    MODEL,
    NOTHING_FOUND,
    PARTIAL,
    SOURCE,
    USAGE,
)
from longtake.cli.root import app, main

__all__ = [
    "CONFIGURATION",
    "DEADLINE",
    "INTERRUPTED",
    "MODEL",
    "NOTHING_FOUND",
    "PARTIAL",
    "SOURCE",
    "USAGE",
    "app",
    "main",
]
