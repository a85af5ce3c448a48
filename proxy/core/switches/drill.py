"""Drills: for a bounded time some accounts meet a fault on purpose, so that people and instruments learn what they would do.

Everything here is values; who writes the file is `proxy.control.switches.drills`, who follows it in a worker is
`proxy.supervise.drillwatch`, what requests meet is `proxy.traffic.exchanges.drilling`. The file's form is a promise (docs/game-day.md).

Where a rollback or a freeze takes whatever can't be judged into its scope, a drill leaves it out: in doubt nobody is hit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum, unique
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec

from proxy.core.model import SHARE_TOTAL_BP, Backend, Reason, Standing
from proxy.core.switches.bounded import Bounded, Several
from proxy.core.targeting.bucketing import ramp

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision

MOST: Final = 4
"""Drills at the same time: each is meant to be watched, and what a worker tells of all of them fits on its page."""

LONGEST_DELAY_S: Final = 60.0
"""Longer than a backend's usual `timeout`, beyond which a delay is a time-out anyway."""


@unique
class FaultKind(StrEnum):
    """What a drill does in a backend's place."""

    DELAY = "delay"  # it takes longer to begin its answer
    STATUS = "status"  # it answers with an error
    RESET = "reset"  # it breaks the connection instead of answering
    REFUSED = "refused"  # it takes no connection
    SLOW = "slow"  # it sends the body of its answer slowly
    ROLLBACK = "rollback"  # nothing: a rollback is rehearsed, and the latch does that


class Injection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is injected.

    Attributes:
        value: of a delay its seconds, of a status the status, of a slow body its bytes a second; else 0.
    """

    kind: FaultKind
    value: float = 0.0

    def __str__(self) -> str:
        match self.kind:
            case FaultKind.DELAY:
                return f"delay={self.value:g}s"
            case FaultKind.STATUS:
                return f"status={self.value:g}"
            case FaultKind.SLOW:
                return f"slow={self.value:g}B"
            case FaultKind.RESET | FaultKind.REFUSED | FaultKind.ROLLBACK:
                return self.kind.value


class BadInjection(ValueError):
    """The text names no fault that can be injected; it says which can."""


_KNOWN: Final = "delay=2s (60s at most), status=503 (400 to 599), reset, refused, or slow=1KB (bytes a second)"
_DELAY: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")
_RATE: Final = re.compile(r"(\d+)(B|KB)")
_BYTES: Final = {"B": 1, "KB": 1000}


def read_injection(text: str) -> Injection:
    """What a person wrote, such as `delay=2s`.

    Raises:
        BadInjection: it is none.
    """
    name, given, value = text.partition("=")
    match name:
        case "reset" | "refused" if not given:
            return Injection(FaultKind(name))
        case "delay" if (found := _DELAY.fullmatch(value)) is not None:
            delay_s = float(found[1]) / (1000 if found[2] == "ms" else 1)
            if 0 < delay_s <= LONGEST_DELAY_S:
                return Injection(FaultKind.DELAY, delay_s)
        case "status" if re.fullmatch(r"[45]\d\d", value) and int(value) in set(HTTPStatus):
            return Injection(FaultKind.STATUS, float(value))
        case "slow" if (found := _RATE.fullmatch(value)) is not None and int(found[1]) > 0:
            return Injection(FaultKind.SLOW, float(int(found[1]) * _BYTES[found[2]]))
        case _:
            pass
    raise BadInjection(f'"{text}" is no fault; known are {_KNOWN}')


class Drill(Bounded, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One drill.

    Attributes:
        fault: what is injected.
        backend: the system that seems to have it.
        share_bp: of the accounts in scope, in basis points; always the same ones throughout a drill.
        without_account: whether requests without an account are hit too, each drawn for itself, in the same share.
        uid: who, as a number: the end of a rehearsed rollback is a release by the same person.
        ended_by: who ended it early, by name; None: nobody did.
        ended_reason: why.
    """

    fault: Injection
    backend: Backend = Backend.NEW
    share_bp: int = SHARE_TOTAL_BP
    without_account: bool = False
    uid: int
    ended_by: str | None = None
    ended_reason: str = ""

    @property
    def rehearses(self) -> bool:
        """Whether it is a rollback that is rehearsed, and nothing is injected."""
        return self.fault.kind is FaultKind.ROLLBACK


class Drills(Several[Drill], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All drills of one epoch."""


NO_DRILL: Final = Drills()

_SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class LiveDrill:
    """A drill as requests meet it.

    Attributes:
        drill: what it is.
        ends_s: on the monotonic clock of this process.
        ended: it was ended before its time.
    """

    __slots__ = ("_place", "drill", "ended", "ends_s")

    def __init__(self, drill: Drill, ends_s: float) -> None:
        self.drill = drill
        self.ends_s = ends_s
        self.ended = False
        self._place = ramp(drill.id)

    def hits(self, decision: Decision, request_id: bytes, now_s: float) -> bool:
        """Whether a request meets the fault.

        Args:
            decision: the request, and who answers it.
            request_id: its id, which draws for a request without an account.
            now_s: on the clock of `ends_s`.
        """
        drill = self.drill
        if self.ended or now_s >= self.ends_s or decision.backend is not drill.backend:
            return False
        if decision.reason is Reason.ROLLED_BACK or not _certainly_in(drill, decision):
            return False  # a rollback leads out of every fault, also out of one of legacy's
        if drill.fault.kind is FaultKind.ROLLBACK:
            return False
        if drill.fault.kind is FaultKind.SLOW and not _may_be_slowed(decision):
            return False
        account = decision.account
        if account is None:
            if not drill.without_account:
                return False
            account = request_id.decode("latin-1")
        return self._place(account, SHARE_TOTAL_BP) < drill.share_bp


def hitting(decision: Decision, request_id: bytes, drills: Iterable[LiveDrill], now_s: float) -> LiveDrill | None:
    """The first drill that hits a request; the arguments are those of `LiveDrill.hits`."""
    return next((live for live in drills if live.hits(decision, request_id, now_s)), None)


def _may_be_slowed(decision: Decision) -> bool:
    """Only what changes nothing: it is the one fault that shows after a backend got the request. And no tunnel: it has no body."""
    head = decision.head
    return head.method in _SAFE and b"upgrade" not in head.connection


def _certainly_in(drill: Drill, decision: Decision) -> bool:
    """Whether a request lies in the scope beyond doubt."""
    scope = drill.scope
    if decision.standing is Standing.INVALID or (scope.area is None and scope.segment is None):
        return False
    if scope.area is not None and scope.area != decision.area:
        return False
    if scope.region is not None and scope.region != decision.region:
        return False
    return scope.segment is None or decision.in_segment(scope.segment)
