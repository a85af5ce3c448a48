from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from proxy.core.deciding.decision import Decision
from proxy.core.model import Grade, Reason, Standing
from proxy.core.plan import Identity, Register, Segment, Source
from proxy.core.table import build_table
from tests.core.plans import ask, flag, live, plan, route, table


def source(text: str) -> Source:
    kind, _, name = text.partition(":")
    return msgspec.convert({"source": kind, "name": name, "place": "routes.yaml:9"}, Source)


def asked(sources: list[str], target: str = "/", *, region: list[str] | None = None, **keys: Any) -> Decision:
    identity = Identity(
        trusted_from=("10.0.0.0/8",),
        account=tuple(map(source, sources)),
        region=tuple(map(source, region or [])),
    )
    made = plan(route("/**"), identity=identity, flags=(flag(default="new"),))
    return ask(live(made), target, **keys)


def test_a_header_counts_only_from_a_trusted_peer() -> None:
    trusted = asked(["header:X-Account-Id"], account="acme")
    assert (trusted.account, trusted.grade) == ("acme", Grade.VERIFIED)
    stranger = asked(["header:X-Account-Id"], account="acme", trusted=False)
    assert (stranger.account, stranger.standing) == (None, Standing.ABSENT)


@pytest.mark.parametrize(
    ("sources", "target", "headers", "host", "account"),
    [
        (["cookie:acct"], "/", 'Cookie: a=b; acct="acme" ', "shop.example", "acme"),
        (["cookie:acct"], "/", "Cookie: acct=acme; acct=acme", "shop.example", "acme"),
        (["cookie:acct"], "/", 'Cookie: acct="acme', "shop.example", '"acme'),
        (["cookie:acct"], "/", 'Cookie: acct="', "shop.example", '"'),
        (["cookie:acct"], "/", "Cookie: ACCT=acme", "shop.example", None),
        (["cookie:acct"], "/", "Cookie: acct=", "shop.example", None),
        (["path:/accounts/{account}/**"], "/accounts/a%63me%20co/x", "", "shop.example", "acme co"),
        (["path:/accounts/{account}/**"], "/accounts//x", "", "shop.example", "x"),
        (["path:/accounts/{account}/**"], "/account/acme", "", "shop.example", None),
        (["path:regex:/a-(?P<account>[a-z]+)"], "/a-acme", "", "shop.example", "acme"),
        (["host:{account}.shop.example"], "/", "", "ACME.shop.example:80", "acme"),
        (["host:{account}.shop.example"], "/", "", "a.b.shop.example", None),
        (["host:{account}.shop.example"], "/", "", "acme.other.example", None),
        (["cookie:acct", "path:/{account}"], "/bolt", "", "shop.example", "bolt"),
    ],
)
def test_the_first_source_that_is_present_decides(
    sources: list[str], target: str, headers: str, host: str, account: str | None
) -> None:
    decision = asked(sources, target, headers=headers, host=host)
    assert decision.account == account
    assert decision.standing is (Standing.ABSENT if account is None else Standing.KNOWN)
    assert decision.grade is (None if account is None else Grade.CLAIMED)


@pytest.mark.parametrize(
    ("sources", "target", "headers"),
    [
        (["header:X-Account-Id", "path:/{account}"], "/bolt", "X-Account-Id: a\nX-Account-Id: a"),
        (["header:X-Account-Id", "path:/{account}"], "/bolt", f"X-Account-Id: {'a' * 257}"),
        (["cookie:acct", "path:/{account}"], "/bolt", "Cookie: acct=a; acct=b"),
        (["cookie:acct", "path:/{account}"], "/bolt", "Cookie: acct=a\nCookie: acct=b"),
        (["path:/{account}"], "/%ff", ""),
        (["path:/{account}"], "/a%0ab", ""),
        (["path:/{account}"], "/a%C2%85b", ""),
    ],
)
def test_what_cannot_be_read_is_legacy_and_never_falls_through_to_a_weaker_source(
    sources: list[str], target: str, headers: str
) -> None:
    decision = asked(sources, target, headers=headers)
    assert (decision.standing, decision.account) == (Standing.INVALID, None)
    assert decision.reason is Reason.IDENTITY_INVALID
    assert decision.backend == "legacy"
    assert decision.detail


