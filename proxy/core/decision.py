"""Which of the two systems answers: the precedence, top to bottom, in one place.

1. a retired area: new
2. the latch: legacy
3. the route's own `to:`, and `otherwise`
4. (with pins and testers, later: a signed override; a pin against a ramp)
5. the area's flag, clause by clause; an identity that can't be read: legacy

`decide` serves the traffic path and, with a `Trace`, `explain`: there is no second implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from proxy.core.facts import Facts
from proxy.core.identity import identify
from proxy.core.message import BadMessage
from proxy.core.model import Backend, Reason, Standing
from proxy.core.path import split_path

if TYPE_CHECKING:
    from proxy.core.generation import Generation
    from proxy.core.latch import Entry, Latch
    from proxy.core.match import LiveRoute, Trie
    from proxy.core.message import RequestHead


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
        "clause",  # the clause's id, with reason CLAUSE, SHARE and FLAG_ERROR
        "reason",
        "route",  # None: `otherwise`
    )
    backend: Backend
    bucket: int | None
    clause: str | None
    reason: Reason
    route: LiveRoute | None


def decide(
    generation: Generation, head: RequestHead, *, peer_trusted: bool, latch: Latch, trace: Trace | None = None
) -> Decision:
    """Decide one request.

    Args:
        generation: the plan as this worker runs it, read once per request.
        head: the request's head, target in origin form.
        peer_trusted: whether the connection comes from an address in `identity.trusted_from`.
        latch: the rollbacks in force.
        trace: hears every step; None on the traffic path.

    Raises:
        BadMessage: the path can be read as belonging to different areas (400).
    """
    decision = Decision()
    decision.generation = generation
    decision.head = head
    decision.peer_trusted = peer_trusted
    decision.area = decision.route_id = decision.bucket = decision.clause = None
    decision._segments = {}  # noqa: SLF001  ours by inheritance
    decision.host, tries = generation.host_entry(head.host)
    path, readings = split_path(head.target.partition(b"?")[0])
    decision.path = path
    decision.parts = parts = path[1:].split("/")
    identify(decision, generation.account_sources, generation.region_sources)
    if trace is not None:
        _tell_identity(decision, trace)

    route = None
    for trie in tries:
        route = trie.find(path, parts, decision, trace)
        if route is not None:
            break
    if readings:
        _refuse_confusion(decision, tries, route, readings)
    decision.route = route
    if route is None:
        decision.backend = generation.settings.otherwise
        decision.reason = Reason.OTHERWISE
        if latch.entries and (entry := _covering(decision, latch)) is not None:
            _roll_back(decision, entry, trace)
        elif trace is not None:
            trace.step(None, "no route matches: otherwise", decision.backend)
        return decision
    area = route.area
    decision.area = area.name
    decision.route_id = route.id

    # 1. retired areas lie outside the latch
    if area.retired:
        decision.backend = Backend.NEW
        decision.reason = Reason.RETIRED
        if trace is not None:
            trace.step(area.place, f"area {area.name}: retired", "new")
        return decision
    # 2. the latch
    if latch.entries and (entry := _covering(decision, latch)) is not None:
        _roll_back(decision, entry, trace)
        return decision
    # 3. the route's own word
    if route.to is not None:
        decision.backend = route.to
        decision.reason = Reason.FIXED
        if trace is not None:
            trace.step(route.record.place, f"route {route.id}: to", route.to)
        return decision
    # 5. the flag
    _ask_flag(decision, route, trace)
    return decision


def _ask_flag(decision: Decision, route: LiveRoute, trace: Trace | None) -> None:
    decision.backend = Backend.LEGACY
    if decision.standing is Standing.INVALID:
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
    decision.backend, decision.reason, decision.clause, decision.bucket, detail = flag.answer(decision, trace)
    if detail is not None:
        decision.detail = detail


def _refuse_confusion(
    decision: Decision, tries: tuple[Trie, ...], route: LiveRoute | None, readings: tuple[str, ...]
) -> None:
    """Refuse a path that a stricter or more lenient backend would take to another area, or another `to:`."""
    meant = (None, None) if route is None else (route.area.name, route.to)
    for reading in readings:
        parts = reading[1:].split("/")
        other = None
        for trie in tries:
            other = trie.find(reading, parts, decision, None)
            if other is not None:
                break
        if meant != ((None, None) if other is None else (other.area.name, other.to)):
            raise BadMessage("the path can be read in more than one way, and the readings belong to different areas")


def _covering(decision: Decision, latch: Latch) -> Entry | None:
    """The first entry whose scope holds the request; what can't be judged counts as covered."""
    for entry in latch.entries:
        scope = entry.scope
        if scope.area is not None and scope.area != decision.area:
            continue
        if scope.region is not None and decision.standing is not Standing.INVALID and scope.region != decision.region:
            continue
        if scope.segment is not None:
            segment = decision.generation.segments.get(scope.segment)
            unsure = segment is None or (segment.needs_account and decision.standing is Standing.INVALID)
            if not unsure and not decision.in_segment(scope.segment):
                continue
        return entry
    return None


def _roll_back(decision: Decision, entry: Entry, trace: Trace | None) -> None:
    decision.backend = Backend.LEGACY
    decision.reason = Reason.ROLLED_BACK
    decision.detail = f"rollback {entry.id} by {entry.by}: {entry.reason}"
    if trace is not None:
        trace.step(None, decision.detail, "legacy")


def _tell_identity(decision: Decision, trace: Trace) -> None:
    match decision.standing:
        case Standing.KNOWN:
            trace.step(None, "account", f"{decision.account} ({decision.grade})")
        case Standing.ABSENT:
            trace.step(None, "account", "none")
        case Standing.INVALID:
            trace.step(None, "account", f"unknown: {decision.detail}")
    if decision.region is not None:
        trace.step(None, "region", decision.region)
