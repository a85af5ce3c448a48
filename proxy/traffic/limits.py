"""What one client or backend may ask of the proxy, with the precedent of each number, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TICK_S: Final = 0.25
"""How often deadlines are looked at. A timer for each request would cost 2 µs; a timeout is late by one tick at most."""

WATER_BYTES: Final = 64 * 1024
"""What may wait in one direction of one exchange before its source is paused (asyncio's and nginx's order of size)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one worker; tests make them small.

    Attributes:
        head_bytes: a request's or an answer's head. Envoy 60 KiB, Node.js 16 KiB, nginx 4 × 8 KiB.
        request_line_bytes: nginx and Apache 8 KiB, IIS 16 KiB: what stands in front must not be narrower than
            what it stands in front of.
        head_s: for a request's whole head, from its first byte (nginx `client_header_timeout`).
        idle_s: between requests (nginx `keepalive_timeout`).
        client_stall_s: for a client that doesn't read its answer (nginx `send_timeout`).
        backend_idle_s: for a connection in a pool (nginx upstream `keepalive_timeout`).
        linger_s: for a client to notice that its upload isn't wanted (nginx `lingering_timeout`).
        greet_s: when draining, for a request that is on its way already, on an idle connection or in the accept queue.
        replay_bytes: how much of a request is kept for a second try (nginx buffers all of it).
        tunnel_idle_s: for a byte in either direction of a tunnel. Envoy's TCP proxy 1 h, and what HAProxy advises for
            `timeout tunnel`; nginx 60 s, but what ran without pings before must run behind this too.
        tunnel_half_closed_s: the same after one side has ended (HAProxy `timeout client-fin`, `server-fin`).
        interim_answers: 1xx answers before the final one; curl and hyper allow any number, Go 5.
    """

    head_bytes: int = 64 * 1024
    request_line_bytes: int = 16 * 1024
    head_s: float = 60.0
    idle_s: float = 75.0
    client_stall_s: float = 60.0
    backend_idle_s: float = 60.0
    linger_s: float = 5.0
    greet_s: float = 1.0
    replay_bytes: int = 64 * 1024
    tunnel_idle_s: float = 3600.0
    tunnel_half_closed_s: float = 60.0
    interim_answers: int = 16


def ticks(seconds: float) -> int:
    """How many ticks must have passed for these seconds to be over for sure."""
    return int(-(-seconds // TICK_S)) + 1
