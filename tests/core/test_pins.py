"""Who began something stays where it began, against a share between 0 and 100 % and against nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.deciding.pins import MOST_PINS, PIN_COOKIE, Pinning
from proxy.core.deciding.signed import LONGEST_TOKEN_BYTES, derive
from proxy.core.generation import Generation
from proxy.core.model import Backend, Reason
from proxy.core.plan import Flag, new_settings
from proxy.core.switches.covering import LiveEntry, LiveLatch, Under
from proxy.core.switches.latch import Entry, Scope
from tests.core.plans import NOW_S, area, ask, flag, live, plan, route

KEY = derive(b"a secret of thirty-two bytes at least")
LASTS_S = 1800


def shares(new: int) -> dict[str, Any]:
    return {"fractional": [["new", new], ["legacy", 100 - new]]}


def shop(*clauses: Any, to: Backend | None = None, names: tuple[str, ...] = ("orders",), **keys: Any) -> Generation:
    made: Flag = flag(*clauses, **keys.pop("flag", {}))
    settings = new_settings(otherwise=Backend.LEGACY, signing_keys=(KEY,))
    options = {"pin_s": float(LASTS_S), "flag": "orders", **keys}
    areas = tuple(area(name, **options) for name in names)
    routes = tuple(route(f"/{name}", area=name, to=to) for name in names)
    return live(plan(*routes, areas=areas, flags=(made,), settings=settings))


def began(backend: Backend, *, name: str = "orders", subject: str = "", ago_s: int = 0) -> str:
    """The Cookie line of who began there, as somebody's pin or, without a subject, as one of before signing in."""
    pins = shop((None, shares(50)), names=(name,)).pins
    assert pins is not None
    token, _ = pins.token(Pinning(name, backend, subject.encode()), NOW_S - ago_s)
    return f"Cookie: {PIN_COOKIE}={token}"


def asked(shop: Generation, cookie: str, account: str | None = "acme", **keys: Any) -> tuple[Backend, Reason]:
    decision = ask(shop, "/orders", account=account, headers=cookie, **keys)
    return decision.backend, decision.reason


ONE, OTHER = st.integers(1, 99), st.integers(1, 99)


@given(ONE, OTHER, st.text("abc123", min_size=1, max_size=6))
def test_whatever_becomes_of_a_share_between_its_ends_who_began_stays(before: int, after: int, account: str) -> None:
    first = ask(shop((None, shares(before))), "/orders", account=account)
    assert first.pinning is not None
    assert not first.pinning.held
    later, reason = asked(shop((None, shares(after))), began(first.backend, subject=account), account=account)
    assert later is first.backend
    anew = ask(shop((None, shares(after))), "/orders", account=account)
    assert reason is (Reason.SHARE if anew.backend is first.backend else Reason.PINNED)


@pytest.mark.parametrize("backend", Backend)
def test_both_ends_of_a_share_are_exact(backend: Backend) -> None:
    pinned = began(backend)
    assert asked(shop((None, shares(0))), pinned) == (Backend.LEGACY, Reason.SHARE)
    assert asked(shop((None, shares(100))), pinned) == (Backend.NEW, Reason.SHARE)
    for share in (1, 99):
        assert asked(shop((None, shares(share))), pinned)[0] is backend
    for share in (0, 100):
        assert ask(shop((None, shares(share))), "/orders", account="acme").pinning is None


