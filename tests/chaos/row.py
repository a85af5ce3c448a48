"""One row of the table of faults: what is promised in docs/faults.md, and the scene that holds it to that.

A scene provokes its fault on real sockets or processes and describes what it saw in the same words as the row; each column is
compared. How fast is proved without a clock: the one setting that the row names is small, all others are an hour, so if it ends at all within a
test's patience, it ended because of that setting; where the row names none, it ended by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from proxy.core.care.reaching import BreakerCare, QueueCare, Retries
from proxy.core.limits import Limits

AN_HOUR_S: Final = 3600.0
AT_ONCE: Final = "at once"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a fault, in words; `says` is everything on standard error, `metrics` the series that are above zero."""

    client: str
    backends: str
    log: str
    recovers: str
    says: str
    metrics: str


@dataclass(frozen=True, slots=True)
class Setting:
    """What bounds a wait or a size: its name in routes.yaml, and values small enough for a test."""

    name: str
    backend: dict[str, Any] = dataclasses.field(default_factory=dict)
    limits: dict[str, Any] = dataclasses.field(default_factory=dict)


SETTINGS: Final = {
    one.name: one
    for one in (
        Setting(AT_ONCE),
        Setting("`connect` (2 s)", {"connect_s": 0.2}),
        Setting("`timeout` (20 s)", {"timeout_s": 0.3}),
        Setting("`total` (off)", {"total_s": 0.3}),
        Setting("`min_rate` (240 B/s) over `timeout` (20 s)", {"timeout_s": 0.5, "min_rate_bytes": 100_000}),
        Setting("`queue.wait` (1 s)", {"max_in_flight": 1, "queue": QueueCare(wait_s=0.3)}),
        Setting("`queue.most` (1,024)", {"max_in_flight": 1, "queue": QueueCare(most=0)}),
        Setting("`breaker`: 20 requests in 10 s, half of them unanswered", {"breaker": BreakerCare(least=2, first_s=2.0, longest_s=2.0)}),
        Setting("`retries`: a fifth of the requests, and 10 a second", {"retries": Retries(percent=0, per_second=0)}),
        Setting("`rate.account` (off)"),
        Setting("`rate.total` (off)"),
        Setting("`--for` (15 m at most)"),
        Setting("its record's time, at least `dns.shortest` (5 s)"),
        Setting("`limits.answer_head` (64 KiB)", limits={"answer_head_bytes": 1000}),
        Setting("`limits.interim_answers` (16)", limits={"interim_answers": 3}),
        Setting("`limits.head` (64 KiB)", limits={"head_bytes": 1000}),
        Setting("`limits.head_timeout` (60 s)", limits={"head_s": 0.3}),
        Setting("`limits.body_timeout` (60 s)", limits={"body_s": 0.3}),
        Setting("`limits.min_rate` (240 B/s) over `limits.body_timeout` (60 s)", limits={"body_s": 0.5, "min_rate_bytes": 100_000}),
        Setting("`limits.body` (off)", limits={"body_bytes": 4}),
        Setting("`limits.stall` (60 s)", limits={"client_stall_s": 0.3}),
        Setting("`limits.idle` (75 s)", limits={"idle_s": 0.3}),
        Setting("`limits.connections_per_client` (off)", limits={"connections_per_client": 2}),
        Setting("`limits.connections` (half of the descriptors)", limits={"connections": 4}),
        Setting("`timeout` (20 s); how many, `limits.connections`", {"timeout_s": 0.3}, {"connections": 4}),
        Setting("`limits.tunnel_idle` (1 h)", limits={"tunnel_idle_s": 0.3}),
    )
}  # fmt: skip
"""Of rows that run in this process. Rows of processes name what their scene waits for."""

_PATIENT: Final = {
    "timeout_s": AN_HOUR_S,
    "connect_s": AN_HOUR_S,
    "min_rate_bytes": 0,
    "breaker": BreakerCare(share_bp=0),
}
_PATIENT_LIMITS: Final = {
    name: AN_HOUR_S for name in Limits.__struct_fields__ if name.endswith("_s") and name != "linger_s"
} | {"min_rate_bytes": 0}


def options_of(within: str) -> dict[str, Any]:
    """For `tests.traffic.wire.a_plan`: everything is patient but what a row names."""
    setting = SETTINGS[within]
    backend = _PATIENT | setting.backend
    return {
        "legacy_options": backend,
        "new_options": backend,
        "limits": Limits(**(_PATIENT_LIMITS | setting.limits)),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault and what is promised of it.

    Attributes:
        id: names it in tests and documents.
        fault: what goes wrong.
        client: what it is told.
        within: the setting that bounds how long or how much, with its default; or `at once`.
        backends: what arrived there.
        log: status and fault in the access log; empty: no line.
        says: words on standard error; empty: nothing.
        metric: a series that counts it; empty: none does.
        recovers: how it goes on once the cause is gone.
        scene: provokes it.
    """

    id: str
    fault: str
    client: str
    within: str = AT_ONCE
    backends: str
    log: str
    says: str = ""
    metric: str = ""
    recovers: str
    scene: Callable[..., Seen]

    def differences(self, seen: Seen) -> list[str]:
        """Where what was seen isn't what is promised."""
        found = [
            f"{column}: promised {promised!r}, seen {got!r}"
            for column, promised, got in (
                ("client", self.client, seen.client),
                ("backends", self.backends, seen.backends),
                ("log", self.log, seen.log),
                ("recovers", self.recovers, seen.recovers),
            )
            if promised != got
        ]
        if (self.says not in seen.says) if self.says else seen.says:
            found.append(f"standard error: promised {self.says!r}, said {seen.says!r}")
        if self.metric not in seen.metrics:
            found.append(f"metrics: promised {self.metric!r}, counted {seen.metrics!r}")
        return found
