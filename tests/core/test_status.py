"""An area's status follows from the plan and the latch."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.model import Backend, Status
from proxy.core.plan import Area, BackendSpec, Clause, Flag, Identity, Plan, Route, new_settings
from proxy.core.switches.latch import OPEN, Entry, Latch, Scope
from proxy.core.telling.status import area_statuses, managed_share_bp

PILOTS_NEW = ("pilots", "new")
KEY_LEGACY = ("key-accounts", "legacy")


def ramp(new: int, legacy: int, *clauses: tuple[str, str], default: str | None = "legacy", **rest: Any) -> Flag:
    written = [
        Clause(id=str(number), place=f"f:{number}:1", when={"in": [segment, {"var": "segments"}]}, then=outcome)
        for number, (segment, outcome) in enumerate(clauses, start=1)
    ]
    written.append(Clause(id="9", place="f:9:1", then={"fractional": [["new", new], ["legacy", legacy]]}))
    values: dict[str, Any] = {"enabled": True, "managed": True} | rest
    variants = {"new": "new", "legacy": "legacy"}
    return Flag(key="orders", place="f:1:1", variants=variants, default=default, clauses=tuple(written), **values)


def constant(default: str | None) -> Flag:
    return Flag(key="orders", place="f:1:1", enabled=True, variants={"new": "new", "legacy": "legacy"}, default=default)


def by_hand() -> Flag:
    clause = Clause(id="1", place="f:1:1", when={"==": [{"var": "region"}, "DE"]}, then="new")
    return Flag(key="orders", place="f:1:1", enabled=True, variants={"new": "new"}, default=None, clauses=(clause,))


def status(flag: Flag | None, *fixed: Backend | None, retired: bool = False, latch: Latch = OPEN) -> tuple[Status, Any]:
    plan = Plan(
        settings=new_settings(otherwise=Backend.LEGACY),
        identity=Identity(),
        backends=tuple(BackendSpec(name=name, urls=("http://127.0.0.1:1",), place="r:1:1") for name in Backend),
        areas=(Area(name="orders", place="r:2:1", flag="orders", retired=retired),),
        routes=tuple(
            Route(id=f"orders/{number}", area="orders", place="r:3:1", path=f"/{number}", to=to)
            for number, to in enumerate(fixed or (None,), start=1)
        ),
        flags=() if flag is None else (flag,),
    )
    (found,) = area_statuses(plan, latch)
    return found.status, found.share_bp


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (None, (Status.LEGACY, 0)),
        (ramp(50, 50, enabled=False), (Status.LEGACY, 0)),
        (ramp(0, 100), (Status.LEGACY, 0)),
        (ramp(0, 100, KEY_LEGACY), (Status.LEGACY, 0)),
        (ramp(0, 100, PILOTS_NEW), (Status.CANARY, 0)),
        (ramp(0, 100, default="new"), (Status.CANARY, 0)),
        (ramp(1, 9_999), (Status.CANARY, 1)),
        (ramp(5, 95, PILOTS_NEW, KEY_LEGACY), (Status.CANARY, 500)),
        (ramp(99, 1, default="new"), (Status.CANARY, 9_900)),
        (ramp(100, 0), (Status.LIVE_FOR_ACCOUNTS, 10_000)),
        (ramp(100, 0, default=None), (Status.LIVE_FOR_ACCOUNTS, 10_000)),
        (ramp(100, 0, default="new"), (Status.LIVE, 10_000)),
        (ramp(100, 0, PILOTS_NEW, default="new"), (Status.LIVE, 10_000)),
        (ramp(10_000, 0, KEY_LEGACY, default="new"), (Status.CANARY, 10_000)),
        (constant("new"), (Status.LIVE, 10_000)),
        (constant("legacy"), (Status.LEGACY, 0)),
        (constant(None), (Status.LEGACY, 0)),
        (by_hand(), (Status.CUSTOM, None)),
    ],
)
def test_a_flag_alone_tells_the_status(flag: Flag | None, expected: tuple[Status, int | None]) -> None:
    assert status(flag) == expected


@pytest.mark.parametrize(
    ("flag", "fixed", "expected"),
    [
        (None, (Backend.NEW, Backend.NEW), Status.LIVE),
        (ramp(100, 0, default="new"), (Backend.LEGACY,), Status.LEGACY),
        (None, (Backend.NEW, Backend.LEGACY), Status.CANARY),
        (ramp(100, 0, default="new"), (Backend.NEW, None), Status.LIVE),
        (ramp(100, 0), (Backend.NEW, None), Status.LIVE_FOR_ACCOUNTS),
        (ramp(100, 0, default="new"), (Backend.LEGACY, None), Status.CANARY),
        (None, (Backend.LEGACY, None), Status.LEGACY),
        (None, (Backend.NEW, None), Status.CANARY),
        (ramp(5, 95), (Backend.LEGACY, None), Status.CANARY),
        (by_hand(), (Backend.LEGACY, None), Status.CUSTOM),
    ],
)
def test_fixed_routes_agree_with_the_flag_or_the_area_is_between(
    flag: Flag | None, fixed: tuple[Backend | None, ...], expected: Status
) -> None:
    assert status(flag, *fixed)[0] is expected


def entry(**scope: str) -> Latch:
    return Latch(epoch=1, entries=(Entry(id="r1", scope=Scope(**scope), by="ops", reason="smell", at="now"),))


def test_a_rollback_shows_over_anything_but_retired() -> None:
    live = ramp(100, 0, default="new")
    assert status(live, latch=entry())[0] is Status.ROLLED_BACK
    assert status(live, latch=entry(area="orders"))[0] is Status.ROLLED_BACK
    assert status(live, retired=True, latch=entry())[0] is Status.RETIRED


def test_a_rollback_of_something_narrower_or_elsewhere_leaves_the_status() -> None:
    live = ramp(100, 0, default="new")
    for scope in ({"area": "search"}, {"area": "orders", "segment": "pilots"}, {"region": "DE"}):
        assert status(live, latch=entry(**scope))[0] is Status.LIVE


def test_the_share_of_a_flag_written_by_hand_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="not of the managed shape"):
        managed_share_bp(by_hand())
