"""Why a request goes where it goes: `decide` itself, heard step by step. There is no second implementation."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from proxy.control.telling.backends import Breakers, unavailable_at
from proxy.control.telling.question import CannotAsk, Question, check_identity, check_pins, pose
from proxy.core.care.rates import in_force
from proxy.core.deciding.decision import Decision, decide
from proxy.core.deciding.fallback import falls_back
from proxy.core.deciding.waits import waits
from proxy.core.generation import Generation
from proxy.core.http.badmessage import BadMessage
from proxy.core.http.rewrite import forward_target
from proxy.core.model import SHARE_TOTAL_BP, Grade
from proxy.core.plan import Clause, Plan
from proxy.core.switches.covering import LiveLatch
from proxy.core.switches.drill import LiveDrill, hitting
from proxy.core.switches.freeze import LiveFreeze, freezing, writes
from proxy.core.targeting.ramp import total_weight
from proxy.core.telling.status import managed_share_bp


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at."""

    what: str
    result: str
    place: str | None = None


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """A share that is only supposed.

    Attributes:
        area: whose flag is supposed to give it.
        percent: the share of new that is supposed.
        now_percent: the one that the flag gives.
    """

    area: str
    flag: str
    percent: float
    now_percent: float


class WaitsLine(msgspec.Struct, frozen=True, kw_only=True):
    """For how long the system that answers is waited for; `…_of` says whose word it is: `route`, `area` or `backend`.

    Attributes:
        timeout_s: longest silence.
        total_s: for the whole exchange; None: any time.
    """

    connect_s: float
    timeout_s: float
    timeout_of: str
    total_s: float | None
    total_of: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A whole decision. As JSON it is the answer of `explain --json`; its keys stay.

    Attributes:
        ramp: how many places the ramp has that the bucket is on; None: nobody was placed, or it isn't fixed.
        source: "running" for the plan that workers serve, "files" for the files as they stand.
        plan: its name; with `what_if` of the plan in which the share is supposed to be another.
        frozen: the freeze that answers it with 503 for now; the rest says what is true without it.
        drilled: the drill whose fault it meets for now; likewise.
        unavailable: why some workers ask nobody for it for now; the rest says what is true without it.
        fallback: legacy would answer it if new couldn't be reached at all.
        rates: what caps requests like this one, for people; beyond it is 429.
        refused: why the request gets a 400 and reaches no backend; the fields below are then None.
    """

    source: str
    plan: str
    what_if: WhatIf | None = None
    generation: int
    method: str
    target: str
    host: str
    refused: str | None = None
    frozen: str | None = None
    drilled: str | None = None
    unavailable: str | None = None
    fallback: bool = False
    backend: str | None = None
    reason: str | None = None
    detail: str | None = None
    area: str | None = None
    owner: str | None = None
    runbook: str | None = None
    route: str | None = None
    route_place: str | None = None
    flag: str | None = None
    clause: str | None = None
    clause_place: str | None = None
    bucket: int | None = None
    ramp: int | None = None
    account: str | None = None
    grade: str | None = None
    visitor: str | None = None
    standing: str | None = None
    region: str | None = None
    segments: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()
    sent_target: str | None = None
    waits: WaitsLine | None = None
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()


class _Listener:
    """Hears the steps of a decision."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def step(self, place: str | None, what: str, result: str) -> None:
        """Take note of one step."""
        self.steps.append(Step(what, str(result), place))


def explain(
    question: Question,
    generation: Generation,
    *,
    latch: LiveLatch,
    source: str,
    supposed: Supposed | None = None,
    freezes: tuple[LiveFreeze, ...] = (),
    drills: tuple[LiveDrill, ...] = (),
    breakers: Breakers = MappingProxyType({}),
) -> Explanation:
    """Decide the request that a question stands for, and tell everything about it.

    Args:
        question: the request.
        generation: what decides; with `supposed` it was built of that plan.
        latch: the rollbacks in force.
        source: "running" or "files".
        supposed: what is only supposed.
        freezes: those in force.
        drills: those that are on.
        breakers: that aren't closed.

    Raises:
        CannotAsk: the question can't be asked of this configuration.
    """
    told = Explanation(
        source=source,
        plan=generation.plan if supposed is None else supposed.of_plan,
        what_if=None if supposed is None else supposed.what_if,
        generation=generation.number,
        method=question.method,
        target=question.target,
        host=question.host or "",
    )
    listener = _Listener()
    try:
        posed = pose(question, generation)
        decision = decide(generation, posed.head, peer_trusted=posed.peer_trusted, latch=latch, trace=listener)
        check_identity(question, decision.account, decision.region, generation)
        notes = (*posed.notes, *check_pins(question, decision))
        sent = forward_target(decision, posed.head.target).decode("latin-1")
    except BadMessage as error:
        return replace(told, refused=f"{error.status}: {error.why}", steps=tuple(listener.steps))
    frozen = _frozen(decision, freezes)
    if frozen is not None:
        listener.step(None, frozen, "503 for now")
    drilled = _drilled(decision, drills)
    if drilled is not None:
        listener.step(None, drilled, "for now")
    unavailable = unavailable_at(decision.backend, breakers)
    if unavailable is not None:
        listener.step(
            None, unavailable, "legacy answers there for now" if falls_back(decision) else "503 there for now"
        )
    told = replace(
        _told(told, decision), frozen=frozen, drilled=drilled, unavailable=unavailable, fallback=falls_back(decision)
    )
    return replace(told, sent_target=sent, steps=tuple(listener.steps), notes=notes)


