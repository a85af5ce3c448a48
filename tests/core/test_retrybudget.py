"""Over any window that ends with a retry, retries are no more than a share of the requests and a floor; and none is refused before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.care.reaching import Retries
from proxy.core.care.retrybudget import RetryBudget

SLOT_S = 0.25
TERMS = st.builds(
    Retries, percent=st.integers(0, 100), per_second=st.integers(0, 3), over_s=st.sampled_from((0.25, 0.5, 1.0, 2.5))
)
# In each slot: requests that are sent, and retries that are asked for, by turns.
SLOTS = st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), max_size=4), max_size=30)


@given(TERMS, SLOTS, st.integers(0, 1000))
def test_a_retry_is_granted_exactly_as_long_as_the_window_has_room(
    terms: Retries, slots: list[list[tuple[int, int]]], before: int
) -> None:
    budget = RetryBudget(terms, SLOT_S, before)
    window = round(terms.over_s / SLOT_S)
    floor = int(terms.per_second * terms.over_s)
    sent, granted = before, [0]
    began = [before]
    for slot in slots:
        for requests, asked in slot:
            sent += requests
            for _ in range(asked):
                retries = sum(granted[-window:]) + 1
                has_room = retries <= floor + terms.percent / 100 * (sent - began[-window:][0]) + 1e-9
                assert budget.spend(sent) is has_room
                granted[-1] += has_room
        budget.turn(sent)
        granted.append(0)
        began.append(sent)


def test_other_terms_hold_at_once_and_what_was_spent_stays_spent() -> None:
    budget = RetryBudget(Retries(percent=0, per_second=2, over_s=10), SLOT_S)
    assert [budget.spend(0) for _ in range(21)] == [True] * 20 + [False]
    budget.obey(Retries(percent=0, per_second=3, over_s=10))
    budget.turn(0)
    assert [budget.spend(0) for _ in range(11)] == [True] * 10 + [False]
    budget.obey(Retries(percent=0, per_second=1, over_s=10))
    assert not budget.spend(0)
