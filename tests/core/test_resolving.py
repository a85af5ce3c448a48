"""What is known of a name outlives whatever DNS says or doesn't say next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.care.reaching import Dns
from proxy.core.care.resolving import NO_ADDRESS, KnownName, Told

TERMS = Dns(shortest_s=5.0, longest_s=300.0)
V4 = st.lists(st.sampled_from(("10.0.0.1", "10.0.0.2", "10.0.0.3")), max_size=3)
V6 = st.lists(st.sampled_from(("2001:db8::1", "2001:db8::2")), max_size=2)


def told(addresses: st.SearchStrategy[list[str]]) -> st.SearchStrategy[Told]:
    good = st.builds(lambda found, ttl_s: Told(tuple(found), ttl_s), addresses, st.floats(0, 100_000))
    return good | st.just(Told(why="no"))


@given(st.lists(st.tuples(told(V4), told(V6)), min_size=1, max_size=8))
def test_a_name_never_loses_its_last_address_and_is_asked_for_within_bounds(answers: list[tuple[Told, Told]]) -> None:
    name = KnownName()
    for answer in answers:
        before = name.addresses
        changed = name.take(answer)
        assert changed is (name.addresses != before)
        assert name.addresses or not before
        assert TERMS.shortest_s <= name.wait_s(TERMS) <= TERMS.longest_s
        given_now = {one for family in answer for one in family.addresses}
        if given_now:
            assert given_now <= set(name.addresses) <= given_now | set(before)
            if not any(family.why for family in answer):
                assert set(name.addresses) == given_now
                assert not name.why
        else:
            assert name.addresses == before
            assert name.why


def test_a_family_that_many_servers_cannot_be_asked_for_is_no_trouble_as_long_as_it_never_had_an_address() -> None:
    name = KnownName()
    name.take((Told(("10.0.0.1",), 60.0), Told(why="DNS answers SERVFAIL")))
    assert (name.addresses, name.why, name.wait_s(TERMS)) == (("10.0.0.1",), "", 60.0)
    name.take((Told(("10.0.0.1",), 60.0), Told(("::1",), 30.0)))
    assert name.wait_s(TERMS) == 30.0
    name.take((Told(("10.0.0.2",), 60.0), Told(why="DNS answers SERVFAIL")))
    assert (name.addresses, name.why, name.wait_s(TERMS)) == (("10.0.0.2", "::1"), "DNS answers SERVFAIL", 5.0)


def test_a_name_without_addresses_is_told_so() -> None:
    name = KnownName()
    assert not name.take((Told(ttl_s=60.0), Told(ttl_s=60.0)))
    assert name.why == NO_ADDRESS
