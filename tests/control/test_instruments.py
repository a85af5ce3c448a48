"""What a drill's report calls noticed is what the shipped alerting rules look at."""

from __future__ import annotations

import re
from itertools import accumulate

import pytest

from proxy.control.switches.instruments import (
    ERRORS,
    FAILING_OF,
    FAILING_SHARE,
    SLOWER,
    SLOWER_OF,
    SLOWER_TIMES,
    noticed,
)
from proxy.core.model import Backend
from tests.docs.reading import ROOT

RULES = (ROOT / "docs" / "monitoring" / "alerts.yaml").read_text()


def answers(area: str, *, good: int, bad: int, backend: str = "new") -> dict[str, int]:
    start = f'strangler_requests_total{{area="{area}",backend="{backend}",status='
    return {start + '"2xx"}': good, start + '"5xx"}': bad}


def heads(backend: str, *, under_10_ms: int, under_100_ms: int = 0) -> dict[str, int]:
    counts = accumulate((under_10_ms, under_100_ms, 0))
    return {
        f'strangler_request_head_us_bucket{{backend="{backend}",le="{bound}"}}': count
        for bound, count in zip(("10000", "100000", "+Inf"), counts, strict=True)
    }


@pytest.mark.parametrize(
    ("good", "bad", "found"),
    [(95, 5, set()), (94, 6, {ERRORS}), (46, 4, set()), (46, 5, {ERRORS})],
)
def test_errors_are_noticed_from_the_share_and_the_number_of_the_rule_on(good: int, bad: int, found: set[str]) -> None:
    before = answers("orders", good=1000, bad=0)
    now = answers("orders", good=1000 + good, bad=bad)
    assert noticed(before, now, backend=Backend.NEW, area="orders") == found
    assert noticed(before, now, backend=Backend.NEW, area=None) == found
    assert noticed(before, now, backend=Backend.NEW, area="help") == set()
    assert noticed(before, now, backend=Backend.LEGACY, area="orders") == set()


@pytest.mark.parametrize(
    ("quick", "slow", "found"), [(190, 11, {SLOWER}), (189, 11, set()), (195, 6, set())], ids=["slow", "few", "quick"]
)
def test_slowness_is_noticed_where_the_slowest_twentieth_takes_twice_as_long_as_on_the_other(
    quick: int, slow: int, found: set[str]
) -> None:
    now = {**heads("new", under_10_ms=quick, under_100_ms=slow), **heads("legacy", under_10_ms=10)}
    assert noticed({}, now, backend=Backend.NEW, area="orders") == found
    assert noticed(now, now, backend=Backend.NEW, area="orders") == set()


def test_the_thresholds_are_those_of_the_rules() -> None:
    (fails,) = re.findall(r"alert: StranglerAreaFailsOnNew\n.*?for:", RULES, re.DOTALL)
    (slower,) = re.findall(r"alert: StranglerNewSlower\n.*?for:", RULES, re.DOTALL)
    assert f"> {FAILING_SHARE:g}\n" in fails
    assert f"> {FAILING_OF}\n" in fails
    assert f"> {SLOWER_TIMES:g} *" in slower
    assert f"> {SLOWER_OF}\n" in slower
    assert "histogram_quantile(0.95" in slower
