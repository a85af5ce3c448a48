"""What people do to it. None of this is a cause of any failure, but that a rollback ends streams."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from soak.conductor import Conductor
from soak.configuration import DRAIN_S
from soak.expected import Scope
from soak.scene import now_s

_SCOPES: Final[tuple[Scope, ...]] = (
    ("", ""),
    ("orders", ""),
    ("basket", ""),
    ("search", ""),
    ("help", ""),
    ("checkout", "pilots"),
    ("", "pilots"),
)


async def now_and_then(on: Conductor) -> None:
    """Every other time an operator does something in the midst of it."""
    match on.draw.randrange(4):
        case 0:
            await rollback(on)
        case 1:
            await canary(on)
        case _:
            await asyncio.sleep(0.3)


async def canary(on: Conductor) -> None:
    """A share is moved."""
    area = on.draw.choice(("orders", "basket", "basket", "search"))
    share_bp = on.history.latest.shares_bp[area]
    percent = on.draw.choice([one for one in (0, 10, 50, 90, 100) if one * 100 != share_bp])
    await on.change(on.history.latest.at_share(area, percent), "canary", area, "--percent", str(percent))


async def rollback(on: Conductor) -> None:
    """One is thrown, and released after a moment."""

    async def moment() -> None:
        await asyncio.sleep(on.draw.random())

    await rolled_back(on, moment)


async def rolled_back(on: Conductor, meanwhile: Callable[[], Awaitable[None]]) -> None:
    """A rollback is thrown, something done while it stands, and it is released."""
    area, segment = scope = on.draw.choice(_SCOPES)
    options = [*(("--area", area) if area else ()), *(("--segment", segment) if segment else ())]
    before = on.history.latest
    since_s = now_s()
    code = await on.change(replace(before, rolled_back=before.rolled_back | {scope}), "rollback", *options)
    on.may_fail("rollback ends streams", since_s, lasting_only=True, for_s=DRAIN_S + 1.0)
    if code not in {0, 3}:
        on.wrong.append(f"a rollback failed with exit {code}")
        return
    await meanwhile()
    for _ in range(100):
        now = on.history.latest
        if await on.change(replace(now, rolled_back=now.rolled_back - {scope}), "release", *options) in {0, 3}:
            return
        await asyncio.sleep(0.2)  # control is being started again
    on.wrong.append("a release was refused for ever")


async def freeze(on: Conductor) -> None:
    """Writes of an area are stopped for a moment."""
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


async def reload(on: Conductor) -> None:
    """A flag's file is edited, and the command says so."""

    async def tell() -> bool:
        return await on.scene.reload() in {0, 3}

    await _edit(on, tell)


async def sighup(on: Conductor) -> None:
    """The same, told by a signal."""
    before = (await on.scene.metrics()).get("strangler_generation_posted", 0)

    async def tell() -> bool:
        on.scene.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(30):
            while (await on.scene.metrics()).get("strangler_generation_posted", 0) <= before:
                await asyncio.sleep(0.05)
        return True

    await _edit(on, tell)


async def broken_edit(on: Conductor) -> None:
    """routes.yaml is broken by an edit, and mended."""
    path = on.scene.directory / "routes.yaml"
    text = path.read_text()
    path.write_text(text.replace("otherwise:", "otherwize:"))
    if await on.scene.reload() == 0:
        on.wrong.append("a broken file was taken")
    path.write_text(text)
    if await on.scene.reload() not in {0, 3}:
        on.wrong.append("a mended file was refused")
