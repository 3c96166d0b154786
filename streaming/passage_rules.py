"""Which addresses somebody who is not this machine's operator may let it connect to.

    public addresses, and what the operator allows: a network, a host by its name, "private",
    "loopback"

An address of IPv6 that carries one of IPv4 (mapped, NAT64, 6to4, Teredo) is judged by that one.
Ports are not looked at.  Nothing is resolved or connected here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

IP = IPv4Address | IPv6Address
SCHEMES = ("rtsp", "rtsps", "http", "https")
GROUPS: dict[str, tuple[IPv4Network | IPv6Network, ...]] = {
    "private": tuple(
        map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
    ),
    "loopback": tuple(map(ip_network, ("127.0.0.0/8", "::1/128"))),
}
OF_THIS_MACHINE = frozenset({"files", "devices"})  # words for what no connection leads to
# What clouds tell their machines lies in ranges that may be public or private; only a network
# that names it lets anybody there.
METADATA = frozenset(
    map(ip_address, ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"))
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_RELAYS = IPv4Network("192.88.99.0/24")  # of 6to4, not used any more
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be connected to.

    Args:
        allow: beyond public addresses: ``192.168.1.0/24``, ``192.168.1.7``, ``cam.local`` (then
            wherever that name leads), ``private``, ``loopback``.  ``files`` and ``devices``
            mean nothing here: a server may allow them beside, and these rules then do not.

    Raises:
        ValueError: names an entry that is none of these.
    """

    allow: tuple[str, ...] = ()
    _networks: tuple[IPv4Network | IPv6Network, ...] = field(init=False, repr=False, compare=False)
    _groups: tuple[IPv4Network | IPv6Network, ...] = field(init=False, repr=False, compare=False)
    _names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        entries = tuple(self.allow)
        found = [_entry(text) for text in entries]
        object.__setattr__(self, "allow", entries)
        networks = tuple(one for one in found if not isinstance(one, str))
        names = [one for one in found if isinstance(one, str)]
        groups = tuple(net for name in names for net in GROUPS.get(name, ()))
        object.__setattr__(self, "_networks", networks)
        object.__setattr__(self, "_groups", groups)
        object.__setattr__(self, "_names", frozenset(names) - GROUPS.keys() - OF_THIS_MACHINE)

    def permits(self, host: str, address: IP) -> bool:
        """Whether `address` may be connected to, where `host` led to it."""
        if plain_host(host) in self._names:
            return True
        meant = embedded(address)
        if any(one in network for one in (address, meant) for network in self._networks):
            return True
        if address in METADATA or meant in METADATA:
            return False
        return is_public(meant) or any(meant in network for network in self._groups)

    def permitted(self, host: str, addresses: Sequence[str]) -> list[str]:
        """Those of `addresses` that may be connected to, in their order; none with a zone."""
        return [one for one in addresses if "%" not in one and self.permits(host, ip_address(one))]


def embedded(address: IP) -> IP:
    """The address of IPv4 that one of IPv6 leads to; itself where it is none of these."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: IP) -> bool:
    """Whether it is one that anybody reaches: none of this machine, this network, a group."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address):
        return address in _GLOBAL_IPV6
    return address not in _RELAYS


def plain_host(host: str) -> str:
    """A host as it is compared: without case, brackets and the last dot."""
    return host.lower().strip("[]").removesuffix(".")


def way_out(host: str) -> str:
    """What the operator of this server can do; of what he typed alone, not of where it led."""
    return (
        f"{host}: an inner address, or none that may be reached from here; the operator of this "
        f"server can allow it: --allow-source {plain_host(host)}"
    )


def _entry(text: str) -> str | IPv4Network | IPv6Network:
    """A network, or the name of a host or a group."""
    entry = text.strip()
    try:
        return ip_network(entry.strip("[]"))
    except ValueError as error:
        if "host bits" in str(error):
            wider = ip_network(entry, strict=False)
            raise ValueError(f"allow={text!r}: is no network; write {wider}") from None
    name = plain_host(entry)
    is_number = re.fullmatch(r"[\d.x]+", name) is not None  # 10.0.0, 300.1.1.1: meant as addresses
    if is_number or not _HOST_NAME.fullmatch(name):
        raise ValueError(
            f"allow={text!r}: must be a network (192.168.1.0/24), an address, the name of a host "
            "without scheme, port or * (cam.local), private, or loopback"
        )
    return name
