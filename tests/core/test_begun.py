"""What has begun long ago is judged as its next request would be, and by the name it bears."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.deciding.decision import Decision
from proxy.core.generation import Generation
from proxy.core.model import Backend
from proxy.core.plan import Area, Segment
from proxy.core.switches.begun import covers_begun
from proxy.core.switches.covering import NOTHING_ROLLED_BACK, LiveEntry, LiveLatch, Under
from proxy.core.switches.latch import Entry, Scope
from tests.core import plans

PEER = "10.1.2.3"
TO_NEW = plans.route("/orders/**", to=Backend.NEW)
GERMAN = Segment(name="german", place="-", regions=("DE",))
FIRST = plans.live(plans.plan(TO_NEW))


def latch(*, under: Generation | Under = Under.RUNNING, **scope: Any) -> LiveLatch:
    entry = Entry(id="r1", scope=Scope(**scope), by="me", reason="smells", at="now")
    return LiveLatch(1, [LiveEntry(entry, under)])


def covered(decision: Decision, running: Generation, held: LiveLatch) -> bool:
    return covers_begun(decision, running, held, PEER) is not None


@pytest.mark.parametrize(
    ("scope", "holds"),
    [({}, True), ({"area": "orders"}, True), ({"area": "help"}, False), ({"area": "orders", "region": "DE"}, False)],
)
def test_under_the_generation_it_began_in_it_is_judged_as_it_was(scope: dict[str, Any], holds: bool) -> None:
    decision = plans.ask(FIRST, "/orders/1", account="acme")
    assert covered(decision, FIRST, latch(**scope)) is holds


def test_no_rollback_covers_nothing() -> None:
    decision = plans.ask(FIRST, "/orders/1")
    assert not covered(decision, FIRST, NOTHING_ROLLED_BACK)
    assert not covered(decision, plans.live(plans.plan(TO_NEW), number=2), NOTHING_ROLLED_BACK)


def test_after_a_reload_segments_are_those_of_now_also_when_its_own_generation_is_taken_apart() -> None:
    before = plans.live(plans.plan(TO_NEW, segments=(GERMAN,)))
    decision = plans.ask(before, "/orders/1")
    for _ in before.dismantle():
        pass
    now = plans.live(plans.plan(TO_NEW, segments=(GERMAN,)), number=2)
    assert not covered(decision, now, latch(segment="german"))
    assert covered(decision, now, latch(area="orders"))


@pytest.mark.parametrize("area", ["orders", "help"])
def test_after_its_path_has_moved_both_names_cover_it(area: str) -> None:
    decision = plans.ask(FIRST, "/orders/1")
    now = plans.live(plans.plan(plans.route("/orders/**", area="help", to=Backend.NEW)), number=2)
    assert covered(decision, now, latch(area=area))
    assert not covered(decision, now, latch(area="neither"))


def test_what_can_no_longer_be_placed_counts_as_covered() -> None:
    decision = plans.ask(FIRST, "/orders/a%2Fb")
    split = plans.route("/orders/a/b", area="help", to=Backend.NEW)
    now = plans.live(plans.plan(TO_NEW, split), number=2)
    assert covered(decision, now, latch(area="neither"))
    assert not covered(decision, now, NOTHING_ROLLED_BACK)


def test_what_has_retired_since_lies_outside_unless_the_rollback_is_older() -> None:
    decision = plans.ask(FIRST, "/orders/1")
    gone = Area(name="orders", place="-", flag="orders", retired=True)
    now = plans.live(plans.plan(plans.route("/orders/**"), areas=(gone,)), number=2)
    assert not covered(decision, now, latch())
    assert covered(decision, now, latch(under=FIRST, area="orders"))
