"""How warm legacy is: what is shown, and what makes it less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.care.warmth import KEPT_H, Peaks, Seen, warmth

SEEN = Seen(
    legacy_per_s=200.0,
    returning_per_s=300.0,
    most_per_s=310.0,
    endpoints=2,
    healthy=2,
    workers=2,
    tripped=0,
    in_flight=10,
    max_in_flight=None,
)


def test_it_is_what_legacy_carried_against_what_it_would_get() -> None:
    found = warmth(SEEN)
    assert (found.percent, found.would_get_per_s, found.would_have_in_flight) == (62, 500.0, 25)


@pytest.mark.parametrize(
    ("changed", "percent"),
    [
        ({"most_per_s": 900.0}, 100),
        ({"most_per_s": 0.0}, 40),  # what it carries now is shown anyway
        ({"healthy": 1}, 31),
        ({"healthy": 0}, 0),
        ({"tripped": 1}, 31),
        ({"max_in_flight": 5}, 20),
        ({"max_in_flight": 1000}, 62),
        ({"legacy_per_s": 0.0, "most_per_s": 30.0}, 10),
        ({"legacy_per_s": 0.0, "returning_per_s": 0.0}, None),
    ],
)
def test_what_is_missing_makes_it_less(changed: dict[str, float], percent: int | None) -> None:
    assert warmth(SEEN._replace(**changed)).percent == percent  # type: ignore[arg-type]  # of its fields


@given(
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.integers(0, 4),
    st.integers(0, 8),
    st.none() | st.integers(1, 999),
)
def test_it_is_a_percentage_whatever_is_seen(
    legacy: float, returning: float, most: float, healthy: int, tripped: int, limit: int | None
) -> None:
    seen = Seen(legacy, returning, most, 4, healthy, 8, tripped, 10, limit)
    percent = warmth(seen).percent
    assert (percent is None) is (legacy + returning <= 0)
    assert percent is None or 0 <= percent <= 100


def test_the_most_of_a_day_is_kept_and_no_hour_before_it() -> None:
    peaks = Peaks({1: 900.0})
    assert peaks.note(2, 10.0)
    assert not peaks.note(2, 10.2)  # not worth a write
    assert peaks.note(2, 20.0)
    assert not peaks.note(2, 5.0)
    assert (peaks.most(2), peaks.most(KEPT_H), peaks.most(KEPT_H + 1)) == (900.0, 900.0, 20.0)
    peaks.note(KEPT_H + 1, 1.0)
    assert dict(peaks.hours) == {2: 20.0, KEPT_H + 1: 1.0}
