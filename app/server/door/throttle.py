"""Failed logins by where they come from: a few in a minute, some more in an hour, then none.

What a login is, is not known here.  Addresses are those of the connection: what a request says of
itself (X-Forwarded-For) is not believed, so that behind a proxy all visitors count as one.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict, deque
from collections.abc import Callable

MINUTE, HOUR = (5, 60.0), (20, 3600.0)  # most failures, in so many seconds
_MOST_ADDRESSES = 10_000
_IPV6_PREFIX = 64  # what one customer has is one address


class Throttle:
    """Counts; a table of bounded size, of which the oldest go."""

    def __init__(self, clock: Callable[[], float], most: int = _MOST_ADDRESSES) -> None:
        self._clock, self._most = clock, most
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Seconds until the next attempt of this address is looked at; 0: now."""
        now_s, times = self._clock(), self._failed.get(_network(address), ())
        waits = [0.0]
        for most, period_s in (MINUTE, HOUR):
            recent = [at_s for at_s in times if at_s > now_s - period_s]
            if len(recent) >= most:
                waits.append(recent[-most] + period_s - now_s)
        return math.ceil(max(waits))

    def begin(self, address: str) -> None:
        """An attempt begins: it counts as failed at once, so that many at a time are no more."""
        key = _network(address)
        self._failed.setdefault(key, deque(maxlen=HOUR[0])).append(self._clock())
        self._failed.move_to_end(key)
        while len(self._failed) > self._most:
            self._failed.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """The newest attempt that began was right; earlier failures still count."""
        key = _network(address)
        times = self._failed.get(key)
        if times:
            times.pop()
        if not times:
            self._failed.pop(key, None)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address  # of a test, or a socket file
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _IPV6_PREFIX), strict=False))
    return str(found)
