from __future__ import annotations

from typing import Any

import pytest

from proxy.core.decision import Decision
from proxy.core.generation import Generation
from proxy.core.latch import Entry, Latch, Scope
from proxy.core.model import Backend, Reason
from proxy.core.plan import Identity, Segment, Source, new_settings
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


def latch(**scope: str) -> Latch:
    return Latch(epoch=1, entries=(Entry(id="r1", scope=Scope(**scope), by="ops", reason="smells", at="now"),))


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
    decision = ask(shop, "/orders/7", headers=headers, latch=latch(**scope))
    assert (decision.reason is Reason.ROLLED_BACK) is covered
    if covered:
        assert decision.detail == "rollback r1 by ops: smells"


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
        ("flags/orders.flagd.yaml:2", "clause 2: fractional new 7000, legacy 3000", "yes: bucket 689: new"),
    ]


@pytest.mark.parametrize(
    ("target", "keys", "last"),
    [
        ("/blog/x", {}, ("routes.yaml:blog", "area blog: retired", "new")),
        ("/help/x", {}, ("routes.yaml:/help/**", "route help//help/**: to", "new")),
        ("/nowhere", {}, (None, "no route matches: otherwise", "legacy")),
        ("/search", {}, ("routes.yaml:search", "no flag named search", "legacy")),
        ("/orders", {}, ("flags/orders.flagd.yaml", "flag orders: defaultVariant", "new")),
        ("/orders", {"latch": latch()}, (None, "rollback r1 by ops: smells", "legacy")),
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
