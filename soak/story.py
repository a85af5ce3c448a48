"""What is known of one request: what its client sent, where it arrived, and what came back. Times are seconds of the machine's monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique
from hashlib import blake2b
from typing import Final

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
ONCE: Final = frozenset({"POST", "PATCH"})
"""What may never happen twice."""


@unique
class End(StrEnum):
    """How an answer ended, in the eyes of its client."""

    WHOLE = "whole"
    CUT = "cut"  # it began, and can't be taken for whole
    NONE = "none"  # nothing came
    LEFT = "left"  # the client went away first


@unique
class Way(StrEnum):
    """How a request is made; what lasts has no end of its own."""

    PLAIN = "plain"
    WEBSOCKET = "websocket"
    EVENTS = "events"


@dataclass(slots=True)
class Sent:
    """What a client sent.

    Attributes:
        account: empty: none; then `visitor` is the id that the proxy gave, empty: none yet.
        pinned: the system that gave it a pin for this area, which it has with it; empty: none.
        whole: its body was sent to its end.
        asks: how it asked the backend to misbehave; empty: not.
        turn_s: when its turn came, on a connection where others were sent before it; 0: at once.
    """

    at_s: float
    method: str
    area: str
    account: str
    body_bytes: int = 0
    digest: str = ""
    whole: bool = True
    way: Way = Way.PLAIN
    asks: str = ""
    visitor: str = ""
    pinned: str = ""
    turn_s: float = 0.0

    @property
    def began_s(self) -> float:
        """When it could be decided at the earliest."""
        return max(self.at_s, self.turn_s)


@dataclass(slots=True)
class Arrival:
    """A request's head at an endpoint.

    Attributes:
        address: of the endpoint's end of the connection.
        whole: its body came to its end, so long and with that digest.
        answered: an answer was begun; `answer_whole`: it was meant to come whole.
    """

    at_s: float
    backend: str
    endpoint: int
    whole: bool = False
    body_bytes: int = 0
    digest: str = ""
    answered: bool = False
    answer_whole: bool = False
    answer_bytes: int = 0
    answer_digest: str = ""
    address: str = ""


@dataclass(slots=True)
class Seen:
    """What came back.

    Attributes:
        told_id, answered_by: what the backend says of itself.
        own: the fault that an answer of the proxy's own names.
        decided: `X-Strangler`, as (backend, area, reason, generation); empty: it didn't say.
        drill: `X-Strangler-Drill`.
        retry_after: that field's text.
        cookies: each `name=value` that it sets, without attributes.
    """

    at_s: float
    end: End
    status: int = 0
    body_bytes: int = 0
    digest: str = ""
    told_id: str = ""
    own: str = ""
    answered_by: str = ""
    decided: tuple[str, ...] = ()
    drill: str = ""
    retry_after: str = ""
    cookies: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why that system; empty: it didn't say."""
        return self.decided[2] if len(self.decided) == 4 else ""


@dataclass(slots=True)
class Story:
    """All of it."""

    id: str
    sent: Sent
    arrivals: list[Arrival] = field(default_factory=list)
    seen: Seen | None = None

    def told(self) -> str:
        """The whole story, a line for each thing that happened."""
        sent = self.sent
        asked = f", {sent.asks}" if sent.asks else ""
        pinned = f", pinned to {sent.pinned}" if sent.pinned else ""
        who = sent.account or f"visitor {sent.visitor or '—'}"
        lines = [f"{self.id}: {sent.method} {sent.area} for {who} ({sent.way}{asked}{pinned}), at {sent.at_s:.3f}"]
        lines.append(f"  sent {sent.body_bytes} B {sent.digest}{'' if sent.whole else ', cut'}")
        lines += [
            f"  arrived at {one.backend} {one.endpoint} ({one.address}), {one.at_s - sent.at_s:+.3f} s, {'whole' if one.whole else 'cut'}, {one.body_bytes} B {one.digest}; "
            + (f"answered {one.answer_bytes} B {one.answer_digest}{'' if one.answer_whole else ', cut'}" if one.answered else "unanswered")
            for one in self.arrivals
        ]  # fmt: skip
        if self.seen is not None:
            seen = self.seen
            lines.append(
                f"  seen {seen.at_s - sent.at_s:+.3f} s: {seen.status} {seen.end}, {seen.body_bytes} B {seen.digest}, id {seen.told_id or '—'} {seen.own} "
                f"{'; '.join(seen.decided)} {seen.drill}".rstrip()
            )
        return "\n".join(lines)


def digest_of(data: bytes) -> str:
    """Eight bytes that tell two bodies apart."""
    return blake2b(data, digest_size=8).hexdigest()
