"""What dies. A backend's death is a cause of failure only for the requests that it held: half a second later its other endpoint must have taken over."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from soak.conductor import Conductor
from soak.configuration import BACKEND_TIMEOUT_S
from soak.operations import now_and_then, rollback, rolled_back
from soak.scene import kill, now_s

_NOTICE_S: Final = 0.5
_BREAKER_S: Final = 2.0
"""Until the breaker, open for 0.5 s at most, has let some through and is closed again."""


async def backend_killed(on: Conductor) -> None:
    """One endpoint is killed, and comes back."""
    one = on.draw.choice(on.scene.endpoints)
    since_s = now_s()
    one.kill()
    on.may_fail("backend killed", since_s, for_s=_NOTICE_S, system=one.backend)
    await now_and_then(on)
    one.start()
    await one.listening()


async def backend_hung(on: Conductor) -> None:
    """One endpoint is stopped for a while."""
    one = on.draw.choice(on.scene.endpoints)
    since_s = now_s()
    one.signal(signal.SIGSTOP)
    try:
        await now_and_then(on)
        await asyncio.sleep(on.draw.random() * 1.5 * BACKEND_TIMEOUT_S)
    finally:
        one.signal(signal.SIGCONT)
    on.may_fail("backend hung", since_s, for_s=_BREAKER_S, system=one.backend)


async def backend_gone(on: Conductor) -> None:
    """Both endpoints of one."""
    system = on.draw.choice(("legacy", "new", "new"))
    both = [one for one in on.scene.endpoints if one.backend == system]
    since_s = now_s()
    for one in both:
        one.kill()
    await now_and_then(on)
    for one in both:
        one.start()
    for one in both:
        await one.listening()
    on.may_fail("backend gone", since_s, for_s=_BREAKER_S, system=system)


async def worker_killed(on: Conductor) -> None:
    """A worker is killed."""
    since_s = now_s()
    kill((await on.scene.workers())[-1], signal.SIGKILL)  # the other lives on, so that its growth can be seen
    await now_and_then(on)
    await on.scene.settled()
    on.may_fail("worker killed", since_s, for_s=_NOTICE_S)


async def worker_hung(on: Conductor) -> None:
    """A worker is stopped, and a rollback thrown."""
    since_s = now_s()
    kill((await on.scene.workers())[-1], signal.SIGSTOP)
    await rollback(on)
    await on.scene.settled()
    on.may_fail("worker hung", since_s, for_s=_NOTICE_S)


async def control_killed(on: Conductor) -> None:
    """Control is killed, and a rollback thrown."""
    kill(on.scene.control_pid(), signal.SIGKILL)
    await rollback(on)


async def upgrade(on: Conductor) -> None:
    """SIGUSR2: supervisor, control and workers are replaced."""
    since_s = now_s()
    former = set(await on.scene.workers())
    on.scene.process.send_signal(signal.SIGUSR2)
    await now_and_then(on)
    async with asyncio.timeout(120):
        while set(await on.scene.workers()) & former or len(await on.scene.workers()) != len(former):
            await asyncio.sleep(0.1)
    on.may_fail("upgrade ends streams", since_s, lasting_only=True, for_s=10.0)


async def restart(on: Conductor) -> None:
    """SIGTERM to all of it, and a start, while a rollback stands: whoever has begun is answered, newcomers are refused for a moment, and the rollback stands."""

    async def again() -> None:
        since_s = now_s()
        if code := await on.scene.restart():
            on.wrong.append(f"a restart ended with exit code {code}")
        await on.scene.settled()
        on.may_fail("restart", since_s, unanswered_only=True)

    await rolled_back(on, again)