@pytest.mark.parametrize(
    ("made", "answer"),
    [
        (shop((None, "legacy")), (Backend.LEGACY, Reason.CLAUSE)),
        (shop((None, shares(50)), flag={"enabled": False}), (Backend.LEGACY, Reason.DISABLED)),
        (shop((None, shares(50)), to=Backend.LEGACY), (Backend.LEGACY, Reason.FIXED)),
        (shop((None, shares(50)), pin_s=None), (Backend.LEGACY, Reason.SHARE)),
        (shop((None, {"fractional": [["new", {"+": [1, 0]}], ["legacy", 99]]})), (Backend.LEGACY, Reason.SHARE)),
        (shop((None, {"if": [True, shares(1), shares(0)]})), (Backend.LEGACY, Reason.SHARE)),
        (shop((None, {"fractional": [["new", 0], ["legacy", 1], ["legacy", 1]]})), (Backend.LEGACY, Reason.SHARE)),
    ],
)
def test_nothing_else_hears_of_a_pin(made: Generation, answer: tuple[Backend, Reason]) -> None:
    assert asked(made, began(Backend.NEW)) == answer


def test_a_rollback_goes_before_a_pin_and_a_retired_area_before_both() -> None:
    latch = LiveLatch(1, [LiveEntry(Entry(id="r1", scope=Scope(), by="ops", reason="smells", at="now"), Under.RUNNING)])
    assert asked(shop((None, shares(99))), began(Backend.NEW), latch=latch)[1] is Reason.ROLLED_BACK
    assert asked(shop((None, shares(1)), retired=True), began(Backend.LEGACY)) == (Backend.NEW, Reason.RETIRED)


@pytest.mark.parametrize(
    ("cookie", "account", "holds"),
    [
        (began(Backend.NEW, subject="acme"), "acme", True),
        (began(Backend.NEW, subject="acme"), "borealis", False),  # signed in as somebody else
        (began(Backend.NEW), "acme", True),  # signed in meanwhile
        (began(Backend.NEW, name="checkout"), "acme", False),
        (began(Backend.NEW, ago_s=LASTS_S - 1), "acme", True),
        (began(Backend.NEW, ago_s=LASTS_S), "acme", False),
        (began(Backend.NEW) + "0", "acme", False),
        ("Cookie: strangler-pin=orders:n:9999999999", "acme", False),
    ],
)
def test_a_pin_holds_for_its_account_its_area_and_its_time(cookie: str, account: str, holds: bool) -> None:
    decision = ask(shop((None, shares(1))), "/orders", account=account, headers=cookie)
    assert decision.backend is (Backend.NEW if holds else Backend.LEGACY)
    assert decision.pinning is not None
    assert decision.pinning.held is holds


def test_a_pin_that_overrides_says_so_and_tells_the_bucket_all_the_same() -> None:
    decision = ask(shop((None, shares(1))), "/orders", account="acme", headers=began(Backend.NEW))
    assert (decision.reason, decision.bucket, decision.clause) == (Reason.PINNED, 73, "1")
    assert decision.detail == "began at new and stays until 2023-11-14T22:43:20Z; the share says legacy"


def test_one_cookie_holds_the_pins_of_all_areas_but_no_more_than_fit() -> None:
    names = tuple(f"{number:02d}-{'x' * 60}" for number in range(MOST_PINS + 3))
    made = shop((None, shares(50)), names=names)
    assert made.pins is not None
    cookie, first = "", {}
    for at, name in enumerate(names):
        decision = ask(made, f"/{name}", account="acme", headers=cookie)
        assert decision.pinning is not None
        assert not decision.pinning.held
        first[name] = decision.backend
        token, lasts_s = made.pins.token(decision.pinning, NOW_S - len(names) + at)  # one second after the other
        assert len(token) < LONGEST_TOKEN_BYTES
        assert lasts_s == LASTS_S
        cookie = f"Cookie: strangler-pin={token}"
    held = [
        (one := ask(made, f"/{name}", account="acme", headers=cookie)).pinning and one.pinning.held for name in names
    ]
    assert held == [False] * 3 + [True] * MOST_PINS


def test_without_keys_or_without_an_area_that_pins_there_are_none() -> None:
    keys = {"flags": (flag((None, shares(50))),)}
    assert live(plan(route("/orders"), areas=(area("orders", pin_s=60.0),), **keys)).pins is None
    assert shop((None, shares(50)), pin_s=None).pins is None
