"""What broke an exchange: whose fault, at which stage, of what kind.

=========  ==========================================================================================
Stage      The exchange was
=========  ==========================================================================================
connect    about to be sent: nothing of it has reached a backend, so another endpoint may be tried
request    being sent, or held back by a limit of ours
head       waiting for the answer's head, or reading a head (the client's, when the party is client)
body       relaying a body; an answer that breaks here is cut, never ended cleanly
=========  ==========================================================================================

A client that leaves is the client's fault alone: it never counts against a backend.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final, NamedTuple

from proxy.core.model import Backend

CLIENT_LEFT: Final = 499
"""The status that is recorded, never sent, when the client left first (nginx's `client closed request`)."""


@unique
class Party(StrEnum):
    """Who broke it."""

    CLIENT = "client"
    LEGACY = "legacy"
    NEW = "new"
    PROXY = "proxy"


@unique
class Stage(StrEnum):
    """How far the exchange had come."""

    CONNECT = "connect"
    REQUEST = "request"
    HEAD = "head"
    BODY = "body"


@unique
class Kind(StrEnum):
    """What happened."""

    MALFORMED = "malformed"  # a message that could be read in two ways, or in none
    LOOPED = "looped"  # a request that this proxy has passed on before
    TOO_LARGE = "too_large"  # more bytes or lines than a limit allows
    TIMEOUT = "timeout"
    CUT = "cut"  # the connection ended before the message did
    LEFT = "left"  # the client hung up
    UNREACHABLE = "unreachable"  # no connection could be made
    UNTRUSTED = "untrusted"  # a backend's certificate is expired, of nobody we trust, or for another host
    HANDSHAKE = "handshake"  # no TLS could be agreed on, for any other reason
    BUSY = "busy"  # as many requests in flight, or connections of a client, as are allowed
    CAPPED = "capped"  # more requests in a time than an account may make, or an area takes
    TRIPPED = "tripped"  # its breaker is open: it left too many requests unanswered
    DRAINED = "drained"  # this process had to end first
    DRILLED = "drilled"  # a drill answered in a backend's place
    FROZEN = "frozen"  # writes are held up while data is moved
    ROLLED_BACK = "rolled_back"  # a tunnel or an event stream that a rollback covers
    FAILED = "failed"  # a defect of ours


class Fault(NamedTuple):
    """One break: party × stage × kind. Its `name` is what clients, logs and metrics are told."""

    party: Party
    stage: Stage
    kind: Kind

    @property
    def name(self) -> str:
        """Such as `new-head-timeout`."""
        return f"{self.party.value}-{self.stage.value}-{self.kind.value}"

    @property
    def retry_safe(self) -> bool:
        """Whether another endpoint may be asked: only when no byte of the request can have been read."""
        return self.stage is Stage.CONNECT

    @property
    def status(self) -> int:
        """The status of the answer the proxy gives for it, when none was begun."""
        match self.kind:
            case Kind.MALFORMED:
                return 400 if self.party is Party.CLIENT else 502
            case Kind.TOO_LARGE:
                return 413 if self.party is Party.CLIENT else 502
            case Kind.TIMEOUT:
                return 408 if self.party is Party.CLIENT else 504
            case Kind.LEFT:
                return CLIENT_LEFT
            case Kind.CUT | Kind.UNREACHABLE | Kind.UNTRUSTED | Kind.HANDSHAKE:
                return 502
            case Kind.BUSY if self.party is Party.CLIENT:
                return 429
            case Kind.CAPPED:
                return 429
            case Kind.BUSY | Kind.TRIPPED | Kind.DRAINED | Kind.DRILLED | Kind.FROZEN | Kind.ROLLED_BACK:
                return 503
            case Kind.LOOPED:
                return 508
            case Kind.FAILED:
                return 500


_PARTIES: Final = {Backend.LEGACY: Party.LEGACY, Backend.NEW: Party.NEW}


def party_of(backend: Backend) -> Party:
    """The party that a backend is."""
    return _PARTIES[backend]
