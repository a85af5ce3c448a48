"""`explain` asks for whom it is told to, or says that it can't."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.control.telling.explain import Explanation, WhatIf, area_of, explain, parse_percent, suppose
from proxy.control.telling.question import CannotAsk, Question
from proxy.core.care.reaching import Patience
from proxy.core.deciding.signed import derive
from proxy.core.generation import Generation
from proxy.core.limits import Rate
from proxy.core.model import Backend, Fallback
from proxy.core.plan import Flag, Identity, Plan, Source, new_settings
from proxy.core.switches.covering import NOTHING_ROLLED_BACK
from tests.core.plans import area, flag, live, plan, route

HEADER = Source(source="header", name="x-account-id", place="routes.yaml:9:13")
COOKIE = Source(source="cookie", name="acct", place="routes.yaml:9:30")
PATH = Source(source="path", name="/accounts/{account}/**", place="routes.yaml:9:50")
HOST = Source(source="host", name="{account}.shop.example", place="routes.yaml:9:70")
TRUSTED = ("10.0.0.0/8",)


def ramp(new: int, **keys: Any) -> Flag:
    return flag((None, {"fractional": [["new", new], ["legacy", 100 - new]]}), **{"managed": True, **keys})


def configured(*sources: Source, **keys: object) -> Plan:
    return plan(
        route("/orders/**"),
        route("/accounts/{id}/**", area="accounts"),
        **{"identity": Identity(trusted_from=TRUSTED, account=sources), "flags": (ramp(50),), **keys},
    )


def asked(made: Plan, target: str = "/orders/7", **keys: object) -> Explanation:
    return explain(Question(method="GET", target=target, **keys), live(made), latch=NOTHING_ROLLED_BACK, source="files")  # type: ignore[arg-type]


def test_an_account_is_given_as_the_header_that_the_plan_reads_from_a_trusted_peer() -> None:
    told = asked(configured(HEADER, COOKIE), account="acme")
    assert (told.account, told.grade) == ("acme", "verified")
    assert "account acme given as header x-account-id (routes.yaml:9:13)" in told.notes
    assert "asked as a trusted peer would" in told.notes


def test_an_account_is_given_as_a_cookie_where_there_is_no_header_source() -> None:
    told = asked(configured(COOKIE), account="acme", cookies=(("theme", "dark"),))
    assert (told.account, told.grade) == ("acme", "claimed")


def test_an_account_of_the_path_or_host_must_stand_there() -> None:
    assert asked(configured(PATH), "/accounts/acme/orders", account="acme").account == "acme"
    assert asked(configured(HOST), host="acme.shop.example", account="acme").account == "acme"
    with pytest.raises(CannotAsk, match=r"account acme can't be asked .* path:/accounts/\{account\}/\*\*.* gives none"):
        asked(configured(PATH), account="acme")


def test_a_stronger_source_that_says_otherwise_is_not_explained_away() -> None:
    with pytest.raises(CannotAsk, match="gives other"):
        asked(configured(HOST, COOKIE), account="acme", host="other.shop.example")


def test_without_identity_sources_no_account_can_be_asked() -> None:
    with pytest.raises(CannotAsk, match="names no source"):
        asked(configured(), account="acme")


def test_a_header_that_only_trusted_peers_may_send_is_ignored_and_that_is_said() -> None:
    told = asked(configured(HEADER), headers=(("X-Account-Id", "acme"),))
    assert told.account is None
    assert any("only read from trusted peers" in note for note in told.notes)
    trusted = asked(configured(HEADER), headers=(("X-Account-Id", "acme"),), peer="10.1.2.3")
    assert trusted.account == "acme"


def test_an_untrusted_peer_is_not_advised_to_name_a_peer() -> None:
    told = asked(configured(HEADER), headers=(("X-Account-Id", "acme"),), peer="192.0.2.7")
    assert "192.0.2.7 is not a trusted peer (identity.trusted_from)" in told.notes
    assert "x-account-id: only read from trusted peers; use --account or --region" in told.notes
    with pytest.raises(CannotAsk, match=r"can't be asked from 192\.0\.2\.7.*leave --peer out"):
        asked(configured(HEADER), account="acme", peer="192.0.2.7")


@pytest.mark.parametrize("target", ["http://acme.shop.example/orders/7", "https://acme.shop.example/orders/7"])
def test_the_host_of_a_whole_url_is_the_requests(target: str) -> None:
    told = asked(configured(HOST), target)
    assert (told.host, told.account, told.area, told.refused) == ("acme.shop.example", "acme", "orders", None)


def test_a_host_that_differs_from_the_urls_is_refused_as_traffic_is() -> None:
    assert asked(configured(HOST), "http://acme.shop.example/", host="other.example").refused is not None


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"target": "orders/7"}, "a path begins with /, such as /orders/7"),
        ({"account": ""}, "--account is empty"),
        ({"region": ""}, "--region is empty"),
    ],
)
def test_a_slip_of_the_hand_is_said_to_be_one(keys: dict[str, str], told: str) -> None:
    with pytest.raises(CannotAsk, match=told):
        asked(configured(HEADER), **keys)


@pytest.mark.parametrize("account", ["a\r\nX-Evil: 1", "a;b"])
def test_what_can_not_stand_in_a_request_can_not_be_asked(account: str) -> None:
    with pytest.raises(CannotAsk):
        asked(configured(COOKIE), account=account)


def test_a_request_that_is_refused_is_told_so() -> None:
    told = asked(configured(HEADER), "/orders%2F..%2Faccounts/7")
    assert told.refused is not None
    assert told.refused.startswith("400: ")
    assert told.backend is None


def test_every_clause_is_told_with_its_place_and_what_came_of_it() -> None:
    told = asked(configured(HEADER), account="acme")
    steps = {step.what: (step.place, step.result) for step in told.steps}
    place, result = steps["clause 1: fractional new 50, legacy 50"]
    assert place == "flags/orders.flagd.yaml:1"
    assert result == f"bucket {told.bucket} of 100: {told.backend}"
    assert told.ramp == 100
    assert told.clause_place == place


@pytest.mark.parametrize(
    ("then", "result"),
    [
        ({"fractional": [["new", 50], ["legacy", 50]]}, "no account, so no place on the ramp: default"),
        (
            {"fractional": [{"cat": ["x", {"var": "account"}]}, ["new", 1], ["legacy", 1]]},
            "no account, so no place on the ramp: default",
        ),
        (
            {"fractional": [{"var": "region"}, ["new", 1], ["legacy", 1]]},
            "nothing to place it by, so no place on the ramp: default",
        ),
    ],
)
def test_why_a_request_without_an_account_has_no_place_on_the_ramp_is_told(then: Any, result: str) -> None:
    told = asked(configured(HEADER, flags=(flag((None, then)),)))
    assert (told.backend, told.reason, told.ramp) == ("legacy", "default", None)
    assert result in [step.result for step in told.steps]


def test_the_length_of_a_ramp_inside_an_if_is_told() -> None:
    share = {"fractional": [["new", 20], ["legacy", 180]]}
    told = asked(configured(HEADER, flags=(flag((None, {"if": [True, share, "legacy"]})),)), account="acme")
    assert told.ramp == 200


def test_ramps_of_which_nobody_knows_which_was_taken_have_no_length() -> None:
    one, other = {"fractional": [["new", 1], ["legacy", 1]]}, {"fractional": [["new", 1], ["legacy", 2]]}
    told = asked(configured(HEADER, flags=(flag((None, {"if": [True, one, other]})),)), account="acme")
    assert told.bucket is not None
    assert told.ramp is None


def test_the_target_that_the_backend_gets_is_told() -> None:
    made = plan(route("/api/**", rewrite_new="/v2/**", to=Backend.NEW), settings=new_settings(otherwise=Backend.LEGACY))
    assert asked(made, "/api/x?y=1").sent_target == "/v2/x?y=1"


def test_how_long_the_answering_system_is_waited_for_is_told_with_whose_word_it_is() -> None:
    said = {Backend.NEW: Patience(timeout_s=60.0)}
    made = plan(route("/orders/**", to=Backend.NEW, patience=said))
    told = asked(made).waits
    assert told is not None
    assert (told.timeout_s, told.timeout_of, told.total_s, told.total_of) == (60.0, "route", None, "backend")


def what_if(made: Plan, percent: float, **keys: object) -> Generation:
    question = Question(method="GET", target="/orders/7", **keys)  # type: ignore[arg-type]
    return live(suppose(made, area_of(question, live(made), NOTHING_ROLLED_BACK), percent, of_plan="real").plan)


@pytest.mark.parametrize(("percent", "shares"), [(25, (25, 75)), (0, (0, 100)), (100, (100, 0)), (12.5, (1250, 8750))])
def test_what_if_writes_the_share_as_the_canary_command_would(percent: float, shares: tuple[int, int]) -> None:
    supposed = suppose(configured(HEADER), "orders", percent, of_plan="real")
    (changed,) = supposed.plan.flags
    assert supposed.what_if == WhatIf(area="orders", flag="orders", percent=percent, now_percent=50)
    assert changed.clauses[-1].then == {"fractional": [["new", shares[0]], ["legacy", shares[1]]]}


def test_what_if_leaves_the_plan_itself_alone() -> None:
    made = configured(HEADER)
    generation = what_if(made, 100, account="acme")
    question = Question(method="GET", target="/orders/7", account="acme")
    assert explain(question, generation, latch=NOTHING_ROLLED_BACK, source="files").backend == "new"
    assert made.flags == (ramp(50),)


@pytest.mark.parametrize("percent", [-1, 100.01, 12.345])
def test_what_if_takes_a_share_that_exists(percent: float) -> None:
    with pytest.raises(CannotAsk, match="0 to 100"):
        suppose(configured(HEADER), "orders", percent, of_plan="real")


def test_what_if_needs_a_ramp() -> None:
    with pytest.raises(CannotAsk, match="written by hand"):
        suppose(configured(HEADER, flags=(ramp(50, managed=False),)), "orders", 5, of_plan="real")
    with pytest.raises(CannotAsk, match="no flag decides"):
        suppose(configured(HEADER), "accounts", 5, of_plan="real")


@pytest.mark.parametrize(("text", "share"), [("25", 25.0), ("12.5%", 12.5), (" 0.01 % ", 0.01), ("100", 100.0)])
def test_a_share_is_read_as_people_write_it(text: str, share: float) -> None:
    assert parse_percent(text) == share


@pytest.mark.parametrize("text", ["", "101", "100.01", "1.234", "-1", "1e2", "ten", "٣"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="0 to 100"):
        parse_percent(text)


def test_the_caps_that_hold_for_a_request_are_told() -> None:
    settings = new_settings(otherwise=Backend.LEGACY, account_rate=Rate(50, 100))
    reports = area("reports", account_rate=Rate(1 / 6, 10), total_rate=Rate(20, 20))
    made = plan(
        *(route("/orders/**"), route("/reports/**", area="reports")),
        areas=(area("orders"), reports),
        settings=settings,
        identity=Identity(trusted_from=TRUSTED, account=(HEADER, COOKIE)),
    )
    assert asked(made, account="acme").rates == ("50/s, 100 at once for acme wherever no area says else",)
    claimed = asked(made, "/reports/7", cookies=(("acct", "acme"),))
    assert claimed.rates == (
        "10/m, 10 at once for acme to reports, from each address that claims it",
        "20/s, 20 at once for all to reports",
    )
    assert asked(made).rates == ()


def kept(share: int) -> Plan:
    """A plan with visitors, and an area that pins."""
    key = derive(b"a secret of thirty-two bytes at least")
    return configured(
        HEADER,
        areas=(area("orders", pin_s=1800.0), area("accounts")),
        flags=(ramp(share),),
        identity=Identity(trusted_from=TRUSTED, account=(HEADER,), visitors_s=86_400),
        settings=new_settings(otherwise=Backend.LEGACY, signing_keys=(key,)),
    )


def test_a_pin_that_is_supposed_is_a_step_and_decides() -> None:
    told = asked(kept(1), account="acme", pins=(("orders", Backend.NEW),))
    assert (told.backend, told.reason, told.bucket) == ("new", "pinned", 73)
    assert [(step.what, step.result) for step in told.steps][-1] == (
        "pin of orders",
        "began at new, until 2023-11-14T22:43:20Z: new",
    )
    assert asked(kept(0), account="acme", pins=(("orders", Backend.NEW),)).reason == "share"
    assert asked(kept(1), account="acme").steps[-1].result == "none"


def test_a_pin_of_somebody_who_has_no_place_on_a_ramp_is_refused_with_the_remedy() -> None:
    pins = (("orders", Backend.NEW),)
    with pytest.raises(CannotAsk, match="add --account ACCOUNT or --visitor ID"):
        asked(kept(50), pins=pins)
    assert asked(kept(50), visitor="v1", pins=pins).steps[-1].what == "pin of orders"
    assert asked(kept(50), account="acme", pins=pins).notes == asked(kept(50), account="acme").notes


def test_a_pin_that_is_not_looked_at_is_told() -> None:
    pins = (("orders", Backend.NEW),)
    for share in (0, 100):
        assert asked(kept(share), account="acme", pins=pins).notes[-1].startswith("--pin changes nothing here")
    assert asked(kept(50), "/accounts/7", account="acme", pins=pins).notes[-1].startswith("--pin changes nothing here")


def test_a_visitor_is_asked_for_by_id() -> None:
    told = asked(kept(50), visitor="v1")
    assert (told.visitor, told.account, told.reason) == ("v1", None, "share")
    assert ("visitor", "v1 (verified)") in [(step.what, step.result) for step in told.steps]
    assert asked(kept(50)).visitor is None


@pytest.mark.parametrize(
    ("made", "keys", "says"),
    [
        (configured(HEADER), {"visitor": "v1"}, "knows no visitors"),
        (kept(50), {"visitor": "v 1"}, "letters, digits"),
        (configured(HEADER), {"pins": (("orders", Backend.NEW),)}, "orders"),
        (kept(50), {"pins": (("orders", Backend.NEW), ("accounts", Backend.NEW))}, "orders, accounts"),
    ],
)
def test_nobody_is_supposed_to_have_a_cookie_that_is_not_given(made: Plan, keys: dict[str, Any], says: str) -> None:
    with pytest.raises(CannotAsk, match=says):
        asked(made, **keys)


def test_a_breaker_that_is_open_is_told_with_its_workers() -> None:
    breakers = {"legacy": {0: "open", 2: "half_open"}}
    question = Question(method="GET", target="/elsewhere")
    told = explain(question, live(configured()), latch=NOTHING_ROLLED_BACK, source="running", breakers=breakers)
    assert told.unavailable == "the breaker of legacy is open on worker 0, half open on worker 2"
    assert [step.result for step in told.steps][-1] == "503 there for now"
    assert asked(configured(), "/elsewhere").unavailable is None


def test_whether_legacy_would_answer_in_place_of_new_is_told() -> None:
    made = configured(HEADER, areas=(area("orders", fallback=Fallback.SAFE), area("accounts")), flags=(ramp(100),))
    told = asked(made, account="acme")
    assert (told.backend, told.fallback) == ("new", True)
    question = Question(method="GET", target="/orders/7", account="acme")
    down = explain(question, live(made), latch=NOTHING_ROLLED_BACK, source="running", breakers={"new": {1: "open"}})
    assert down.steps[-1].result == "legacy answers there for now"
    assert not explain(
        Question(method="POST", target="/orders/7", account="acme"),
        live(made),
        latch=NOTHING_ROLLED_BACK,
        source="files",
    ).fallback
