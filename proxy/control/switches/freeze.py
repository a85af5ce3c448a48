"""`freeze`: writes of an area stand still for a bounded time; confirmed once none is in flight any more."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec

from proxy.config.problems import nearest
from proxy.control.commands import Refused, read_arguments
from proxy.control.plans.reload import Reloader
from proxy.control.switches.boundedfile import CannotChange
from proxy.control.switches.freezes import Freezer, UnderFreeze
from proxy.core.plan import Plan
from proxy.core.switches.bounded import LONGEST_S
from proxy.core.switches.freeze import Freeze
from proxy.core.switches.latch import Scope

LONGEST_WAIT_S: Final = 50.0
"""Below what the command's socket allows for an answer."""

_USAGE: Final = 2
_UNCONFIRMED: Final = 3
_SHORTEST_S: Final = 1.0
_ENDS_WITHIN_S: Final = 2.0
_LOOK_S: Final = 0.005


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The command's arguments."""

    area: str
    reason: str
    segment: str | None = None
    for_s: float | None = None
    wait_s: float = 30.0
    end: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `freeze --json`; its keys stay.

    Attributes:
        code: the command's exit code.
        ended: by `--end`.
        until: when it ends, ISO 8601 in UTC.
        left_s: the same in seconds from now.
        writes: requests in flight that may still change data in the scope, on all workers.
        tunnels: open WebSockets in the scope, which stay open.
        within_ms: until all workers had confirmed; None: not all have.
    """

    code: int
    id: str
    area: str
    segment: str | None
    ended: bool
    until: str
    left_s: float
    writes: int
    tunnels: int
    workers: tuple[UnderFreeze, ...]
    within_ms: float | None
    notes: tuple[str, ...] = ()


class FreezeCommand:
    """Freezes an area, or a segment in it; or ends that."""

    name = "freeze"

    def __init__(self, *, freezer: Freezer, reloader: Reloader) -> None:
        """Freeze nothing yet.

        Args:
            freezer: keeps the freezes.
            reloader: knows which areas and segments there are.
        """
        self._freezer = freezer
        self._reloader = reloader

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:
        """Freeze, and wait until nothing that began before can change data any more."""
        asked = read_arguments(arguments, Asked, "a freeze")
        if not asked.reason.strip():
            raise Refused("--reason: say why", _USAGE)
        scope = Scope(area=asked.area, segment=asked.segment)
        began_s = time.monotonic()
        try:
            if asked.end:
                ended = await asyncio.to_thread(self._freezer.end, scope, reason=asked.reason, uid=by_uid)
                return msgspec.to_builtins(await self._wait(ended, asked, began_s, _ENDS_WITHIN_S))
            for_s, notes = self._check(asked)
            freeze = await asyncio.to_thread(self._freezer.throw, scope, for_s=for_s, reason=asked.reason, uid=by_uid)
        except CannotChange as error:
            raise Refused(str(error)) from error
        done = await self._wait(freeze, asked, began_s, min(asked.wait_s, for_s, LONGEST_WAIT_S))
        return msgspec.to_builtins(msgspec.structs.replace(done, notes=notes))

    def _check(self, asked: Asked) -> tuple[float, tuple[str, ...]]:
        if asked.for_s is None:
            raise Refused("--for: say for how long", _USAGE)
        if not _SHORTEST_S <= asked.for_s <= LONGEST_S:
            raise Refused(f"--for: {_SHORTEST_S:g} s to {LONGEST_S / 60:g} m", _USAGE)
        plan = self._reloader.standing.plan
        if plan is None:
            raise Refused("the plan in force isn't known, so nobody can tell what is in an area")
        _check_names(plan, asked)
        return asked.for_s, ()

    async def _wait(self, freeze: Freeze, asked: Asked, began_s: float, within_s: float) -> Done:
        deadline_s = began_s + within_s
        while True:
            workers = self._freezer.under(None if asked.end else freeze.id)
            now_s = time.monotonic()
            still = all(one.seen and not one.writes for one in workers)
            if still or now_s >= deadline_s:
                break
            await asyncio.sleep(_LOOK_S)
        left_s = next((left_s for one, left_s in self._freezer.lasting() if one.id == freeze.id), 0.0)
        return Done(
            code=0 if still else _UNCONFIRMED,
            id=freeze.id,
            area=asked.area,
            segment=asked.segment,
            ended=asked.end,
            until=freeze.until,
            left_s=round(left_s, 1),
            writes=sum(one.writes for one in workers),
            tunnels=sum(one.tunnels for one in workers),
            workers=tuple(workers),
            within_ms=round((now_s - began_s) * 1000, 1) if still else None,
        )


def _check_names(plan: Plan, asked: Asked) -> None:
    areas = [one.name for one in plan.areas]
    if asked.area not in areas:
        raise Refused(f'no area is named "{asked.area}"{nearest(asked.area, areas)}', _USAGE)
    segments = [one.name for one in plan.segments]
    if asked.segment is not None and asked.segment not in segments:
        raise Refused(f'no segment is named "{asked.segment}"{nearest(asked.segment, segments)}', _USAGE)
