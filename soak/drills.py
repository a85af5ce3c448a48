"""Game days: faults on purpose, and rehearsed rollbacks, in the midst of everything else."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from typing import Any, Final

from soak.conductor import Conductor
from soak.configuration import DRAIN_S
from soak.drilled import Drilled
from soak.expected import Scope
from soak.operations import now_and_then
from soak.scene import kill, now_s

_FAULTS: Final = {
    "status": "status=503",
    "reset": "reset",
    "refused": "refused",
    "delay": "delay=300ms",
    "slow": "slow=200KB",
}
_SCOPES: Final[tuple[Scope, ...]] = (
    ("orders", ""),
    ("search", ""),
    ("search", ""),
    ("help", ""),
    ("checkout", "pilots"),
    ("", "pilots"),
)
_LASTS_S: Final = 2
_LONGER: Final = "60s"
_REHEARSED_S: Final = 1
_REPORTED_WITHIN_S: Final = 15.0


async def drill(on: Conductor) -> None:
    """Some accounts meet a fault; it ends by itself, or by command."""
    kind = on.draw.choice(tuple(_FAULTS))
    area, segment = scope = on.draw.choice(_SCOPES)
    percent, by_command = on.draw.choice((30, 100)), on.draw.random() < 0.5
    lasts = _LONGER if by_command else f"{_LASTS_S}s"
    since_s = now_s()
    begun = await _begin(on, *_options(scope), "--fault", _FAULTS[kind], "--share", f"{percent}%", "--for", lasts)
    if begun is None:
        return
    name, sure = begun
    one = on.oracle.drills[name] = Drilled(
        id=name,
        kind=kind,
        area=area,
        segment=segment,
        pilots=on.history.latest.pilots,
        share_bp=percent * 100,
        since_s=since_s,
    )
    if sure:
        one.sure_from_s = now_s()
    on.done[f"drill: {kind}"] += 1
    _lose_control(on)
    if by_command:
        await now_and_then(on)
        await asyncio.sleep(on.draw.random() * _LASTS_S)
        one.sure_until_s = now_s()
        await _end(on, name)
        one.until_s = now_s()
    else:
        one.sure_until_s, one.until_s = since_s + _LASTS_S, now_s() + _LASTS_S
        await now_and_then(on)
    await _reported(on, name)


async def rehearsal(on: Conductor) -> None:
    """A rollback, thrown and released by a drill."""
    area, _ = scope = on.draw.choice((("orders", ""), ("basket", ""), ("help", "")))
    before, since_s = on.history.latest, now_s()
    on.history.begin(replace(before, rolled_back=before.rolled_back | {scope}), since_s)
    reason_from = len(on.scene.commands)
    begun = await _begin(on, "rollback", "--area", area, "--for", f"{_REHEARSED_S}s")
    if begun is None:
        on.history.withdraw()
        return
    name, sure = begun
    if sure:
        on.history.settle(now_s())
    _lose_control(on)
    await asyncio.sleep(since_s + _REHEARSED_S - now_s())  # it isn't over before
    on.history.begin(before, since_s + _REHEARSED_S)
    await _reported(on, name)
    await on.scene.settled()
    on.history.settle(now_s())
    on.may_fail("rollback ends streams", since_s, lasting_only=True, for_s=DRAIN_S + 1.0)
    _, reason, _ = on.scene.commands[reason_from]
    on.scene.commands += [
        ("rollback", f"drill {name}: {reason}", 0),
        ("release", f"drill {name} is over: its time is", 0),
    ]


def _options(scope: Scope) -> list[str]:
    area, segment = scope
    return [*(("--area", area) if area else ()), *(("--segment", segment) if segment else ())]


async def _begin(on: Conductor, *words: str) -> tuple[str, bool] | None:
    """Begin one; gives its id, and whether every worker has it; None: it wasn't begun, and that is wrong."""
    reason = on.reason("drill")
    code, said = await on.scene.asked("drill", *words, "--detach", "--reason", reason)
    on.scene.commands.append(("drill", reason, code))
    if code not in {0, 3}:
        on.wrong.append(f"a drill was refused with exit {code}: {' '.join(words)}")
        return None
    name: str = said["drills"][0]["id"]
    on.scene.commands.append(("drilled", name, 0))
    return name, code == 0


def _lose_control(on: Conductor) -> None:
    """Now and then control is killed: the drill ends all the same, and its successor reports it, once."""
    if on.draw.random() < 0.2 and (pid := on.scene.control_pid()):
        kill(pid, signal.SIGKILL)
        on.done["drill: control killed meanwhile"] += 1


async def _end(on: Conductor, name: str) -> None:
    for _ in range(100):
        if await on.scene.asked("drill", "--end", name) != (1, None):
            return
        await asyncio.sleep(0.2)  # control is being started again
    on.wrong.append(f"drill {name} couldn't be ended")


async def _reported(on: Conductor, name: str) -> None:
    """Wait until it is over, and its report in the journal."""
    ends_s = now_s() + _REPORTED_WITHIN_S
    while now_s() < ends_s:
        said: Any
        code, said = await on.scene.asked("drill", "list")
        if code == 0 and all(one["id"] != name for one in said["drills"]):
            return
        await asyncio.sleep(0.1)
    on.wrong.append(f"drill {name} was never reported")
