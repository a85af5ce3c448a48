from __future__ import annotations

from typing import Any

import pytest

from proxy.core.deciding.decision import Decision
from proxy.core.generation import Generation
from proxy.core.model import Backend, Reason
from proxy.core.plan import Identity, Segment, Source, new_settings
from proxy.core.switches.covering import LiveEntry, LiveLatch, Under
from proxy.core.switches.latch import Entry, Scope
from tests.core.plans import BY_HEADER, HEADER, area, ask, flag, live, plan, route

REGION = Source(source="header", name="X-Region", place="routes.yaml:10")
EVERYONE = flag(default="new")


@pytest.fixture(scope="module")
def shop() -> Generation:
    return live(
        plan(
            route("/blog/**", area="blog"),
            route("/help/**", area="help", to="new"),
            route("/old/**", area="help", to="legacy"),
            route("/orders/**", area="orders"),
            route("/search/**", area="search"),
            areas=(area("blog", retired=True), area("help"), area("orders"), area("search")),
            flags=(EVERYONE,),
            segments=(Segment(name="dach", place="s", regions=("DE",)),),
            identity=Identity(trusted_from=BY_HEADER.trusted_from, account=(HEADER,), region=(REGION,)),
        )
    )


def latch(under: Generation | Under = Under.RUNNING, **scope: str) -> LiveLatch:
    entry = Entry(id="r1", scope=Scope(**scope), by="ops", reason="smells", at="now")
    return LiveLatch(1, [LiveEntry(entry, under)])


@pytest.mark.parametrize(
    ("target", "backend", "reason"),
    [
        ("/blog/x", Backend.NEW, Reason.RETIRED),
        ("/help/x", Backend.NEW, Reason.FIXED),
        ("/old/x", Backend.LEGACY, Reason.FIXED),
        ("/orders/7", Backend.NEW, Reason.DEFAULT),
        ("/search", Backend.LEGACY, Reason.NO_FLAG),
        ("/nowhere", Backend.LEGACY, Reason.OTHERWISE),
    ],
)
def test_without_a_rollback(shop: Generation, target: str, backend: Backend, reason: Reason) -> None:
    decision = ask(shop, target)
    assert (decision.backend, decision.reason) == (backend, reason)


@pytest.mark.parametrize(
    ("target", "backend", "reason"),
    [
        ("/blog/x", Backend.NEW, Reason.RETIRED),  # lies outside: legacy has it no more
        ("/help/x", Backend.LEGACY, Reason.ROLLED_BACK),  # a fixed new obeys
        ("/orders/7", Backend.LEGACY, Reason.ROLLED_BACK),
        ("/nowhere", Backend.LEGACY, Reason.ROLLED_BACK),
    ],
)
def test_a_rollback_of_everything(shop: Generation, target: str, backend: Backend, reason: Reason) -> None:
    decision = ask(shop, target, latch=latch())
    assert (decision.backend, decision.reason) == (backend, reason)


@pytest.mark.parametrize(
    ("scope", "headers", "covered"),
    [
        ({"area": "orders"}, "", True),
        ({"area": "search"}, "", False),
        ({"region": "DE"}, "X-Region: DE", True),
        ({"region": "DE"}, "X-Region: FR", False),
        ({"region": "DE"}, "X-Region: FR\nX-Region: FR", True),  # can't be judged: covered
        ({"segment": "dach"}, "X-Region: DE", True),
        ({"segment": "dach"}, "", False),
        ({"segment": "forgotten"}, "", True),  # can't be judged: covered
        ({"area": "orders", "segment": "dach"}, "X-Region: DE", True),
        ({"area": "search", "segment": "dach"}, "X-Region: DE", False),
    ],
)
def test_a_rollback_covers_its_scope_and_whatever_cannot_be_judged(
    shop: Generation, scope: dict[str, str], headers: str, covered: bool
) -> None:
    decision = ask(shop, "/orders/7", headers=headers, latch=latch(Under.RUNNING, **scope))
    assert (decision.reason is Reason.ROLLED_BACK) is covered
    if covered:
        assert decision.detail == f"rollback r1 ({Scope(**scope)}) by ops at now: smells"


def test_otherwise_may_be_new_and_obeys_the_latch() -> None:
    generation = live(plan(settings=new_settings(otherwise=Backend.NEW)))
    assert ask(generation, "/x").backend is Backend.NEW
    assert ask(generation, "/x", latch=latch()).backend is Backend.LEGACY
    assert ask(generation, "/x", latch=latch(area="orders")).backend is Backend.NEW


class Heard:
    def __init__(self) -> None:
        self.steps: list[tuple[str | None, str, str]] = []

    def step(self, place: str | None, what: str, result: str) -> None:
        self.steps.append((place, what, result))


def explained(generation: Generation, target: str, **keys: Any) -> tuple[Decision, list[tuple[str | None, str, str]]]:
    heard = Heard()
    decision = ask(generation, target, trace=heard, **keys)
    silent = ask(generation, target, **keys)
    assert (decision.backend, decision.reason, decision.clause) == (silent.backend, silent.reason, silent.clause)
    return decision, heard.steps


