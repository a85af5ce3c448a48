"""How a backend is reached, as parts of a plan: for how long it is waited for, when an endpoint of it is left out,
who waits while it is full, and when it is left alone.
"""

from __future__ import annotations

import msgspec


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A piece of a record of `proxy.core.plan`."""


class Patience(_Part, frozen=True, kw_only=True):
    """What an area or a route says of waiting for a backend; None: nothing, so that the wider one's holds."""

    timeout_s: float | None = None  # longest silence
    total_s: float | None = None  # for a whole exchange; 0: any time


class EndpointCare(_Part, frozen=True, kw_only=True):
    """When an endpoint of a backend is left out, for how long, and how it comes back."""

    faults: int = 5  # exchanges in a row that it leaves unanswered; 0: any number
    first_s: float = 1.0  # twice as long each time it fails again …
    longest_s: float = 30.0  # … up to this
    slow_start_s: float = 10.0  # until it gets its whole part again; 0: at once


class Probe(_Part, frozen=True, kw_only=True):
    """How each endpoint of a backend is asked whether it is healthy."""

    path: str
    every_s: float = 5.0
    timeout_s: float = 2.0
    unhealthy_after: int = 3  # probes in a row that failed
    healthy_after: int = 2  # and that didn't, since it was unhealthy


class QueueCare(_Part, frozen=True, kw_only=True):
    """Who waits for a place at a backend whose `max_in_flight` is reached (`proxy.core.care.fairqueue`). Counts are per node."""

    most: int = 1024  # 0: nobody, all are refused at once
    most_of_account: int = 0  # 0: a quarter of `most`
    wait_s: float = 1.0


class BreakerCare(_Part, frozen=True, kw_only=True):
    """When requests to a backend are refused because it leaves them unanswered (`proxy.core.care.breaker`)."""

    share_bp: int = 5000  # of the exchanges that ended in the window, that must have failed; 0: it never opens
    least: int = 20  # exchanges that must have ended in the window, on one worker
    window_s: float = 10.0
    first_s: float = 1.0  # that it is open; twice as long each time it opens again soon …
    longest_s: float = 30.0  # … up to this
    trials: int = 3  # that must be answered before it closes, and that may be under way at once
    statuses: tuple[int, ...] = ()  # that count as failures


class Retries(_Part, frozen=True, kw_only=True):
    """How many retries a backend gets from each worker (`proxy.core.care.retrybudget`)."""

    percent: int = 20  # of the requests sent to it …
    per_second: int = 10  # … and as many besides, …
    over_s: float = 10.0  # … both counted over the last so many seconds


class Dns(_Part, frozen=True, kw_only=True):
    """How the names of endpoints become addresses (`proxy.core.care.resolving`)."""

    servers: tuple[str, ...] = ()  # ADDRESS or ADDRESS:PORT, [ADDRESS]:PORT for IPv6; none: the system's
    shortest_s: float = 5.0  # between two questions, however short a record's time is …
    longest_s: float = 300.0  # … and however long
    timeout_s: float = 5.0  # for an answer
