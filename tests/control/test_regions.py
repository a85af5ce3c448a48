"""Whoever rolls a region back hears whether requests have it."""

from __future__ import annotations

from pathlib import Path

from proxy.control.switches.scopes import Names, remarks
from proxy.control.telling.regions import regions_seen
from proxy.core.layout import StateDir
from proxy.core.switches.latch import Scope
from proxy.core.telling.pages import TextPage
from proxy.core.telling.sightings import LATELY_S, Seen, Sightings
from proxy.supervise.mapped import map_page, prepare_run, remove_run

KNOWN = Names(areas={}, segments=frozenset())
NOW_S = 1_000_000_000


def told(seen: Seen, region: str | None = "DE", now_s: float = NOW_S) -> tuple[str, ...]:
    return remarks(Scope(region=region), KNOWN, seen, now_s)


def test_what_workers_of_all_slots_saw_is_read_from_their_pages(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    assert regions_seen(state).last_s == {}
    prepare_run(state, 3)
    try:
        for slot, region in enumerate(("DE", "AT")):
            sightings = Sightings(TextPage(map_page(state.regions(slot), writable=True)))
            sightings.see(region)
            sightings.publish(NOW_S)
        assert regions_seen(state).lately(NOW_S) == {"DE", "AT"}
    finally:
        remove_run(state)


def test_a_region_that_requests_have_needs_no_word_and_one_that_none_has_is_named_with_the_nearest() -> None:
    seen = Seen()
    seen.add(b"0\n%d Bavaria\n%d Tyrol" % (NOW_S, NOW_S))
    assert told(seen, "Bavaria") == ()
    assert told(seen, None) == ()
    assert told(seen, "Bavraia") == ('no request of the last 15 minutes had region Bavraia; did you mean "Bavaria"?',)
    assert told(seen, "XY") == ("no request of the last 15 minutes had region XY; known: Bavaria, Tyrol",)
    assert told(seen, "Bavaria", NOW_S + LATELY_S + 1) == ("no request of the last 15 minutes had region Bavaria",)


def test_where_too_many_come_nothing_is_claimed() -> None:
    seen = Seen()
    seen.add(b"%d\n%d AT" % (NOW_S, NOW_S))
    (remark,) = told(seen)
    assert remark == "more regions come in than are remembered: nobody knows whether any request has DE"
    assert told(seen, "AT") == ()


def test_a_plan_that_cannot_be_read_is_said_as_well() -> None:
    assert len(remarks(Scope(region="DE"), None, Seen(), NOW_S)) == 2
    assert len(remarks(Scope(), None, None, NOW_S)) == 1