def test_a_trace_hears_every_step_in_order_with_its_place() -> None:
    ramp = flag(
        ({"in": ["dach", {"var": "segments"}]}, "legacy"),
        (None, {"fractional": [["new", 7_000], ["legacy", 3_000]]}),
    )
    generation = live(
        plan(
            route("/orders/7", methods=("POST",)),
            route("/orders/{id}"),
            flags=(ramp,),
            segments=(Segment(name="dach", place="s", regions=("DE",)),),
        )
    )
    decision, steps = explained(generation, "/orders/7", account="acct-1")
    assert (decision.backend, decision.bucket) == (Backend.NEW, 689)
    assert steps == [
        (None, "account", "acct-1 (verified)"),
        ("routes.yaml:/orders/7", "route orders//orders/7: /orders/7", "no: methods POST"),
        ("routes.yaml:/orders/{id}", "route orders//orders/{id}: /orders/{id}", "matches"),
        ("flags/orders.flagd.yaml:1", "clause 1: if in segment dach then legacy", "no"),
        ("flags/orders.flagd.yaml:2", "clause 2: fractional new 7000, legacy 3000", "bucket 689 of 10000: new"),
    ]


@pytest.mark.parametrize(
    ("target", "keys", "last"),
    [
        ("/blog/x", {}, ("routes.yaml:blog", "area blog: retired", "new")),
        ("/help/x", {}, ("routes.yaml:/help/**", "route help//help/**: to", "new")),
        ("/nowhere", {}, (None, "no route matches: otherwise", "legacy")),
        ("/search", {}, ("routes.yaml:search", "no flag named search", "legacy")),
        ("/orders", {}, ("flags/orders.flagd.yaml", "flag orders: defaultVariant", "new")),
        ("/orders", {"latch": latch()}, (None, "rollback r1 (everything) by ops at now: smells", "legacy")),
    ],
)
def test_a_trace_ends_with_what_decided(
    shop: Generation, target: str, keys: dict[str, Any], last: tuple[Any, ...]
) -> None:
    _, steps = explained(shop, target, **keys)
    assert steps[-1] == last


def test_peers_are_trusted_by_network() -> None:
    generation = live(plan(identity=Identity(trusted_from=("10.1.2.3/32", "fd00::/8"))))
    addresses = ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1%eth0", "10.1.2.4", "unix", ""]
    assert [generation.trusts(address) for address in addresses] == [True, True, True, False, False, False]


# -- no edit lifts a rollback ---------------------------------------------------------------------------------------------


def edited(**keys: Any) -> Generation:
    """The shop after an edit: /orders belongs to another area, dach holds nobody, regions come from elsewhere."""
    rest: dict[str, Any] = {
        "areas": (area("blog", retired=True), area("sales"), area("help")),
        "flags": (flag(default="new", key="sales"),),
        "identity": Identity(trusted_from=BY_HEADER.trusted_from, account=(HEADER,)),
        **keys,
    }
    return live(
        plan(route("/orders/**", area="sales"), route("/blog/**", area="blog"), route("/help/**", area="help"), **rest)
    )


@pytest.mark.parametrize(
    "scope", [{"area": "orders"}, {"segment": "dach"}, {"region": "DE"}, {"area": "orders", "region": "DE"}]
)
def test_the_plan_a_rollback_was_thrown_under_goes_on_deciding_its_scope(
    shop: Generation, scope: dict[str, str]
) -> None:
    decision = ask(edited(segments=()), "/orders/7", headers="X-Region: DE", latch=latch(shop, **scope))
    assert decision.reason is Reason.ROLLED_BACK


def test_outside_the_scope_of_either_plan_nothing_is_rolled_back(shop: Generation) -> None:
    assert ask(edited(), "/orders/7", latch=latch(shop, area="search")).backend is Backend.NEW
    assert (
        ask(edited(), "/orders/7", headers="X-Region: FR", latch=latch(shop, area="orders", region="DE")).backend
        is Backend.NEW
    )


def test_the_running_plan_decides_its_scope_too(shop: Generation) -> None:
    assert ask(edited(), "/orders/7", latch=latch(shop, area="sales")).reason is Reason.ROLLED_BACK


@pytest.mark.parametrize("scope", [{}, {"area": "search"}, {"segment": "gone"}, {"region": "XX"}])
def test_when_the_plan_of_a_rollback_is_lost_every_scope_matches_but_retired_areas_stay_out(
    shop: Generation, scope: dict[str, str]
) -> None:
    assert ask(shop, "/orders/7", latch=latch(Under.LOST, **scope)).reason is Reason.ROLLED_BACK
    assert ask(shop, "/blog/x", latch=latch(Under.LOST, **scope)).reason is Reason.RETIRED


def test_an_area_that_was_retired_under_a_rollback_is_still_covered(shop: Generation) -> None:
    retired = edited(areas=(area("blog"), area("sales"), area("help", retired=True)))
    assert ask(retired, "/help/x", latch=latch(shop, area="help")).reason is Reason.ROLLED_BACK
    assert ask(retired, "/help/x", latch=latch(retired, area="help")).reason is Reason.RETIRED


def test_an_edit_of_trusted_peers_does_not_lift_a_rollback(shop: Generation) -> None:
    distrusting = edited(identity=Identity(trusted_from=("192.0.2.0/24",), account=(HEADER,)))
    thrown = latch(shop, region="DE")
    keys: dict[str, Any] = {"headers": "X-Region: DE", "latch": thrown, "trusted": False}
    assert ask(distrusting, "/orders/7", peer="10.0.0.9", **keys).reason is Reason.ROLLED_BACK
    assert ask(distrusting, "/orders/7", peer="203.0.113.9", **keys).backend is Backend.NEW


def test_a_path_that_the_older_plan_would_have_refused_counts_as_covered(shop: Generation) -> None:
    one_area = live(plan(route("/**", area="sales"), flags=(flag(default="new", key="sales"),)))
    assert ask(one_area, "/orders/../help/x").backend is Backend.NEW
    assert ask(one_area, "/orders/../help/x", latch=latch(shop, area="search")).reason is Reason.ROLLED_BACK
