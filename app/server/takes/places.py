"""So many at the same time, and no more: whoever comes then is told to come later.

What is bounded here takes room on the disk; what it is, whoever has it says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from longtake.server.takes.refusals import TooMany


class Places:
    """Any thread may take one, and leave it.

    Args:
        what: as the refusal names them, "exports are made or sent".
        retry_after_s: when it may be worth to come again.
    """

    def __init__(self, most: int, what: str, retry_after_s: float = 10.0) -> None:
        self._most, self._what, self._retry_after_s = most, what, retry_after_s
        self._lock = threading.Lock()
        self.taken = 0

    def take(self) -> Callable[[], None]:
        """A place, until what is returned is called; it may be called twice.

        Raises:
            TooMany: if all are taken.
        """
        with self._lock:
            if self.taken >= self._most:
                raise TooMany(
                    f"{self.taken} {self._what}, as many as may be at the same time: try again "
                    "when one of them is done",
                    self._retry_after_s,
                )
            self.taken += 1
        is_mine = True

        def leave() -> None:
            nonlocal is_mine
            with self._lock:
                self.taken -= is_mine
                is_mine = False

        return leave
