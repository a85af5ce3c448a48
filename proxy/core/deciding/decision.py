"""Which of the two systems answers: the precedence, top to bottom, in one place.

1. a retired area: new (unless it was retired under a rollback)
2. the latch: legacy
3. the route's own `to:`, and `otherwise`
4. the area's flag, clause by clause; an identity that can't be read: legacy
5. a pin, against a percentage between 0 and 100 alone: where the client began
6. availability: where new can't be reached at all, and the area says so, legacy (`proxy.core.deciding.fallback`); known only to the
   traffic path, which sends the request on

`decide` serves the traffic path and, with a `Trace`, `explain`: there is no second implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from proxy.core.deciding.facts import Facts
from proxy.core.deciding.placing import place
from proxy.core.model import Backend, Reason, Standing
from proxy.core.switches.covering import LiveLatch, covering

if TYPE_CHECKING:
    from proxy.core.deciding.match import LiveRoute
    from proxy.core.deciding.pins import Pinning
    from proxy.core.generation import Generation
    from proxy.core.http.message import RequestHead


# Kept: with CPython 3.11 asking an enum for a member by name runs Python code, 500 instructions each time.
_LEGACY: Final = Backend.LEGACY
_INVALID: Final = Standing.INVALID
_SHARE: Final = Reason.SHARE


class Trace(Protocol):
    """What `explain` hears while `decide` walks: one call a step, in order."""

    def step(self, place: str | None, what: str, result: str) -> None:
        """Take note of one step.

        Args:
            place: file:line:column of what was looked at; None when it stands in no file.
            what: the condition in words.
            result: what came of it.
        """


class Decision(Facts):
    """What is known of a request and, once `decide` has returned, the answer to its question.

    One object for both, and not a frozen dataclass: one is made for every request (a frozen one costs 1 µs more).
    """

    __slots__ = (
        "backend",
        "bucket",  # place on the ramp; None unless the flag hashed something
        "clause",  # the clause's id, with reason CLAUSE, SHARE, PINNED and FLAG_ERROR
        "pinning",  # with reason SHARE and PINNED in an area that pins; else None
        "reason",
        "route",  # None: `otherwise`
    )
    backend: Backend
    bucket: int | None
    clause: str | None
    pinning: Pinning | None
    reason: Reason
    route: LiveRoute | None


def decide(
    generation: Generation,
    head: RequestHead,
    *,
    peer_trusted: bool,
    latch: LiveLatch,
    peer: str | None = None,
    trace: Trace | None = None,
) -> Decision:
    """Decide one request.

    Args:
        generation: the plan as this worker runs it, read once per request.
        head: the request's head, target in origin form.
        peer_trusted: whether the connection comes from an address in `identity.trusted_from`.
        latch: the rollbacks in force.
        peer: the client's address, for rollbacks thrown under another plan; None: trusted as `peer_trusted` says.
        trace: hears every step; None on the traffic path.

    Raises:
        BadMessage: the path can be read as belonging to different areas (400).
    """
    decision = Decision()
    decision.bucket = decision.clause = decision.pinning = None
    route = place(decision, generation, head, peer_trusted=peer_trusted, trace=trace)
    decision.route = route
    # The latch is second, but an area that was retired under a rollback is still covered by it.
    entry = covering(decision, latch, peer) if latch.entries else None
    if entry is not None:
        decision.backend = Backend.LEGACY
        decision.reason = Reason.ROLLED_BACK
        decision.detail = f"rollback {entry.id} ({entry.scope}) by {entry.by} at {entry.at}: {entry.reason}"
        if trace is not None:
            trace.step(None, decision.detail, "legacy")
    elif route is None:
        decision.backend = generation.settings.otherwise
        decision.reason = Reason.OTHERWISE
        if trace is not None:
            trace.step(None, "no route matches: otherwise", decision.backend)
    elif route.area.retired:
        decision.backend = Backend.NEW
        decision.reason = Reason.RETIRED
        if trace is not None:
            trace.step(route.area.place, f"area {route.area.name}: retired", "new")
    elif route.to is not None:
        decision.backend = route.to
        decision.reason = Reason.FIXED
        if trace is not None:
            trace.step(route.record.place, f"route {route.id}: to", route.to)
    else:
        _ask_flag(decision, route, trace)
    return decision


def _ask_flag(decision: Decision, route: LiveRoute, trace: Trace | None) -> None:
    decision.backend = _LEGACY
    if decision.standing is _INVALID:
        decision.reason = Reason.IDENTITY_INVALID
        if trace is not None:
            trace.step(None, f"identity can't be read ({decision.detail}): the flag is not asked", "legacy")
        return
    flag = route.flag
    if flag is None:
        decision.reason = Reason.NO_FLAG
        if trace is not None:
            trace.step(route.area.place, f"no flag named {route.area.flag}", "legacy")
        return
    visitors = decision.generation.visitors
    if visitors is not None and decision.account is None:
        visitors.meet(decision, trace)
    decision.backend, decision.reason, decision.clause, decision.bucket, detail = flag.answer(decision, trace)
    if detail is not None:
        decision.detail = detail
    pins = decision.generation.pins
    if pins is not None and decision.reason is _SHARE:
        pins.hold(decision, trace)
