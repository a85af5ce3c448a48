"""How many clients may be connected: in all, and from one address.

Whoever comes when all places are taken isn't refused. The connections that have been idle longest are closed to make room
(as nginx does), and until there is some, nobody is accepted: newcomers wait in the kernel's queue (as with HAProxy's `maxconn`),
whose length bounds what waiting costs. An answer of 503 would cost more than the wait, and a crowd would come back at once.

One address that holds more than its part is refused, for it would wait in front of everybody else: with 429 as long as that
can be afforded, beyond twice its part with a reset.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter
from collections.abc import Iterator
from enum import Enum, auto, unique
from typing import TYPE_CHECKING, Final

from proxy.core.deciding.networks import peer_address
from proxy.traffic.limits import GREET_S, affordable_connections, ticks

if TYPE_CHECKING:
    from proxy.core.limits import Limits
    from proxy.traffic.clients.client import ClientConnection
    from proxy.traffic.wiring import Wiring

_SAID_EVERY_S: Final = 60.0
_SITE_BITS: Final = 64
"""A site has a /64 of IPv6 at least (RFC 6177), and may use any address of it."""

_ROOM_PART: Final = 16  # of those that are idle are closed at a time; nginx begins with the last 16th of its places

_SPARED_TICKS: Final = ticks(GREET_S)

_log = logging.getLogger("clients")


@unique
class Admission(Enum):
    """What becomes of a client that connected."""

    SERVED = auto()
    REFUSED = auto()
    RESET = auto()


class Crowd:
    """Everybody who is connected to one worker.

    Attributes:
        most: how many may be.
    """

    def __init__(self, *, share_of_node: int) -> None:
        self.most = affordable_connections()
        self._clients: dict[ClientConnection, None] = {}  # in the order they came
        self._share_of_node = share_of_node
        self._most_of_one = 0
        self._of_one: Counter[str] = Counter()  # by site; kept only while that is limited
        self._full_again_tick = 0
        self._wanted = 0
        self._refused_again_tick = 0
        self._refused_unsaid = 0

    def __iter__(self) -> Iterator[ClientConnection]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def obey(self, limits: Limits) -> None:
        """Follow other limits from now on; whoever is connected stays."""
        affordable = affordable_connections()
        wanted = -(-limits.connections // self._share_of_node) or affordable
        if wanted > affordable and wanted != self._wanted:
            told = "limits.connections wants %d here, and there are file descriptors for %d (docs/production.md, ulimit -Hn): so many are taken"
            _log.warning(told, wanted, affordable)
        self._wanted = wanted
        self.most = min(wanted, affordable)
        before, self._most_of_one = self._most_of_one, limits.connections_per_client
        if not self._most_of_one:
            self._of_one.clear()
        elif not before:
            self._of_one = Counter(site_of(client.address) for client in self._clients if client.address)

    def add(self, client: ClientConnection, wiring: Wiring, tick: int) -> Admission:
        """Count a client in, and judge whether it is one too many of its address. It counts until it is removed."""
        self._clients[client] = None
        if not self._most_of_one or not client.address:
            return Admission.SERVED
        site = site_of(client.address)
        self._of_one[site] += 1
        count = self._of_one[site]
        client.trust_in(wiring)
        if count <= self._most_of_one or client.trusted:
            return Admission.SERVED
        self._refused_unsaid += 1
        if tick >= self._refused_again_tick:
            _log.warning(
                "%s has more than the %d connections of limits.connections_per_client; refused since this was said last: %d",
                *(site, self._most_of_one, self._refused_unsaid),
            )
            self._refused_again_tick = tick + ticks(_SAID_EVERY_S)
            self._refused_unsaid = 0
        return Admission.REFUSED if count <= 2 * self._most_of_one else Admission.RESET

    def remove(self, client: ClientConnection) -> None:
        """Its connection has ended."""
        self._clients.pop(client, None)
        if self._of_one and client.address:
            site = site_of(client.address)
            self._of_one[site] -= 1
            if self._of_one[site] <= 0:
                del self._of_one[site]

    def make_room(self, tick: int) -> None:
        """Close those that have been idle longest, a part of them at a time, and tell people that it is crowded.

        Who came or was answered a moment ago is spared: it may be asking now. So this is done again in each tick.
        """
        last_tick = tick - _SPARED_TICKS
        idle = [
            (since_tick, i, client)
            for i, client in enumerate(self._clients)
            if (since_tick := client.idle_since) is not None and since_tick <= last_tick
        ]
        for _, _, client in sorted(idle)[: -(-len(idle) // _ROOM_PART)]:
            client.end()
        if tick >= self._full_again_tick:
            _log.warning(
                "%d clients are connected or shake hands, as many as limits.connections allows here; idle ones are closed, new ones wait",
                self.most,
            )
            self._full_again_tick = tick + ticks(_SAID_EVERY_S)


def site_of(raw: bytes) -> str:
    """What counts as one client, of its address: one of IPv4, a /64 of IPv6."""
    address = raw.decode()
    if ":" not in address:
        return address
    known = peer_address(address)
    if known.version == 4:
        return str(known)
    return str(ipaddress.IPv6Network((known, _SITE_BITS), strict=False))
