"""Which of the two systems answers: the precedence, top to bottom, in one place.

1. a retired area: new
2. the latch: legacy
3. the route's own `to:`, and `otherwise`
4. (later: a tester's override; a pin)
5. the area's flag, clause by clause

`decide` serves the traffic path and, with a `Trace`, `explain`: there is no second implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.model import Backend, Grade, Reason, Standing

if TYPE_CHECKING:
    from proxy.core.generation import Generation
    from proxy.core.latch import Latch
    from proxy.core.message import RequestHead
    from proxy.core.match import LiveRoute


class Decision:
    """The answer to one request's question, and all that the log and `explain` say about it.

    Not a frozen dataclass: one is made for every request, and a frozen one costs 1 µs more.
    """

    __slots__ = (
        "account",  # text; None unless standing is KNOWN
        "area",  # the area's name; None: no route matched
        "backend",
        "bucket",  # place on the ramp; None unless reason is SHARE
        "clause",  # the clause's id, with reason CLAUSE and SHARE
        "detail",  # for people: what went wrong, with FLAG_ERROR and IDENTITY_INVALID
        "grade",
        "path",  # the normal form that was matched
        "reason",
        "region",
        "route",  # the route, None: `otherwise`
        "standing",
    )
    account: str | None
    area: str | None
    backend: Backend
    bucket: int | None
    clause: str | None
    detail: str | None
    grade: Grade | None
    path: str
    reason: Reason
    region: str | None
    route: LiveRoute | None
    standing: Standing


class Trace:
    """What `explain` hears while `decide` walks: one call a step, in order."""

    def step(self, place: str | None, what: str, result: object) -> None:
        """Take note of one step.

        Args:
            place: file:line:column of what was looked at; None when it stands in no file.
            what: the condition in words or as JsonLogic text.
            result: what came of it.
        """
        raise NotImplementedError


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
    raise NotImplementedError
