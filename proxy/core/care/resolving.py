"""What is known of a name: the addresses that were told last, and when to ask again.

A name has addresses of two families, each asked for by itself (RFC 8305 §3). A family that can't be had keeps what it had; so does a
name that suddenly doesn't exist or has no address left, since a mistake in DNS is likelier than a system that is switched off by it: as Envoy
and HAProxy (`hold`) have it. So once there were addresses there always are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from proxy.core.care.reaching import Dns

NO_ADDRESS: Final = "it has no address"


class Told:
    """What was told of one family of a name.

    Attributes:
        addresses: none, where it has none.
        ttl_s: for how long that may be believed.
        why: it couldn't be had; empty: it could.
    """

    __slots__ = ("addresses", "ttl_s", "why")

    def __init__(self, addresses: tuple[str, ...] = (), ttl_s: float = 0.0, why: str = "") -> None:
        self.addresses = addresses
        self.ttl_s = ttl_s
        self.why = why


class KnownName:
    """One name.

    Attributes:
        addresses: as they are used: one family after the other, each in an order that doesn't change by itself.
        why: the last attempt failed, and what was known before is kept; empty: it didn't.
    """

    __slots__ = ("_families", "_ttl_s", "addresses", "why")

    def __init__(self) -> None:
        self._families: tuple[tuple[str, ...], ...] = ((), ())
        self._ttl_s = 0.0
        self.addresses: tuple[str, ...] = ()
        self.why = ""

    def take(self, told: tuple[Told, Told]) -> bool:
        """Take what was told of both families.

        Returns:
            Whether there are other addresses now.
        """
        before = self.addresses
        lost = [one.why for one, had in zip(told, self._families, strict=True) if one.why and (had or not before)]
        good = [one for one in told if not one.why]
        families = tuple(
            had if one.why else tuple(sorted(set(one.addresses))) for one, had in zip(told, self._families, strict=True)
        )
        if not any(one.addresses for one in good):
            self.why = next((one.why for one in told if one.why), NO_ADDRESS)
        else:
            self._families = families
            self.addresses = (*families[0], *families[1])
            self._ttl_s = min(one.ttl_s for one in good)
            # A family that fails and never had an address is one that many servers can't be asked for: no trouble.
            self.why = lost[0] if lost and before else ""
        return self.addresses != before

    def wait_s(self, terms: Dns) -> float:
        """How long until it is asked for again."""
        if self.why:
            return terms.shortest_s
        return max(terms.shortest_s, min(self._ttl_s, terms.longest_s))


def names_of(urls: Iterable[str]) -> tuple[str, ...]:
    """The hosts of endpoints that are names to be looked up, each once.

    `localhost` is this machine, whatever it listens on (RFC 6761 §6.3): the system connects to whichever address works.
    """
    hosts = dict.fromkeys(urlsplit(url).hostname or "" for url in urls)
    return tuple(filter(is_name, hosts))


def is_name(host: str) -> bool:
    """Whether a host is a name to be looked up."""
    return not _is_address(host) and host.rpartition(".")[2] != "localhost"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
