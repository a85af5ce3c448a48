"""What a name means: as /etc/hosts says, else as DNS does, with the time that its records may be believed.

Without servers of the configuration's own the system's are asked as the system would, with its search domains; and who
isn't known to DNS may be known to the system in another way (mDNS, `localhost`), which is asked in a thread.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from proxy.core.care.reaching import Dns
from proxy.core.care.resolving import Told

HOSTS: Final = Path("/etc/hosts")
_PORT: Final = 53
_FAMILIES: Final = ((socket.AF_INET, "A"), (socket.AF_INET6, "AAAA"))
_UNKNOWN: Final = "there is no such name"
_DISCARD: Final = 9  # any port would do: nothing is sent

_Both = tuple[Told, Told]


async def look_up(name: str, terms: Dns, hosts: Path = HOSTS) -> _Both:
    """What is told of both families of a name now; nothing is raised: what fails says why."""
    found = _of_hosts(name, hosts)
    if found is None:
        found = await _of_dns(name, terms)
        if not terms.servers and all(one.why in {_UNKNOWN, ""} and not one.addresses for one in found):
            found = await _of_system(name, found)
    return _without_unusable(found)


def _of_hosts(name: str, hosts: Path) -> _Both | None:
    """What the file of hosts says, if it has the name; such addresses have no time of their own."""
    found: tuple[list[str], list[str]] = ([], [])
    try:
        lines = hosts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        if name in (one.lower() for one in names):
            found[":" in address].append(address)
    return None if found == ([], []) else (Told(tuple(found[0])), Told(tuple(found[1])))


async def _of_dns(name: str, terms: Dns) -> _Both:
    try:
        resolver = _resolver(terms)
        # A name without end is looked for in the system's domains too, where the system's servers are asked.
        asked = dns.name.from_text(name, origin=dns.name.root if terms.servers else None)
    except (dns.exception.DNSException, OSError) as error:
        failed = Told(why=str(error) or type(error).__name__)
        return failed, failed
    v4, v6 = await asyncio.gather(*(_ask(resolver, asked, kind) for _, kind in _FAMILIES))
    return v4, v6


def _resolver(terms: Dns) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=not terms.servers)  # reads resolv.conf, which may have changed
    if terms.servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(*_host_and_port(server)) for server in terms.servers]
    resolver.lifetime = terms.timeout_s
    resolver.timeout = min(resolver.timeout, terms.timeout_s / 2)  # of one try: one packet may be lost
    return resolver


def _host_and_port(server: str) -> tuple[str, int]:
    if server.count(":") > 1 and not server.startswith("["):
        return server, _PORT
    host, _, port = server.rpartition(":") if server.rfind(":") > server.rfind("]") else (server, "", "")
    return host.strip("[]"), int(port or _PORT)


async def _ask(resolver: dns.asyncresolver.Resolver, name: dns.name.Name, kind: str) -> Told:
    try:
        answer = await resolver.resolve(name, kind, raise_on_no_answer=False, search=not name.is_absolute())
    except dns.resolver.NXDOMAIN:
        return Told(why=_UNKNOWN)
    except dns.exception.Timeout:
        return Told(why="DNS doesn't answer")
    except dns.resolver.NoNameservers as error:
        rcodes = {text for *_, text, _ in error.kwargs.get("errors", ()) if isinstance(text, str)}
        return Told(why="DNS answers " + (", ".join(sorted(rcodes)) or "nothing that can be used"))
    except (dns.exception.DNSException, OSError) as error:
        return Told(why=str(error) or type(error).__name__)
    records = answer.rrset
    # Of a chain of aliases the shortest time counts; of a name without such records, how long that may be believed.
    ttl_s = float(answer.chaining_result.minimum_ttl)
    return Told(() if records is None else tuple(record.to_text() for record in records), ttl_s)


async def _of_system(name: str, otherwise: _Both) -> _Both:
    """As every other program on this machine would see it; `otherwise` where that knows nothing either."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return otherwise
    by_family = [tuple(str(where[0]) for family, *_, where in found if family == one) for one, _ in _FAMILIES]
    return Told(by_family[0]), Told(by_family[1])


def _without_unusable(found: _Both) -> _Both:
    """Leave out addresses that this machine has no way to (RFC 6724 §6, rule 1), unless that leaves none."""
    usable = tuple(
        Told(tuple(one for one in told.addresses if _has_way(family, one)), told.ttl_s, told.why)
        for told, (family, _) in zip(found, _FAMILIES, strict=True)
    )
    return (usable[0], usable[1]) if any(one.addresses for one in usable) else found


def _has_way(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, _DISCARD))
    except OSError:
        return False
    return True
