from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

from proxy.core.model import Backend, Reason
from proxy.core.plan import Segment
from proxy.core.targeting.bucketing import bucket
from tests.core.plans import ask, flag, live, plan, route

PILOTS = Segment(name="pilots", place="routes.yaml:1", regions=("DE",))
ACCOUNTS = [None, "acme", "acct-1", "bolt", "kunde-ü", "x" * 24]


def to_flagd(clauses: list[tuple[Any, Any]], **keys: Any) -> dict[str, Any]:
    chain: list[Any] = []
    for when, then in clauses:
        chain += [then] if when is None else [when, then]
    return {
        "flags": {
            "orders": {
                "state": "ENABLED",
                "variants": {"new": "new", "legacy": "legacy"},
                "targeting": {"if": chain},
                **keys,
            }
        }
    }


weights = st.integers(-1, 20)
outcomes = st.one_of(
    st.sampled_from(["new", "legacy", None]),
    st.builds(lambda a, b: {"fractional": [["new", a], ["legacy", b]]}, weights, weights),
    st.builds(lambda a: {"fractional": [{"cat": ["s-", {"var": "path"}]}, ["new", a], ["legacy"]]}, weights),
    st.builds(lambda a: {"fractional": [{"var": "account"}, ["new", a], ["legacy", 10]]}, weights),
    st.builds(lambda a: {"fractional": [["new", {"-": [a, 2]}], ["legacy", 5]]}, weights),
    st.builds(lambda a: {"if": [{"starts_with": [{"var": "account"}, "ac"]}, a, "legacy"]}, st.sampled_from(["new", None])),
    st.just({"if": [True, {"fractional": [["new", 1], ["legacy", 1]]}]}),
)  # fmt: skip
conditions = st.sampled_from(
    [{"in": ["pilots", {"var": "segments"}]}, {"==": [{"var": "method"}, "GET"]}, {"in": [{"var": "account"}, ["acme", "bolt"]]},
     {"ends_with": [{"var": "host"}, "example"]}, {"==": [{"var": "area"}, "orders"]}, {"!": [{"var": "region"}]}, False,
     {"==": [{"var": "$flagd.flagKey"}, "orders"]}, {"missing": ["account"]}]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(conditions, outcomes), max_size=3),
    st.one_of(st.none(), outcomes),
    st.sampled_from(ACCOUNTS[1:]),
    st.sampled_from([None, "DE", "FR"]),
    st.sampled_from(["new", "legacy"]),
)
def test_a_flag_means_what_it_means_to_flagd(
    clauses: list[tuple[Any, Any]], last: Any, account: str, region: str | None, default: str
) -> None:
    """Accounts are always there: without one, ours gives the default where flagd puts everyone in one bucket."""
    every = [*clauses, (None, last)]
    made = plan(route("/orders/{id}", id="orders/1"), flags=(flag(*every, default=default),), segments=(PILOTS,))
    generation = live(with_region(made))
    decision = ask(generation, "/orders/7", account=account, headers=f"X-Region: {region}" if region else "")

    oracle = FlagdCore()
    oracle.set_flags(to_flagd(every, defaultVariant=default))
    context: dict[str, Any] = {
        "account": account, "region": region, "segments": ["pilots"] if region == "DE" else [], "area": "orders",
        "route": "orders/1", "method": "GET", "host": "shop.example", "path": "/orders/7", "claims": {},
    }  # fmt: skip
    try:
        theirs = oracle.resolve_string_value("orders", "legacy", EvaluationContext(account, context)).value
    except OpenFeatureError:
        theirs = "legacy"
    assert decision.backend == theirs, (decision.reason, decision.clause, decision.detail)


def with_region(made: Any) -> Any:
    import msgspec

    from proxy.core.plan import Source

    region = Source(source="header", name="X-Region", place="routes.yaml:10")
    return msgspec.structs.replace(made, identity=msgspec.structs.replace(made.identity, region=(region,)))


def answer(made: Any, account: str | None = "acme") -> tuple[Backend, Reason]:
    decision = ask(live(plan(route("/a"), flags=(made,))), "/a", account=account)
    return decision.backend, decision.reason


def test_shares_of_zero_and_all_are_exact_and_every_place_on_the_ramp_is_where_it_should_be() -> None:
    for account in ("acme", "acct-1", "b"):
        place = bucket("orders", account, 10_000)
        for share_bp, backend in (
            (0, Backend.LEGACY),
            (place, Backend.LEGACY),
            (place + 1, Backend.NEW),
            (10_000, Backend.NEW),
        ):
            ramp = flag((None, {"fractional": [["new", share_bp], ["legacy", 10_000 - share_bp]]}))
            assert answer(ramp, account) == (backend, Reason.SHARE)


