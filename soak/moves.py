"""The name by which a backend is known: it means another address, or nobody knows what it means. Nothing fails because of that."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from soak.backend import ADDRESSES
from soak.conductor import Conductor
from soak.configuration import NAME, NAMED
from soak.nameserver import SERVFAIL
from soak.operations import now_and_then
from soak.scene import kill, now_s
from soak.shunned import Shunned

_HEEDED_WITHIN_S: Final = 1.0
"""What control tells of names, workers look at ten times a second."""
_STALE: Final = f'strangler_name_stale{{name="{NAME}"}}'
_CHANGED: Final = 'strangler_name_lookups_total{result="changed"}'


async def address_moved(on: Conductor) -> None:
    """The same endpoints, at another address: soon nothing new comes to the former, until it is theirs again."""
    records = on.scene.dns.records
    (former,) = records[NAME]
    (other,) = set(ADDRESSES) - {former}
    for one in on.oracle.shunned:
        if one.address:
            one.until_s = min(one.until_s, now_s())
    changes = (await on.scene.metrics()).get(_CHANGED, 0)
    records[NAME] = [other]
    await on.scene.until(lambda metrics: metrics.get(_CHANGED, 0) > changes)
    on.oracle.shunned.append(Shunned(system=NAMED, address=former, since_s=now_s() + _HEEDED_WITHIN_S))
    await now_and_then(on)


async def names_lost(on: Conductor) -> None:
    """The name server is silent, or says that it can't tell; now and then control is killed meanwhile, and its successor knows no more."""
    dns = on.scene.dns
    if on.draw.random() < 0.5:
        dns.silent = True
    else:
        dns.rcode = SERVFAIL
    try:
        await on.scene.until(lambda metrics: metrics.get(_STALE) == 1)
        if on.draw.random() < 0.3 and (pid := on.scene.control_pid()):
            kill(pid, signal.SIGKILL)
            on.done["names lost: control killed meanwhile"] += 1
        await now_and_then(on)
        await asyncio.sleep(on.draw.random() * 2)
    finally:
        dns.silent, dns.rcode = False, None
    await on.scene.until(lambda metrics: metrics.get(_STALE) == 0)
