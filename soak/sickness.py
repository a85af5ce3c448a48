"""An endpoint that calls itself unwell, and serves all the same: its probe is answered 503."""

from __future__ import annotations

import asyncio
import signal

from soak.conductor import Conductor
from soak.configuration import PROBED, WORKERS
from soak.operations import now_and_then
from soak.scene import Endpoint, now_s
from soak.shunned import Shunned


async def backend_unwell(on: Conductor) -> None:
    """Everybody is sent to the other, and nothing fails."""
    both = [one for one in on.scene.endpoints if one.backend == PROBED]
    on.draw.shuffle(both)
    unwell, well = both
    await on.scene.until(lambda metrics: not metrics.get(_held_off(well, "unreachable"), 0))
    unwell.signal(signal.SIGUSR1)
    try:
        await on.scene.until(lambda metrics: metrics.get(_held_off(unwell, "unhealthy")) == WORKERS)
        shunned = Shunned(system=PROBED, endpoint=unwell.number, since_s=now_s(), at_need=True)
        on.oracle.shunned.append(shunned)
        await now_and_then(on)
        await asyncio.sleep(on.draw.random())
        shunned.until_s = now_s()
    finally:
        unwell.signal(signal.SIGUSR2)


def _held_off(one: Endpoint, why: str) -> str:
    return f'strangler_endpoint_held_off{{backend="{one.backend}",endpoint="http://127.0.0.1:{one.port}",why="{why}"}}'
