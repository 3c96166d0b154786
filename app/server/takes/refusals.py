"""What a server's takes refuse, drawn once; each says what to do instead.

    NoSuchTake, NoSuchSource, NoSuchAlert (LookupError)   there is none of this name
    TakeExists (ValueError)                               the name is in use
    SourceInTheWay (ValueError)                           it cannot be beside what is there
    NothingSeen (RuntimeError)                            there is nothing to ask about yet
    TooMany (RuntimeError)                                a bound is reached; later perhaps
    Ending (RuntimeError)                                 the server, or the take, is being closed

Which status a client gets for them is not known here.
"""

from __future__ import annotations


class NoSuchTake(LookupError):
    """No take of this name is open."""


class NoSuchSource(LookupError):
    """A take has no source of this id."""


class NoSuchAlert(LookupError):
    """A take has no alert of this id."""


class TakeExists(ValueError):
    """A take of this name is open already."""


class SourceInTheWay(ValueError):
    """A take cannot watch this beside what it watches already."""


class NothingSeen(RuntimeError):
    """A take was asked before it saw a frame."""


class TooMany(RuntimeError):
    """A bound of the server is reached.

    Args:
        retry_after_s: when it may be worth to try again.
    """

    def __init__(self, message: str, retry_after_s: float = 10.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Ending(RuntimeError):
    """Nothing new is begun: it is being closed."""
