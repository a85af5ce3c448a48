"""An area's status, derived from the plan and the latch: nobody sets it, so it can't be out of date.

``retired``             legacy has the area no more
``rolled back``         an entry of the latch stands over the whole area
``live``                new answers everything: 100 % and everyone, or every route says `to: new`
``live for accounts``   100 %, but requests without an account stay on legacy
``canary``              anything between, also 100 % with a `legacy` clause, or routes that are fixed differently
``custom``              a flag written by hand: its share can only be observed
``legacy``              0 % and no `new` clause, no flag, `DISABLED`, or every route says `to: legacy`
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from proxy.core.model import SHARE_TOTAL_BP, Backend, Status
from proxy.core.plan import Area, Clause, Flag, Plan, Route
from proxy.core.switches.latch import Latch


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AreaStatus:
    """One area as it stands."""

    area: Area
    status: Status
    share_bp: int | None  # of the accounts that no clause before it decides; None: a flag written by hand
    routes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """What a flag says, as far as its shape tells."""

    status: Status
    share_bp: int | None


def area_statuses(plan: Plan, latch: Latch) -> tuple[AreaStatus, ...]:
    """Every area of a plan, in the plan's order."""
    flags = {flag.key: flag for flag in plan.flags}
    routes: dict[str, list[Route]] = {area.name: [] for area in plan.areas}
    for route in plan.routes:
        routes[route.area].append(route)
    return tuple(_area_status(area, routes[area.name], flags, latch) for area in plan.areas)


def managed_share_bp(flag: Flag) -> int:
    """The share of a managed flag's ramp, in basis points.

    Raises:
        ValueError: the flag isn't of the managed shape.
    """
    if flag.managed and flag.clauses:
        match flag.clauses[-1].then:
            case {"fractional": [[_, int() as new], [_, int() as legacy]]} if new + legacy > 0:
                return new * SHARE_TOTAL_BP // (new + legacy)
            case _:
                pass
    raise ValueError(f"flag {flag.key} is not of the managed shape")


def _area_status(area: Area, routes: Iterable[Route], flags: Mapping[str, Flag], latch: Latch) -> AreaStatus:
    fixed = [route.to for route in routes]
    if area.retired:
        return AreaStatus(area=area, status=Status.RETIRED, share_bp=SHARE_TOTAL_BP, routes=len(fixed))
    answers = _with_fixed_routes(_flag_answers(flags.get(area.flag)), fixed)
    over_all = any(
        entry.scope.area in (None, area.name) and entry.scope.segment is None and entry.scope.region is None
        for entry in latch.entries
    )
    status = Status.ROLLED_BACK if over_all else answers.status
    return AreaStatus(area=area, status=status, share_bp=answers.share_bp, routes=len(fixed))


def _with_fixed_routes(answers: _Answers, fixed: list[Backend | None]) -> _Answers:
    """Routes that say `to:` don't ask the flag: they must agree with it, or the area is between."""
    said = {to for to in fixed if to is not None}
    if not said:
        return answers
    if None not in fixed and len(said) == 1:
        live = said == {Backend.NEW}
        return _Answers(status=Status.LIVE if live else Status.LEGACY, share_bp=SHARE_TOTAL_BP if live else 0)
    agreeing: Mapping[Status, Backend] = {
        Status.LIVE: Backend.NEW,
        Status.LIVE_FOR_ACCOUNTS: Backend.NEW,
        Status.LEGACY: Backend.LEGACY,
    }
    if None not in fixed:
        return _Answers(status=Status.CANARY, share_bp=None)
    if answers.status is Status.CUSTOM or said == {agreeing.get(answers.status)}:
        return answers
    return _Answers(status=Status.CANARY, share_bp=answers.share_bp)


def _flag_answers(flag: Flag | None) -> _Answers:
    if flag is None or not flag.enabled:
        return _Answers(status=Status.LEGACY, share_bp=0)
    everyone = flag.default is not None and flag.variants.get(flag.default) == Backend.NEW
    if not flag.clauses:
        return (
            _Answers(status=Status.LIVE, share_bp=SHARE_TOTAL_BP)
            if everyone
            else _Answers(status=Status.LEGACY, share_bp=0)
        )
    try:
        share_bp = managed_share_bp(flag)
    except ValueError:
        return _Answers(status=Status.CUSTOM, share_bp=None)
    outcomes = {_named(flag, clause) for clause in flag.clauses[:-1]}
    if share_bp == SHARE_TOTAL_BP and Backend.LEGACY not in outcomes:
        return _Answers(status=Status.LIVE if everyone else Status.LIVE_FOR_ACCOUNTS, share_bp=share_bp)
    # At 0 % with `defaultVariant: new`, requests without an account go to new: that is not legacy.
    if share_bp == 0 and Backend.NEW not in outcomes and not everyone:
        return _Answers(status=Status.LEGACY, share_bp=share_bp)
    return _Answers(status=Status.CANARY, share_bp=share_bp)


def _named(flag: Flag, clause: Clause) -> Any:
    return flag.variants.get(clause.then) if isinstance(clause.then, str) else None