def test_an_identity_of_256_bytes_is_fine() -> None:
    assert asked(["header:X-Account-Id"], account="a" * 256).account == "a" * 256


def test_accounts_are_compared_byte_by_byte() -> None:
    assert asked(["cookie:acct"], headers="Cookie: acct=Acme").account == "Acme"
    assert asked(["path:/{account}"], "/é").account == "é"
    assert asked(["path:/{account}"], "/e%CC%81").account == "e\u0301"


def with_register(**keys: Any) -> Any:
    register = build_table(
        [
            (b"acme", json.dumps({"region": "DE", "plan": "gold"}).encode()),
            (b"bolt", json.dumps({"region": "FR"}).encode()),
        ]
    )
    pilots = build_table([(b"acme", b"")])
    identity = Identity(
        trusted_from=("10.0.0.0/8",),
        account=(source("header:X-Account-Id"),),
        region=(source("header:X-Region"), source("account:region")),
    )
    made = plan(
        route("/**"),
        identity=identity,
        tables=(table("reg", 2), table("pilots", 1)),
        register=Register(table="reg"),
        **keys,
    )
    return live(made, {"reg": register, "pilots": pilots})


def test_a_region_may_come_from_the_account() -> None:
    generation = with_register()
    assert ask(generation, "/", account="bolt").region == "FR"
    assert ask(generation, "/", account="bolt", headers="X-Region: AT").region == "AT"
    assert ask(generation, "/", account="nobody").region is None


SEGMENTS = (
    Segment(name="pilots", place="p", accounts="pilots"),
    Segment(name="gold", place="p", attributes={"plan": ("gold", "silver")}),
    Segment(name="dach", place="p", regions=("DE", "AT")),
    Segment(name="wave", place="p", any_of=("pilots", "dach"), none_of=("gold",)),
    Segment(name="both", place="p", all_of=("pilots", "dach")),
    Segment(name="others", place="p", none_of=("pilots",)),
)


@pytest.mark.parametrize(
    ("account", "region", "members"),
    [
        ("acme", None, {"pilots", "gold", "dach", "both"}),
        ("acme", "FR", {"pilots", "gold"}),
        ("bolt", None, {"others"}),
        ("bolt", "AT", {"dach", "wave", "others"}),
        (None, "AT", {"dach", "wave", "others"}),
        (None, None, {"others"}),
    ],
)
def test_segments_hold_lists_attributes_regions_and_each_other(
    account: str | None, region: str | None, members: set[str]
) -> None:
    decision = ask(
        with_register(segments=SEGMENTS), "/", account=account, headers=f"X-Region: {region}" if region else ""
    )
    assert set(decision.value("segments")) == members


def test_an_unreadable_identity_belongs_to_no_segment_that_asks_for_accounts_whichever_way() -> None:
    decision = ask(with_register(segments=SEGMENTS), "/", headers="X-Account-Id: a\nX-Account-Id: b\nX-Region: DE")
    assert decision.value("segments") == []


@pytest.mark.parametrize("region", ["x" * 257, "a\nX-Region: b"])
def test_an_unreadable_region_is_in_no_segment_either(region: str) -> None:
    segments = (
        Segment(name="elsewhere", place="p", none_of=("dach",)),
        Segment(name="dach", place="p", regions=("DE",)),
    )
    identity = Identity(trusted_from=("10.0.0.0/8",), region=(source("header:X-Region"),))
    made = plan(route("/**", segment=("elsewhere",), to="new"), identity=identity, segments=segments[::-1])
    assert ask(live(made), "/", headers="X-Region: FR").backend == "new"
    assert ask(live(made), "/", headers=f"X-Region: {region}").reason is Reason.OTHERWISE