def _frozen(decision: Decision, freezes: tuple[LiveFreeze, ...]) -> str | None:
    live = freezing(decision, freezes) if writes(decision.head.method) else None
    if live is None:
        return None
    freeze = live.freeze
    return f"freeze {freeze.id} ({freeze.scope}) by {freeze.by} until {freeze.until}: {freeze.reason}"


def _drilled(decision: Decision, drills: tuple[LiveDrill, ...]) -> str | None:
    """Without an account each request is drawn for itself, and nobody can tell which."""
    live = hitting(decision, b"", drills, time.monotonic()) if decision.account is not None else None
    if live is None:
        return None
    drill = live.drill
    return f"drill {drill.id} ({drill.scope}) by {drill.by} until {drill.until}: {drill.fault}, {drill.reason}"


def area_of(question: Question, generation: Generation, latch: LiveLatch) -> str | None:
    """The area of the request that a question stands for.

    Raises:
        CannotAsk: the question can't be asked, or the request would be refused.
    """
    try:
        posed = pose(question, generation)
        return decide(generation, posed.head, peer_trusted=posed.peer_trusted, latch=latch).area
    except BadMessage as error:
        raise CannotAsk(f"the request would be refused: {error.why}") from error


class Supposed(msgspec.Struct, frozen=True):
    """A plan in which one share is another."""

    plan: Plan
    of_plan: str  # the name of the one it was made of
    what_if: WhatIf


def suppose(plan: Plan, area: str | None, percent: float, *, of_plan: str) -> Supposed:
    """The plan as it would be if the flag of an area gave another share to new.

    Args:
        plan: stays as it is.
        area: an area's name; None: the request belongs to none.
        percent: 0 to 100, two decimals at most.
        of_plan: the plan's name.

    Raises:
        CannotAsk: there is no ramp to move.
    """
    share_bp = round(percent * 100)
    if not 0 <= share_bp <= SHARE_TOTAL_BP or abs(percent * 100 - share_bp) > 1e-6:
        raise CannotAsk("--percent takes 0 to 100, with two decimals at most")
    key = next((one.flag for one in plan.areas if one.name == area), None)
    flag = next((one for one in plan.flags if one.key == key), None)
    if flag is None or area is None:
        raise CannotAsk("--percent: no flag decides this request")
    if not flag.managed or not flag.clauses:
        raise CannotAsk(f"--percent: flag {flag.key} ({flag.place}) is written by hand and has no ramp to move")
    last = flag.clauses[-1]
    # As `canary` writes it: the total is 10 000 only when the share has decimals.
    new, total = (share_bp, SHARE_TOTAL_BP) if share_bp % 100 else (share_bp // 100, 100)
    names = [pair[0] for pair in last.then["fractional"]]
    moved = Clause(
        id=last.id,
        place=last.place,
        when=last.when,
        then={"fractional": [[names[0], new], [names[1], total - new]]},
    )
    changed = replace(flag, clauses=(*flag.clauses[:-1], moved))
    return Supposed(
        replace(plan, flags=tuple(changed if one is flag else one for one in plan.flags)),
        of_plan,
        WhatIf(area=area, flag=flag.key, percent=percent, now_percent=managed_share_bp(flag) / 100),
    )


def parse_percent(text: str) -> float:
    """Read a share as people write it: `25`, `12.5`, `12.5%`.

    Raises:
        ValueError: it is no number of 0 to 100 with two decimals at most.
    """
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%?", text.strip())
    if found is None or float(found[1]) > 100:
        raise ValueError("a share is 0 to 100, with two decimals at most")
    return float(found[1])


def _told(told: Explanation, decision: Decision) -> Explanation:
    route = decision.route
    flag = None if route is None else route.flag
    clauses = {} if flag is None else {clause.id: clause for clause in flag.record.clauses}
    clause = None if decision.clause is None else clauses.get(decision.clause)
    return replace(
        told,
        host=decision.host,
        backend=decision.backend.value,
        reason=decision.reason.value,
        detail=decision.detail,
        area=decision.area,
        owner=None if route is None else route.area.owner,
        runbook=None if route is None else route.area.runbook,
        route=decision.route_id,
        route_place=None if route is None else route.record.place,
        flag=None if flag is None else flag.key,
        clause=decision.clause,
        clause_place=None if clause is None else clause.place,
        bucket=decision.bucket,
        ramp=None if clause is None or decision.bucket is None else total_weight(clause.then),
        account=decision.account,
        grade=None if decision.grade is None else decision.grade.value,
        visitor=None if decision.visitor is None else decision.visitor.id,
        standing=decision.standing.value,
        region=decision.region,
        segments=tuple(name for name in decision.generation.segments if decision.in_segment(name)),
        rates=tuple(_rates(decision)),
        waits=_waits(decision),
    )


def _waits(decision: Decision) -> WaitsLine:
    route = decision.route
    spec = decision.generation.backends[decision.backend]
    found = waits(spec, None if route is None else route.area, None if route is None else route.record)
    return WaitsLine(
        connect_s=spec.connect_s,
        timeout_s=found.timeout_s,
        timeout_of=found.timeout_of,
        total_s=found.total_s,
        total_of=found.total_of,
    )


def _rates(decision: Decision) -> Iterator[str]:
    """What caps requests like this one, for people."""
    route = decision.route
    area = None if route is None else route.area
    account, total = in_force(decision.generation.settings, area)
    if account is not None and decision.account is not None:
        where = (
            f"to {area.name}" if area is not None and area.account_rate is not None else "wherever no area says else"
        )
        by_site = "" if decision.grade is Grade.VERIFIED else ", from each address that claims it"
        yield f"{account} for {decision.account} {where}{by_site}"
    if total is not None and area is not None:
        yield f"{total} for all to {area.name}"
