"""Who has no account is known again by a signed id, which decides shares and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.deciding.signed import Purpose, Signer, derive
from proxy.core.deciding.visitors import VISITOR_COOKIE
from proxy.core.model import Backend, Reason
from proxy.core.plan import Identity, new_settings
from proxy.core.targeting.bucketing import bucket
from tests.core.plans import BY_HEADER, HEADER, NOW_S, ask, flag, live, plan, request, route

KEY = derive(b"a secret of thirty-two bytes at least")
DAY_S = 86_400
RAMP = (None, {"fractional": [["new", 50], ["legacy", 50]]})


def cookie(visitor: str, *, key: Any = KEY, purpose: Purpose = Purpose.VISITOR, left_s: int = 10 * DAY_S) -> str:
    token = Signer((key,), purpose).sign(visitor, int(NOW_S) + left_s)
    return f"Cookie: a=1; {VISITOR_COOKIE}={token}; b=2"


def shop(*clauses: Any, known: bool = True) -> Any:
    identity = Identity(
        trusted_from=BY_HEADER.trusted_from, account=(HEADER,), visitors_s=10 * DAY_S if known else None
    )
    settings = new_settings(otherwise=Backend.LEGACY, signing_keys=(KEY,))
    return live(
        plan(route("/orders"), flags=(flag(*(clauses or (RAMP,))),), identity=identity, settings=settings),
    )


@pytest.mark.parametrize("visitor", [f"{number:032x}" for number in range(8)])
def test_a_visitor_has_the_bucket_of_the_id_and_goes_where_it_lies(visitor: str) -> None:
    decision = ask(shop(), "/orders", headers=cookie(visitor))
    place = bucket("orders", visitor, 100)
    assert (decision.reason, decision.bucket) == (Reason.SHARE, place)
    assert decision.backend is (Backend.NEW if place < 50 else Backend.LEGACY)
    assert decision.account is None


@pytest.mark.parametrize(
    "headers",
    [
        "",
        cookie("v1", key=derive(b"another secret of thirty-two bytes")),
        cookie("v1", purpose=Purpose.PIN),
        cookie("v1", left_s=0),
        cookie("v1")[:-8] + "0; b=2",
    ],
)
def test_an_id_that_is_not_believed_is_none(headers: str) -> None:
    decision = ask(shop(), "/orders", headers=headers)
    assert (decision.backend, decision.reason, decision.visitor) == (Backend.LEGACY, Reason.DEFAULT, None)


def test_an_account_goes_before_a_visitor() -> None:
    decision = ask(shop(), "/orders", account="acme", headers=cookie("v1"))
    assert (decision.bucket, decision.visitor) == (bucket("orders", "acme", 100), None)


def test_whose_account_cannot_be_read_is_no_visitor() -> None:
    decision = ask(shop(), "/orders", account="x" * 300, headers=cookie("v1"))
    assert (decision.backend, decision.reason) == (Backend.LEGACY, Reason.IDENTITY_INVALID)


def test_nobody_is_known_again_where_it_is_not_wanted() -> None:
    assert ask(shop(known=False), "/orders", headers=cookie("v1")).reason is Reason.DEFAULT


@pytest.mark.parametrize(
    "by", [{"var": "account"}, {"cat": ["x", {"var": "account"}, {"var": "targetingKey"}]}, {"cat": [{"var": ""}]}]
)
def test_a_visitor_is_no_account(by: Any) -> None:
    known = shop(({"==": [{"var": "account"}, "v1"]}, "new"), (None, {"fractional": [by, ["new", 1]]}))
    assert ask(known, "/orders", headers=cookie("v1")).reason is Reason.DEFAULT


def test_a_share_that_is_written_by_hand_may_be_decided_by_the_targeting_key() -> None:
    by = {"cat": ["salt", {"var": "targetingKey"}]}
    known = shop((None, {"fractional": [by, ["new", 1]]}))
    assert ask(known, "/orders", headers=cookie("v1")).reason is Reason.SHARE
    assert ask(known, "/orders").reason is Reason.DEFAULT


@pytest.mark.parametrize(("left_s", "renew"), [(5 * DAY_S + 1, False), (5 * DAY_S, False), (5 * DAY_S - 1, True)])
def test_an_id_is_written_anew_once_half_of_its_time_is_over(left_s: int, renew: bool) -> None:
    visitor = ask(shop(), "/orders", headers=cookie("v1", left_s=left_s)).visitor
    assert visitor is not None
    assert (visitor.id, visitor.renew) == ("v1", renew)


def test_of_two_cookies_the_one_that_is_believed_counts() -> None:
    tossed = f"Cookie: {VISITOR_COOKIE}=from-a-neighbour; " + cookie("v1").removeprefix("Cookie: ")
    assert ask(shop(), "/orders", headers=tossed).bucket == bucket("orders", "v1", 100)
    assert request("/orders", headers=tossed).names.count(b"cookie") == 1
