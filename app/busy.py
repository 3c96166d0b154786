"""What a question is refused with where too many wait; knows no model, so that clients share it."""


class Busy(RuntimeError):
    """Too many questions wait; ask again later.

    Attributes:
        retry_after_s: when that may help.
    """

    retry_after_s: float = 1.0
