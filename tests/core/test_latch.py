from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.switches.latch import (
    OPEN,
    CannotRelease,
    Entry,
    Latch,
    LatchUnreadable,
    Scope,
    decode_latch,
    encode_latch,
    prevailing,
    release,
    throw,
    union,
)

names = st.one_of(st.none(), st.sampled_from(["orders", "DE", "ü"]))
scopes = st.builds(Scope, area=names, segment=names, region=names)
entries = st.builds(
    Entry,
    id=st.sampled_from(["r1", "r2", "r3"]),
    scope=scopes,
    by=st.text(),
    reason=st.text(),
    at=st.just("now"),
    plan=names,
)
latches = st.builds(Latch, epoch=st.integers(0, 99), entries=st.lists(entries, max_size=4).map(tuple))


def entry(name: str, **scope: str) -> Entry:
    return Entry(id=name, scope=Scope(**scope), by="ops (0)", reason="smells", at="2026-11-22T17:00:00Z", plan="ab")


@given(latches)
def test_a_latch_survives_its_file(latch: Latch) -> None:
    assert decode_latch(encode_latch(latch)) == latch


def test_the_file_has_the_promised_form() -> None:
    latch, _ = throw(Latch(epoch=16), entry("r1", area="orders"))
    assert json.loads(encode_latch(latch)) == {
        "version": 1,
        "epoch": 17,
        "entries": [
            {
                "id": "r1",
                "scope": {"area": "orders"},
                "by": "ops (0)",
                "reason": "smells",
                "at": "2026-11-22T17:00:00Z",
                "plan": "ab",
            }
        ],
    }


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"null", b"[]", b'{"version": 2, "epoch": 1, "entries": []}', b'{"version": 1, "epoch": 1, "entries": [{}]}',
     b'{"version": 1, "epoch": "1", "entries": []}', b'{"version": 1, "epoch": 1, "entries": [], "more": 1}', b"\xff\xfe{}"],
)  # fmt: skip
def test_what_is_no_latch_is_unreadable(text: bytes) -> None:
    with pytest.raises(LatchUnreadable):
        decode_latch(text)


def test_the_same_scope_thrown_again_stays_one_entry() -> None:
    once, first = throw(OPEN, entry("r1", area="orders"))
    twice, again = throw(once, entry("r2", area="orders"))
    assert (first, again) == (entry("r1", area="orders"), entry("r1", area="orders"))
    assert (twice.epoch, twice.entries) == (2, once.entries)


@pytest.mark.parametrize("wanted", ["r2", Scope(area="orders")])
def test_a_release_ends_exactly_one_entry(wanted: str | Scope) -> None:
    latch = Latch(
        epoch=5, entries=(entry("r1", segment="s"), entry("r2", area="orders"), entry("r3", area="orders", region="DE"))
    )
    left, released = release(latch, wanted)
    assert (left.epoch, [one.id for one in left.entries], released.id) == (6, ["r1", "r3"], "r2")


@pytest.mark.parametrize("wanted", ["r2", Scope(area="orders")])
def test_a_release_under_a_wider_rollback_is_refused_and_names_that_one(wanted: str | Scope) -> None:
    latch = Latch(epoch=5, entries=(entry("r1"), entry("r2", area="orders")))
    with pytest.raises(CannotRelease, match=r"r2 \(area orders\) lies within r1 \(everything\), which stands"):
        release(latch, wanted)


def test_a_release_of_a_scope_under_a_wider_entry_names_that_one() -> None:
    latch = Latch(epoch=5, entries=(entry("r1", area="orders"),))
    with pytest.raises(CannotRelease, match=r"r1 \(area orders\) is wider and stands"):
        release(latch, Scope(area="orders", region="DE"))
    with pytest.raises(CannotRelease, match=r"in force: r1 \(area orders\)"):
        release(latch, Scope())
    with pytest.raises(CannotRelease, match="in force: none"):
        release(OPEN, "r9")


@given(st.lists(latches, max_size=3))
def test_a_union_loses_no_entry_and_no_epoch(several: list[Latch]) -> None:
    whole = union(several)
    assert whole.epoch == max((latch.epoch for latch in several), default=0)
    wanted = {(one.id, one.scope) for latch in several for one in latch.entries}
    assert {(one.id, one.scope) for one in whole.entries} == wanted


def test_the_highest_epoch_prevails_and_equals_are_joined() -> None:
    old, new, other = (
        Latch(epoch=epoch, entries=(entry(name, area=name),)) for epoch, name in ((4, "a"), (5, "b"), (5, "c"))
    )
    assert prevailing([old, new, other]) == Latch(epoch=5, entries=(*new.entries, *other.entries))
    assert prevailing([]) == OPEN


@pytest.mark.parametrize(
    ("scope", "text"), [(Scope(), "everything"), (Scope(area="a", region="DE"), "area a, region DE")]
)
def test_a_scope_reads_as_people_say_it(scope: Scope, text: str) -> None:
    assert str(scope) == text
