"""The laws of the queue: bounds, turns, and nobody lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.care.fairqueue import FairQueue, Offered

ACCOUNTS = st.sampled_from("abcde")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), ACCOUNTS),
        st.tuples(st.just("take"), st.just("")),
        st.tuples(st.just("leave"), st.integers(0, 60).map(str)),
    ),
    max_size=80,
)


@given(STEPS, st.integers(0, 8), st.integers(0, 4))
def test_nobody_is_lost_or_served_twice_and_no_bound_is_passed(
    steps: list[tuple[str, str]], most: int, most_of_one: int
) -> None:
    queue: FairQueue[int] = FairQueue(most, most_of_one)
    waiting: dict[int, str] = {}
    for number, (step, what) in enumerate(steps):
        if step == "offer":
            of_account = sum(account == what for account in waiting.values())
            offered = queue.offer(what, number)
            if len(waiting) >= most:
                assert offered is Offered.FULL
            elif of_account >= most_of_one:
                assert offered is Offered.TOO_MANY
            else:
                assert offered is Offered.WAITS
                waiting[number] = what
        elif step == "take":
            taken = queue.take()
            if taken is None:
                assert not waiting
            else:
                account = waiting.pop(taken)
                assert all(taken < other for other, of in waiting.items() if of == account)  # first come, first served
        else:
            queue.leave(int(what))
            waiting.pop(int(what), None)
        assert len(queue) == len(waiting)
        assert all(one in queue for one in waiting)
    assert queue.take_all() == list(waiting)
    assert queue.take() is None


@given(st.lists(st.one_of(ACCOUNTS, st.none()), max_size=100))
def test_while_an_account_waits_every_other_is_served_once_at_most_before_it(steps: list[str | None]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(1000, 1000)
    waiting: Counter[str] = Counter()
    others: dict[str, Counter[str]] = {}  # served since the account began to wait, or was served last
    for number, account in enumerate([*steps, *[None] * len(steps)]):
        if account is not None:
            if not waiting[account]:
                others[account] = Counter()
            waiting[account] += 1
            queue.offer(account, (account, number))
        elif (taken := queue.take()) is not None:
            served, _ = taken
            assert set(others[served].values()) <= {1}
            waiting[served] -= 1
            for waits, seen in others.items():
                if waits != served and waiting[waits]:
                    seen[served] += 1
            others[served] = Counter()
    assert not len(queue)
