"""What one client or backend may ask of the proxy: how much, how many, how long.

`proxy.config.edges.limits` has the table of the same limits for people: key, default, what happens, precedent.
"""

from __future__ import annotations

from enum import StrEnum, unique

import msgspec

KIB = 1024


@unique
class Limit(StrEnum):
    """A limit, by its key in routes.yaml; counted under that name whenever it ends or refuses something."""

    HEAD = "head"
    REQUEST_LINE = "request_line"
    HEADERS = "headers"
    BODY = "body"
    CHUNK_LINE = "chunk_line"
    CHUNK_EXTENSIONS = "chunk_extensions"
    TRAILERS = "trailers"
    TRAILER_FIELDS = "trailer_fields"
    HEAD_TIMEOUT = "head_timeout"
    BODY_TIMEOUT = "body_timeout"
    MIN_RATE = "min_rate"
    STALL = "stall"
    IDLE = "idle"
    LINGER = "linger"
    REQUESTS_PER_CONNECTION = "requests_per_connection"
    CONNECTIONS = "connections"
    CONNECTIONS_PER_CLIENT = "connections_per_client"
    PIPELINED = "pipelined"
    ANSWER_HEAD = "answer_head"
    ANSWER_HEADERS = "answer_headers"
    INTERIM_ANSWERS = "interim_answers"
    REPLAY = "replay"
    BACKEND_IDLE = "backend_idle"
    TUNNEL_IDLE = "tunnel_idle"
    TUNNEL_HALF_CLOSED = "tunnel_half_closed"
    RATED_ACCOUNTS = "rated_accounts"


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The value of every limit. Bytes, seconds, or a count; where a limit may be off, 0 is off.

    Attributes:
        head_bytes: a request's head. What stands in front must not be narrower than what it stands in front of.
        body_bytes: a request's body; an area may have its own.
        head_s: for a request's whole head, from its first byte.
        body_s: for the next byte of a request's body, while the backend would take it.
        min_rate_bytes: a second, on average over the time that silence would be borne: given of a body, or taken of an answer.
        client_stall_s: for a client that takes nothing of its answer.
        idle_s: between requests.
        linger_s: for a client to notice that its upload isn't wanted.
        requests_per_connection: the last of them is answered with a close.
        connections: of clients, per node; 0: half of the file descriptors of each worker.
        connections_per_client: of one address, per worker.
        pipelined_bytes: read ahead of the request that is in flight.
        replay_bytes: of a body, kept for a second try.
        interim_answers: before the final one.
        backend_idle_s: for a connection in a pool.
        tunnel_idle_s: for a byte in either direction of a tunnel.
        tunnel_half_closed_s: the same after one side has ended.
        rated_accounts: whose rate a worker remembers.
    """

    head_bytes: int = 64 * KIB
    request_line_bytes: int = 16 * KIB
    header_count: int = 100
    body_bytes: int = 0
    chunk_line_bytes: int = 4 * KIB
    chunk_extensions_bytes: int = 16 * KIB
    trailers_bytes: int = 16 * KIB
    trailer_count: int = 100
    head_s: float = 60.0
    body_s: float = 60.0
    min_rate_bytes: int = 240
    client_stall_s: float = 60.0
    idle_s: float = 75.0
    linger_s: float = 5.0
    requests_per_connection: int = 0
    connections: int = 0
    connections_per_client: int = 0
    pipelined_bytes: int = 64 * KIB
    replay_bytes: int = 64 * KIB
    answer_head_bytes: int = 64 * KIB
    answer_header_count: int = 256
    interim_answers: int = 16
    backend_idle_s: float = 60.0
    tunnel_idle_s: float = 3600.0
    tunnel_half_closed_s: float = 60.0
    rated_accounts: int = 65_536


DEFAULT_LIMITS = Limits()


class Rate(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What may come: so many at once, and then so many a second. `per_s` 0: anything."""

    per_s: float
    burst: int = 1

    def __str__(self) -> str:
        """For people."""
        units = (("s", 1), ("m", 60), ("h", 3600))
        counts = [(round(self.per_s * seconds, 6), unit) for unit, seconds in units]
        count, unit = next((one for one in counts if one[0] >= 1), counts[-1])
        return f"{count:.10g}/{unit}, {self.burst} at once"
