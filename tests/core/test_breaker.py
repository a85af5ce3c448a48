"""The breaker: its table, its window, and how long it stays open."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.care.breaker import TRANSITIONS, Breaker, Effect, Event, State
from proxy.core.care.reaching import BreakerCare

CARE = BreakerCare(share_bp=5000, least=4, window_s=10.0, first_s=1.0, longest_s=5.0, trials=2)
MIDDLE = 0.5  # of the jitter: exactly the time that is meant


def test_every_event_has_its_place_in_every_state_and_changes_nothing_only_where_it_stays() -> None:
    assert set(TRANSITIONS) == set(itertools.product(State, Event))
    for (state, _), (to, effect) in TRANSITIONS.items():
        assert (state is to) is (effect is Effect.NOTHING)
        assert (
            effect is {State.OPEN: Effect.REFUSE, State.HALF_OPEN: Effect.TRY, State.CLOSED: Effect.PASS}[to]
            or state is to
        )


def test_only_these_ways_lead_from_state_to_state() -> None:
    moves = {(state, event, to) for (state, event), (to, _) in TRANSITIONS.items() if state is not to}
    assert moves == {
        (State.CLOSED, Event.FAILED_TOO_OFTEN, State.OPEN),
        (State.OPEN, Event.TIME_OVER, State.HALF_OPEN),
        (State.HALF_OPEN, Event.TRIAL_FAILED, State.OPEN),
        (State.HALF_OPEN, Event.PROVED, State.CLOSED),
        (State.OPEN, Event.SWITCHED_OFF, State.CLOSED),
        (State.HALF_OPEN, Event.SWITCHED_OFF, State.CLOSED),
    }


class Run:
    """A breaker, and what its owner counts."""

    def __init__(self, care: BreakerCare = CARE) -> None:
        self.breaker = Breaker(care)
        self.now_s = 100.0
        self.ended = 0
        self.tick()

    def tick(self, seconds: float = 0.0) -> Effect:
        self.now_s += seconds
        return self.breaker.tick(self.now_s, self.ended)

    def succeed(self, times: int = 1) -> None:
        self.ended += times

    def fail(self, times: int = 1) -> Effect:
        effects = []
        for _ in range(times):
            effects.append(self.breaker.failed(self.now_s, self.ended, MIDDLE))
            self.ended += 1
        return effects[-1]


def test_it_opens_when_the_share_is_reached_and_not_one_failure_before() -> None:
    run = Run()
    run.succeed(5)
    assert run.fail(4) is Effect.NOTHING  # 4 of 9
    assert run.fail() is Effect.REFUSE  # 5 of 10
    assert run.breaker.state is State.OPEN
    assert run.breaker.failed_of == (5, 10)


def test_few_requests_prove_nothing() -> None:
    run = Run()
    assert run.fail(3) is Effect.NOTHING
    assert run.fail() is Effect.REFUSE


def test_what_lies_before_the_window_counts_no_more() -> None:
    run = Run()
    run.succeed(1000)
    for _ in range(45):
        run.tick(0.25)
    assert run.fail(4) is Effect.REFUSE
    run = Run()
    run.fail(3)
    for _ in range(45):
        run.tick(0.25)
    assert run.fail(3) is Effect.NOTHING


def test_its_time_doubles_while_it_keeps_opening_and_is_forgotten_in_peace() -> None:
    run = Run()
    run.fail(4)
    for open_s in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert run.breaker.closed_for_s(run.now_s) == pytest.approx(open_s)
        assert run.tick(open_s - 0.01) is Effect.NOTHING
        assert run.tick(0.02) is Effect.TRY
        assert run.breaker.trial_failed(run.now_s, MIDDLE) is Effect.REFUSE
    run.tick(5.01)
    for effect in (Effect.NOTHING, Effect.PASS):
        assert run.breaker.trial_answered(run.now_s, run.ended) is effect
    assert run.fail(4) is Effect.REFUSE  # at once again: no peace
    assert run.breaker.closed_for_s(run.now_s) == pytest.approx(5.0)
    run.tick(5.01)
    for _ in range(2):
        run.breaker.trial_answered(run.now_s, run.ended)
    run.tick(10.0)
    run.fail(4)
    assert run.breaker.closed_for_s(run.now_s) == pytest.approx(1.0)


def test_as_many_are_tried_as_have_to_be_answered_and_no_more() -> None:
    run = Run()
    assert not run.breaker.may_try(0)
    run.fail(4)
    assert not run.breaker.may_try(0)
    run.tick(1.01)
    assert [run.breaker.may_try(under_way) for under_way in (0, 1, 2)] == [True, True, False]
    run.breaker.trial_answered(run.now_s, run.ended)
    assert [run.breaker.may_try(under_way) for under_way in (0, 1)] == [True, False]


def test_what_opened_it_does_not_open_it_again_once_it_is_closed() -> None:
    run = Run()
    run.fail(4)
    run.tick(1.01)
    for _ in range(2):
        run.breaker.trial_answered(run.now_s, run.ended)
    assert run.breaker.state is State.CLOSED
    assert run.fail(3) is Effect.NOTHING


def test_switched_off_it_closes_and_never_opens() -> None:
    run = Run()
    run.fail(4)
    assert run.breaker.obey(BreakerCare(share_bp=0)) is Effect.PASS
    assert run.fail(100) is Effect.NOTHING


@given(st.lists(st.sampled_from(["ok", "fail", "tick", "trial fails", "trial answered"]), max_size=200))
def test_whatever_happens_only_a_table_entry_moves_it(steps: list[str]) -> None:
    run = Run()
    for step in steps:
        before = run.breaker.state
        match step:
            case "ok":
                run.succeed()
                effect = Effect.NOTHING
            case "fail":
                effect = run.fail()
            case "tick":
                effect = run.tick(0.3)
            case "trial fails":
                effect = run.breaker.trial_failed(run.now_s, MIDDLE)
            case _:
                effect = run.breaker.trial_answered(run.now_s, run.ended)
        after = run.breaker.state
        assert (before is after) is (effect is Effect.NOTHING)
        assert (before, after) in {(state, to) for (state, _), (to, _) in TRANSITIONS.items()}


@given(st.floats(0, 1, exclude_max=True))
def test_its_time_is_a_quarter_more_or_less(draw: float) -> None:
    breaker = Breaker(CARE)
    for ended in range(4):
        breaker.failed(0.0, ended, draw)
    assert 0.75 <= breaker.closed_for_s(0.0) <= 1.25
