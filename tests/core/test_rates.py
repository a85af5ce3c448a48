"""What a rate lets pass: never more than is written, and never less to who asks for no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.care.rates import Pace
from proxy.core.limits import Rate

_NS = 1_000_000_000
RATES = st.builds(Rate, st.floats(0.001, 1_000_000), st.integers(1, 50))
GAPS = st.lists(st.integers(0, 3 * _NS) | st.integers(0, 2000), max_size=60)


def interval_ns(rate: Rate) -> int:
    return Pace(Rate(rate.per_s)).taken(0, 0)


def passed(pace: Pace, moments: list[int]) -> list[int]:
    """The moments at which one was taken."""
    full_at, taken = 0, []
    for now in moments:
        if not pace.wait_ns(full_at, now):
            full_at = pace.taken(full_at, now)
            taken.append(now)
    return taken


def moments(start: int, gaps: list[int]) -> list[int]:
    made = [start]
    for gap in gaps:
        made.append(made[-1] + gap)
    return made


@given(RATES, st.integers(0, 1 << 60), GAPS)
def test_in_no_time_more_passes_than_a_burst_and_what_the_rate_gives(rate: Rate, start: int, gaps: list[int]) -> None:
    taken = passed(Pace(rate), moments(start, gaps))
    for i, first in enumerate(taken):
        for count, last in enumerate(taken[i:], 1):
            assert count <= rate.burst + (last - first) * rate.per_s / _NS * (1 + 1e-12)


@given(RATES, st.integers(0, 1 << 60), GAPS)
def test_who_never_asks_for_more_is_never_refused(rate: Rate, start: int, gaps: list[int]) -> None:
    least = interval_ns(rate)
    asked = moments(start, [gap + least for gap in gaps])
    bursts = [moment for moment in asked for _ in range(rate.burst if moment == start else 1)]
    if rate.burst == 1:
        assert passed(Pace(rate), asked) == asked
    else:
        assert passed(Pace(rate), bursts) == bursts


@given(RATES, st.integers(0, 1 << 60), st.integers(1, 100))
def test_who_is_refused_and_waits_as_long_as_told_is_taken_and_not_a_moment_sooner(
    rate: Rate, start: int, more: int
) -> None:
    pace = Pace(rate)
    full_at = 0
    for _ in range(rate.burst):
        assert not pace.wait_ns(full_at, start)
        full_at = pace.taken(full_at, start)
    wait = pace.wait_ns(full_at, start)
    assert wait == interval_ns(rate)
    for _ in range(more):  # to be refused costs nothing
        assert pace.wait_ns(full_at, start) == wait
    assert not pace.wait_ns(full_at, start + wait)
    assert pace.wait_ns(full_at, start + wait - 1) == 1


@given(RATES, RATES, st.integers(0, 1 << 60), st.integers(1, 60))
def test_who_took_all_at_another_pace_waits_no_longer_than_the_present_one_takes_to_give_one(
    before: Rate, rate: Rate, start: int, count: int
) -> None:
    former, pace = Pace(before), Pace(rate)
    full_at = 0
    for _ in range(count):
        full_at = former.taken(full_at, start)
    if not pace.wait_ns(full_at, start):
        return
    full_at, wait = pace.owed(full_at, start)
    assert 0 < wait <= interval_ns(rate)
    assert not pace.wait_ns(full_at, start + wait)  # who waits is taken
    assert pace.wait_ns(full_at, start) == wait  # and nobody else: a reload fills no bucket


@given(RATES, st.integers(1, 64))
def test_workers_together_allow_no_more_than_the_node_but_for_a_burst_of_one_each(rate: Rate, workers: int) -> None:
    part = Pace(rate, workers)
    assert part.taken(0, 0) >= interval_ns(rate) * workers - workers
    at_once = len(passed(part, [0] * (rate.burst + 1)))
    assert rate.burst <= at_once * workers < rate.burst + workers
    assert at_once >= 1


def test_a_rate_is_told_as_people_write_it() -> None:
    assert str(Rate(50, 100)) == "50/s, 100 at once"
    assert str(Rate(10 / 60, 10)) == "10/m, 10 at once"
    assert str(Rate(5 / 3600, 1)) == "5/h, 1 at once"
    assert str(Rate(0.5 / 3600, 1)) == "0.5/h, 1 at once"
