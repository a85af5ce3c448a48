"""Addresses of peers, and the lists of networks that settings name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def networks(texts: Iterable[str]) -> Networks:
    """Networks as a plan writes them."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def peer_address(text: str) -> Address:
    """A peer's address without its zone, and as IPv4 where a socket for both shows it in IPv6 (RFC 4291 §2.5.5.2).

    Raises:
        ValueError: it is none.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def lies_in(text: str, several: Networks) -> bool:
    """Whether a peer's address lies in one of several networks; what is no address lies in none."""
    if not several:
        return False
    try:
        address = peer_address(text)
    except ValueError:
        return False
    return any(address in network for network in several)
