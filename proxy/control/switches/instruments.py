"""What the shipped alerting rules would see of a drill (docs/monitoring/alerts.yaml), from the counters since it began.

The thresholds are those of the rules; their `for:` is not waited for, as it is a person's choice how long to wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from proxy.core.model import Backend

ERRORS: Final = "errors"
SLOWER: Final = "slower"

FAILING_SHARE: Final = 0.05
"""StranglerAreaFailsOnNew: so much of an area's requests …"""
FAILING_OF: Final = 50
"""… of at least so many."""
SLOWER_TIMES: Final = 2.0
"""StranglerNewSlower: the slowest twentieth takes so many times as long as on the other system …"""
SLOWER_OF: Final = 200
"""… of at least so many requests."""

_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_QUANTILE: Final = 0.95

Counts = Mapping[str, int]


def noticed(before: Counts, now: Counts, *, backend: Backend, area: str | None) -> set[str]:
    """Which of the rules a drill has met.

    Args:
        before: every series, as it was when the drill began.
        now: the same, as it is.
        backend: the system that seems to have the fault.
        area: the drill's; None: any.
    """
    found = set()
    if _fails(before, now, backend, area):
        found.add(ERRORS)
    other = Backend.LEGACY if backend is Backend.NEW else Backend.NEW
    (mine, count), (its, _) = (_slowest_us(before, now, one) for one in (backend, other))
    if count > SLOWER_OF and its is not None and mine is not None and mine > SLOWER_TIMES * its:
        found.add(SLOWER)
    return found


def _fails(before: Counts, now: Counts, backend: Backend, area: str | None) -> bool:
    totals: dict[str, list[int]] = {}
    for name, value in now.items():
        if name.startswith("strangler_requests_total{"):
            labels = dict(_LABEL.findall(name))
            if labels["backend"] == backend and area in {None, labels["area"]}:
                total = totals.setdefault(labels["area"], [0, 0])
                total[0] += value - before.get(name, 0)
                total[1] += (value - before.get(name, 0)) * (labels["status"] == "5xx")
    return any(of > FAILING_OF and failed > FAILING_SHARE * of for of, failed in totals.values())


def _slowest_us(before: Counts, now: Counts, backend: Backend) -> tuple[float | None, int]:
    """The bound below which 95 % of the answers' heads came, None: there were none, or no bound is so high; and how many came."""
    start = f'strangler_request_head_us_bucket{{backend="{backend}",le="'
    buckets = {
        name[len(start) : -2]: value - before.get(name, 0) for name, value in now.items() if name.startswith(start)
    }
    count = buckets.pop("+Inf", 0)
    bounds = sorted((float(bound), value) for bound, value in buckets.items())
    if not count:
        return None, 0
    return next((bound for bound, value in bounds if value >= _QUANTILE * count), float("inf")), count
