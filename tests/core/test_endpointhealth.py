"""What a worker believes of an endpoint."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.care.endpointhealth import TRIAL_SHARE, EndpointHealth, Standing
from proxy.core.care.reaching import EndpointCare

CARE = EndpointCare(faults=3, first_s=1.0, longest_s=8.0, slow_start_s=10.0)
ALWAYS, NEVER = 0.0, 0.999_999  # draws: for any part at all, and for the whole alone


def health(**changes: float) -> EndpointHealth:
    return EndpointHealth(EndpointCare(**{"faults": 3, "longest_s": 8.0, **changes}))  # type: ignore[arg-type]  # whole


def test_one_connection_that_cannot_be_made_leaves_it_out_and_one_that_is_made_brings_it_back() -> None:
    one = health()
    one.unreachable(100)
    assert one.standing(100.9, ALWAYS) is Standing.UNREACHABLE
    one.connected(100.9)
    assert one.standing(100.9, ALWAYS) is Standing.SOUND


def test_attempts_that_fail_together_count_once_and_those_that_follow_double_the_time_up_to_a_bound() -> None:
    one = health()
    now_s = 100.0
    for out_s in (1.0, 2.0, 4.0, 8.0, 8.0):
        for _ in range(50):
            one.unreachable(now_s)
        assert one.believed(now_s + out_s - 0.01) is Standing.UNREACHABLE
        assert one.believed(now_s + out_s) is Standing.RETURNING
        now_s += out_s


def test_on_trial_it_gets_a_tenth_for_as_long_as_nothing_proves_it() -> None:
    one = health()
    one.unreachable(0)
    for now_s in (1.0, 100.0, 100_000.0):
        one.settle(now_s)
        assert one.standing(now_s, TRIAL_SHARE - 0.01) is Standing.SOUND
        assert one.standing(now_s, TRIAL_SHARE) is Standing.RETURNING


def test_proved_its_part_grows_evenly_and_then_all_is_forgotten() -> None:
    one = health()
    one.unreachable(0)
    one.connected(50)
    assert one.standing(55, 0.49) is Standing.SOUND
    assert one.standing(55, 0.51) is Standing.RETURNING
    one.settle(59.9)
    assert one.believed(59.9) is Standing.RETURNING
    one.settle(60)
    assert one.sound
    one.unreachable(61)  # the first time again
    assert one.believed(62) is Standing.RETURNING


def test_failing_again_before_its_part_is_whole_doubles_the_time() -> None:
    one = health()
    one.unreachable(0)
    one.connected(1)
    one.settle(5)
    one.unreachable(5)
    assert one.believed(6.9) is Standing.UNREACHABLE
    assert one.believed(7) is Standing.RETURNING


def test_only_faults_in_a_row_eject() -> None:
    one = health()
    for _ in range(5):
        assert not one.faulted(0, out=0, of=2)
        assert not one.faulted(0, out=0, of=2)
        one.answered(0)
    assert [one.faulted(0, out=0, of=2) for _ in range(3)] == [False, False, True]
    assert one.believed(0.9) is Standing.EJECTED


def test_on_trial_one_fault_ejects_again_for_longer() -> None:
    one = health()
    for _ in range(3):
        one.faulted(0, out=0, of=2)
    assert one.faulted(1, out=0, of=2)
    assert one.believed(2.9) is Standing.EJECTED
    one.answered(3)
    assert not one.faulted(3, out=0, of=2)


def test_an_answer_to_a_request_from_before_does_not_end_an_ejection_nor_does_a_connection() -> None:
    one = health()
    for _ in range(3):
        one.faulted(0, out=0, of=2)
    one.answered(0.5)
    one.connected(0.5)
    assert one.believed(0.9) is Standing.EJECTED
    one.connected(1)
    assert one.standing(1, TRIAL_SHARE) is Standing.RETURNING
    one.settle(1_000)
    assert not one.sound  # nothing has answered yet


@given(of=st.integers(1, 9), out=st.integers(0, 8))
def test_at_most_half_are_ejected(of: int, out: int) -> None:
    one = health()
    ejected = [one.faulted(0, out=out, of=of) for _ in range(20)]
    assert any(ejected) == (2 * (out + 1) <= of)


def test_faults_can_be_off_and_so_can_the_slow_start() -> None:
    one = health(faults=0, slow_start_s=0.0)
    assert not any(one.faulted(0, out=0, of=9) for _ in range(100))
    one.unreachable(0)
    one.connected(0.5)
    assert one.standing(0.5, NEVER) is Standing.SOUND


def test_what_probes_say_holds_until_they_say_otherwise_and_brings_back_what_was_unreachable() -> None:
    one = health()
    one.probed(0, healthy=False)
    one.settle(1_000)
    assert one.standing(1_000, ALWAYS) is Standing.UNHEALTHY
    one.unreachable(1_000)
    assert one.believed(1_000) is Standing.UNREACHABLE  # worse, and asked last
    one.probed(1_000.5, healthy=True)
    assert one.believed(1_000.5) is Standing.RETURNING
    one.settle(1_010.5)
    assert one.sound


@given(
    st.lists(
        st.tuples(st.sampled_from(["unreachable", "connected", "fault", "answered", "down", "up"]), st.floats(0, 9))
    )
)
def test_whatever_happened_an_endpoint_that_works_is_sound_in_the_end(story: list[tuple[str, float]]) -> None:
    one = EndpointHealth(CARE)
    now_s = 0.0
    for event, pause_s in story:
        now_s += pause_s
        match event:
            case "unreachable":
                one.unreachable(now_s)
            case "connected":
                one.connected(now_s)
            case "fault":
                one.faulted(now_s, out=0, of=2)
            case "answered":
                one.answered(now_s)
            case _:
                one.probed(now_s, healthy=event == "up")
        one.settle(now_s)
    now_s += CARE.longest_s
    one.probed(now_s, healthy=True)
    one.connected(now_s)
    one.answered(now_s)
    one.settle(now_s + CARE.slow_start_s + 0.01)  # now_s is no round number
    assert one.sound
