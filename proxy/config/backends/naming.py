"""How the names of endpoints become addresses: the keys of `dns`, and what is made of them."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from proxy.config.kinds import Key, ListOf, Shape, Text
from proxy.config.problems import quoted
from proxy.config.quantities import Duration
from proxy.core.care.reaching import Dns

if TYPE_CHECKING:
    from proxy.config.kinds import Fields
    from proxy.config.problems import Report
    from proxy.config.text.nodes import Scalar

_SERVER: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")
_PORTS: Final = range(1, 65_536)

SERVERS = Key(
    name="servers",
    kind=ListOf(Text("an address such as `10.0.0.2`, `10.0.0.2:5353` or `[2001:db8::2]`")),
    default="the system's (`/etc/resolv.conf`)",
    meaning="Who is asked. Names are complete then; without this key the system's search domains count. nginx `resolver`.",
)
SHORTEST = Key(
    name="shortest",
    kind=Duration(),
    default="`5s`",
    meaning="The shortest time between two questions for a name, and the time after one that failed. Envoy `dns_refresh_rate` 5 s.",
)
LONGEST = Key(
    name="longest",
    kind=Duration(),
    default="`5m`",
    meaning="The longest time between two, however long the record says. nginx `valid`; HAProxy `hold valid` 10 s.",
)
ANSWER_TIMEOUT = Key(
    name="timeout",
    kind=Duration(),
    default="`5s`",
    meaning="The longest wait for an answer. resolv.conf 5 s, nginx 30 s.",
)
DNS: Final = Shape("dns", (SERVERS, SHORTEST, LONGEST, ANSWER_TIMEOUT))
DNS_KEY = Key(
    name="dns", kind=DNS, default="as its keys say", meaning="How the hosts of `backends` are looked up that are names."
)


def draft_dns(fields: Fields | None, report: Report) -> Dns:
    """What was written, and the defaults for the rest."""
    default = Dns()
    if fields is None:
        return default
    read = (_server(scalar, fields.at(SERVERS), report) for scalar in fields.each(SERVERS))
    shortest_s = fields.get(SHORTEST, default.shortest_s)
    return Dns(
        servers=tuple(one for one in read if one is not None),
        shortest_s=shortest_s,
        longest_s=max(shortest_s, fields.get(LONGEST, default.longest_s)),
        timeout_s=fields.get(ANSWER_TIMEOUT, default.timeout_s),
    )


def _server(scalar: Scalar, where: str, report: Report) -> str | None:
    found = _SERVER.fullmatch(scalar.text)
    try:
        ipaddress.ip_address((found["v6"] or found["v4"]) if found is not None else scalar.text)
        if found is None or found["port"] is None or int(found["port"]) in _PORTS:
            return scalar.text
    except ValueError:
        pass
    told = (
        f"{quoted(scalar.text)} is no address of a DNS server: write it as 10.0.0.2, 10.0.0.2:5353 or [2001:db8::2]:53"
    )
    report.tell("bad-dns-server", scalar, where, told)
    return None