def test_the_bucket_is_told() -> None:
    ramp = flag((None, {"fractional": [["new", 5_000], ["legacy", 5_000]]}))
    assert ask(live(plan(route("/a"), flags=(ramp,))), "/a", account="acct-1").bucket == 689


@pytest.mark.parametrize(
    "by", [None, {"var": "account"}, {"cat": ["x", {"var": "targetingKey"}]}, {"var": {"cat": ["acc", "ount"]}}]
)
@pytest.mark.parametrize("default", ["legacy", "new"])
def test_without_an_account_a_ramp_over_accounts_gives_the_default(by: Any, default: str) -> None:
    shares = [["new", 50], ["legacy", 50]]
    ramp = flag((None, {"fractional": shares if by is None else [by, *shares]}), default=default)
    assert answer(ramp, None) == (Backend(default), Reason.DEFAULT)


def test_without_an_account_a_ramp_over_something_else_still_works() -> None:
    ramp = flag((None, {"fractional": [{"var": "path"}, ["new", 1]]}))
    assert answer(ramp, None) == (Backend.NEW, Reason.SHARE)


@pytest.mark.parametrize(
    ("made", "backend", "reason"),
    [
        (flag((None, "new"), enabled=False), Backend.LEGACY, Reason.DISABLED),
        (flag(), Backend.LEGACY, Reason.DEFAULT),
        (flag(default="new"), Backend.NEW, Reason.DEFAULT),
        (flag(default=None), Backend.LEGACY, Reason.NO_DEFAULT),
        (flag(default="gone"), Backend.LEGACY, Reason.FLAG_ERROR),
        (flag((None, "gone")), Backend.LEGACY, Reason.FLAG_ERROR),
        (flag((None, {"+": [1, 1]})), Backend.LEGACY, Reason.FLAG_ERROR),
        (flag(({"/": [1, 0]}, "new")), Backend.LEGACY, Reason.FLAG_ERROR),
        (flag((None, {"fractional": [["blue", 1]]})), Backend.LEGACY, Reason.FLAG_ERROR),
        (flag((None, "modern"), variants={"modern": "new"}), Backend.NEW, Reason.CLAUSE),
        (flag((None, "new"), variants={"new": "legacy"}), Backend.LEGACY, Reason.CLAUSE),
        (flag((None, True), variants={"true": "new"}), Backend.NEW, Reason.CLAUSE),
        (flag((None, "new"), variants={"new": 1}), Backend.LEGACY, Reason.FLAG_ERROR),
        (flag((None, "new"), variants={"new": ["new"]}), Backend.LEGACY, Reason.FLAG_ERROR),
    ],
)
def test_every_doubt_ends_at_legacy_and_says_so(made: Any, backend: Backend, reason: Reason) -> None:
    assert answer(made) == (backend, reason)


def test_a_timed_flag_reads_the_clock_it_was_given() -> None:
    timed = flag(({">=": [{"var": "$flagd.timestamp"}, 1_700_000_000]}, "new"))
    assert answer(timed) == (Backend.NEW, Reason.CLAUSE)


@pytest.mark.parametrize(
    "by", [{"cat": [{"missing": ["account"]}, "x"]}, {"missing_some": [1, ["targetingKey"]]}, {"cat": [{"var": ""}]}]
)
def test_reading_whether_there_is_an_account_is_reading_the_account(by: Any) -> None:
    assert answer(flag((None, {"fractional": [by, ["new", 1]]})), None) == (Backend.LEGACY, Reason.DEFAULT)


def test_a_ramp_inside_further_ifs_tells_its_bucket() -> None:
    nested = {"if": [{"==": [{"var": "method"}, "GET"]}, {"fractional": [["new", 10_000]]}, "legacy"]}
    decision = ask(live(plan(route("/a"), flags=(flag((True, nested)),))), "/a", account="acct-1")
    assert (decision.backend, decision.reason, decision.bucket) == (Backend.NEW, Reason.SHARE, 689)
    other = ask(live(plan(route("/a"), flags=(flag((True, nested)),))), "/a", account="acct-1", method="POST")
    assert (other.backend, other.reason, other.bucket) == (Backend.LEGACY, Reason.CLAUSE, None)
