"""Regions are remembered for a while and within bounds, whatever stands for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.deciding.identity import LONGEST_IDENTITY_BYTES
from proxy.core.telling.pages import TextPage
from proxy.core.telling.sightings import LATELY_S, REGIONS_KEPT, REGIONS_PAGE_BYTES, Seen, Sightings


def page() -> TextPage:
    return TextPage(memoryview(bytearray(REGIONS_PAGE_BYTES)))


def read(*pages: TextPage) -> Seen:
    seen = Seen()
    for one in pages:
        text = one.read_text()
        if text is not None:
            seen.add(text)
    return seen


def test_a_region_is_seen_from_its_request_on_until_a_quarter_of_an_hour_without_another() -> None:
    one, other = page(), page()
    first, second = Sightings(one), Sightings(other)
    first.see("DE")
    first.publish(1_000)
    second.see("AT")
    second.see("DE")
    second.publish(1_100)
    assert read(one, other).lately(1_000 + LATELY_S) == {"DE", "AT"}
    assert read(one, other).lately(1_100 + LATELY_S) == {"DE", "AT"}
    assert read(one, other).lately(1_101 + LATELY_S) == frozenset()
    assert read(one).lately(1_101 + LATELY_S) == frozenset()


def test_a_successor_goes_on_where_a_killed_worker_stopped() -> None:
    shared = page()
    first = Sightings(shared)
    first.see("DE")
    first.publish(1_000)
    second = Sightings(shared)
    second.see("AT")
    second.publish(1_001)
    assert read(shared).last_s == {"DE": 1_000, "AT": 1_001}


def test_too_many_regions_are_said_to_be_too_many_and_those_that_came_first_stay() -> None:
    shared = page()
    sightings = Sightings(shared)
    names = [f"{number:03}" * (LONGEST_IDENTITY_BYTES // 3) for number in range(2 * REGIONS_KEPT)]
    for name in names[:REGIONS_KEPT]:
        sightings.see(name)
    sightings.publish(1_000_000_000)
    assert not read(shared).crowded(1_000_000_000)
    for name in names:
        sightings.see(name)
    sightings.publish(1_000_000_001)
    seen = read(shared)
    assert seen.crowded(1_000_000_001)
    assert not seen.crowded(1_000_000_002 + LATELY_S)
    assert seen.lately(1_000_000_001) == set(names[:REGIONS_KEPT])
    sightings.see("DE")
    sightings.publish(1_000_000_002 + LATELY_S)  # those of then have made room
    assert read(shared).last_s.keys() == {"DE"}


@given(st.sets(st.text(min_size=1, max_size=300), max_size=20))
def test_whatever_stands_for_a_region_is_read_again_or_left_out(regions: set[str]) -> None:
    shared = page()
    sightings = Sightings(shared)
    for region in regions:
        sightings.see(region)
    sightings.publish(1)
    readable = {one for one in regions if one.isprintable() and len(one.encode()) <= LONGEST_IDENTITY_BYTES}
    assert read(shared).last_s == dict.fromkeys(readable, 1)


def test_the_page_has_room_for_as_many_of_the_longest_as_are_kept() -> None:
    shared = page()
    sightings = Sightings(shared)
    for number in range(REGIONS_KEPT):
        sightings.see(chr(0x1F600 + number) + "x" * (LONGEST_IDENTITY_BYTES - 4))
    sightings.publish(99_999_999_999)
    assert len(read(shared).last_s) == REGIONS_KEPT
