"""What goes on while clients ask: faults and operations, drawn one after another, each noted with the time in which requests may fail because of it.

Operations (a change of share, a rollback, a reload, an upgrade …) and the death of control are no cause of any failure. A backend's death is one
only for the requests that it held: half a second later its other endpoint must have taken over.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from soak.expected import History, Scope, Situation
from soak.oracle import Cause
from soak.scene import BACKEND_TIMEOUT_S, DRAIN_S, Scene, kill, now_s

_NOTICE_S: Final = 0.5
_BREAKER_S: Final = 2.0
"""Until the breaker, open for 0.5 s at most, has let some through and is closed again."""
_REST_S: Final = 1.0
_SCOPES: Final[tuple[Scope, ...]] = (("", ""), ("orders", ""), ("help", ""), ("checkout", "pilots"), ("", "pilots"))


@dataclass(slots=True)
class Conductor:
    """Draws what happens next.

    Attributes:
        done: how often each thing happened.
        wrong: what the proxy promised and didn't keep, beside requests.
    """

    scene: Scene
    history: History
    causes: list[Cause]
    draw: random.Random
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _number: int = 0

    async def run(self, until_s: float, *, calm: bool = False) -> None:
        """One thing after another, until a time; `calm`: leave out what replaces every process."""
        acts, weights = zip(*(one for one in _ACTS if not (calm and one[0] is _upgrade)), strict=True)
        queue: list[Act] = list(acts)
        self.draw.shuffle(queue)  # each once, then by lot
        while now_s() < until_s:
            act: Act = queue.pop() if queue else self.draw.choices(acts, weights)[0]
            name = act.__name__.strip("_").replace("_", " ")
            self.done[name] += 1
            try:
                await act(self)
                await self.scene.settled()
            except TimeoutError:
                self.wrong.append(f"{name}: it never came to rest")
                return
            self.history.settle(now_s())
            await asyncio.sleep(_REST_S)

    def reason(self, what: str) -> str:
        """One that no other command has."""
        self._number += 1
        return f"{what} {self._number}"

    async def change(self, to: Situation, action: str, *words: str) -> int:
        """Issue a command that changes what is in force; gives its exit code.

        Exit 0 means confirmed, 3 not yet (the window stays open until all workers agree), others that nothing changed.
        """
        self.history.begin(to, now_s())
        code = await self.scene.command(action, *words, reason=self.reason(action))
        match code:
            case 0:
                self.history.settle(now_s())
            case 3:
                await self.scene.settled()
                self.history.settle(now_s())
            case _:
                self.history.withdraw()
        return code

    def may_fail(self, name: str, since_s: float, *, lasting_only: bool = False, for_s: float = 0.0) -> None:
        """Note a cause that is over now, or in a while."""
        self.causes.append(Cause(name, since_s, now_s() + for_s, lasting_only=lasting_only))

    async def now_and_then(self) -> None:
        """Every other time an operator does something in the midst of it."""
        match self.draw.randrange(4):
            case 0:
                await _rollback(self)
            case 1:
                await _canary(self)
            case _:
                await asyncio.sleep(0.3)


Act = Callable[[Conductor], Awaitable[None]]


async def _canary(on: Conductor) -> None:
    share_bp = on.history.latest.shares_bp["orders"]
    percent = on.draw.choice([one for one in (0, 10, 50, 90, 100) if one * 100 != share_bp])
    await on.change(on.history.latest.at_share("orders", percent), "canary", "orders", "--percent", str(percent))


async def _rollback(on: Conductor) -> None:
    area, segment = scope = on.draw.choice(_SCOPES)
    options = [*(("--area", area) if area else ()), *(("--segment", segment) if segment else ())]
    before = on.history.latest
    since_s = now_s()
    code = await on.change(replace(before, rolled_back=before.rolled_back | {scope}), "rollback", *options)
    on.may_fail("rollback ends streams", since_s, lasting_only=True, for_s=DRAIN_S + _REST_S)
    if code not in {0, 3}:
        on.wrong.append(f"a rollback failed with exit {code}")
        return
    await asyncio.sleep(on.draw.random())
    for _ in range(100):
        now = on.history.latest
        if await on.change(replace(now, rolled_back=now.rolled_back - {scope}), "release", *options) in {0, 3}:
            return
        await asyncio.sleep(0.2)  # control is being started again
    on.wrong.append("a release was refused for ever")


async def _freeze(on: Conductor) -> None:
    area = on.draw.choice(("orders", "help"))
    now = on.history.latest
    if await on.change(replace(now, frozen=now.frozen | {area}), "freeze", area, "--for", "60s", "--wait", "10s") in {
        0,
        3,
    }:
        await asyncio.sleep(0.5)
        now = on.history.latest
        if await on.change(replace(now, frozen=now.frozen - {area}), "freeze", area, "--end") not in {0, 3}:
            on.wrong.append("a freeze couldn't be ended")


async def _edit(on: Conductor, tell: Callable[[], Awaitable[bool]]) -> None:
    percent = on.draw.choice([one for one in (0, 5, 40, 100) if one * 100 != on.history.latest.shares_bp["checkout"]])
    on.history.begin(on.history.latest.at_share("checkout", percent), now_s())
    on.scene.write_flag("checkout", percent)
    if not await tell():
        on.wrong.append("an edit wasn't taken")


async def _reload(on: Conductor) -> None:
    async def tell() -> bool:
        return await on.scene.reload() in {0, 3}

    await _edit(on, tell)


async def _sighup(on: Conductor) -> None:
    before = (await on.scene.metrics()).get("strangler_generation_posted", 0)

    async def tell() -> bool:
        on.scene.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(30):
            while (await on.scene.metrics()).get("strangler_generation_posted", 0) <= before:
                await asyncio.sleep(0.05)
        return True

    await _edit(on, tell)


async def _broken_edit(on: Conductor) -> None:
    path = on.scene.directory / "routes.yaml"
    text = path.read_text()
    path.write_text(text.replace("otherwise:", "otherwize:"))
    if await on.scene.reload() == 0:
        on.wrong.append("a broken file was taken")
    path.write_text(text)
    if await on.scene.reload() not in {0, 3}:
        on.wrong.append("a mended file was refused")


async def _backend_killed(on: Conductor) -> None:
    one = on.draw.choice(on.scene.endpoints)
    since_s = now_s()
    one.kill()
    on.may_fail("backend killed", since_s, for_s=_NOTICE_S)
    await on.now_and_then()
    one.start()
    await one.listening()


async def _backend_hung(on: Conductor) -> None:
    one = on.draw.choice(on.scene.endpoints)
    since_s = now_s()
    one.signal(signal.SIGSTOP)
    try:
        await on.now_and_then()
        await asyncio.sleep(on.draw.random() * 1.5 * BACKEND_TIMEOUT_S)
    finally:
        one.signal(signal.SIGCONT)
    on.may_fail("backend hung", since_s, for_s=_BREAKER_S)


async def _backend_gone(on: Conductor) -> None:
    """Both endpoints of one."""
    both = [one for one in on.scene.endpoints if one.backend == on.draw.choice(("legacy", "new"))]
    since_s = now_s()
    for one in both:
        one.kill()
    await on.now_and_then()
    for one in both:
        one.start()
    for one in both:
        await one.listening()
    on.may_fail("backend gone", since_s, for_s=_BREAKER_S)


async def _worker_killed(on: Conductor) -> None:
    since_s = now_s()
    kill((await on.scene.workers())[-1], signal.SIGKILL)  # the other lives on, so that its growth can be seen
    await on.now_and_then()
    await on.scene.settled()
    on.may_fail("worker killed", since_s, for_s=_NOTICE_S)


async def _worker_hung(on: Conductor) -> None:
    since_s = now_s()
    kill((await on.scene.workers())[-1], signal.SIGSTOP)
    await _rollback(on)
    await on.scene.settled()
    on.may_fail("worker hung", since_s, for_s=_NOTICE_S)


async def _control_killed(on: Conductor) -> None:
    kill(on.scene.control_pid(), signal.SIGKILL)
    await _rollback(on)


async def _upgrade(on: Conductor) -> None:
    """SIGUSR2: supervisor, control and workers are replaced."""
    since_s = now_s()
    former = set(await on.scene.workers())
    on.scene.process.send_signal(signal.SIGUSR2)
    await on.now_and_then()
    async with asyncio.timeout(120):
        while set(await on.scene.workers()) & former or len(await on.scene.workers()) != len(former):
            await asyncio.sleep(0.1)
    on.may_fail("upgrade ends streams", since_s, lasting_only=True, for_s=10.0)


_ACTS: Final[Sequence[tuple[Act, int]]] = (
    (_canary, 3),
    (_rollback, 3),
    (_freeze, 2),
    (_reload, 2),
    (_sighup, 1),
    (_broken_edit, 1),
    (_backend_killed, 4),
    (_backend_hung, 2),
    (_backend_gone, 1),
    (_worker_killed, 3),
    (_worker_hung, 1),
    (_control_killed, 2),
    (_upgrade, 1),
)
