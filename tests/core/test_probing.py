"""Verdicts of probes."""

from __future__ import annotations

from proxy.core.care.probing import ProbeTally


def changes(tally: ProbeTally, outcomes: str) -> str:
    """What a row of probes makes of it: `.` succeeded, `x` failed → `!` where the verdict changes."""
    return "".join("!" if tally.take("refused" if one == "x" else "") else "-" for one in outcomes)


def test_only_failures_in_a_row_make_it_unhealthy_and_only_successes_in_a_row_healthy() -> None:
    tally = ProbeTally(unhealthy_after=3, healthy_after=2)
    assert changes(tally, "xx.xx.xxx") == "--------!"
    assert changes(tally, ".x.x..") == "-----!"
    assert changes(tally, "xxx") == "--!"


def test_it_begins_with_what_was_known_before() -> None:
    tally = ProbeTally(unhealthy_after=3, healthy_after=1, healthy=False)
    assert (tally.known, tally.healthy) == (False, False)
    assert changes(tally, "xx.") == "--!"
    assert (tally.known, tally.healthy) == (True, True)
