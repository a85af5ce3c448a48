"""Rate caps as they are written."""

from __future__ import annotations

import pytest

from proxy.config.compile import Compiled, compile_files
from proxy.core.limits import Rate
from tests.config import base


def compiled(text: str) -> Compiled:
    return compile_files(base.files({"routes.yaml": text}))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("account: 50/s", Rate(50, 50)),
        ("account: 50/s, burst: 100", Rate(50, 100)),
        ("account: 2.5/s", Rate(2.5, 3)),
        ("account: 30/m", Rate(0.5, 1)),
        ("account: 7200/h, burst: 5", Rate(2, 5)),
    ],
)
def test_a_rate_is_so_many_a_time_and_a_burst_is_a_seconds_worth_unless_it_is_written(text: str, rate: Rate) -> None:
    plan = compiled(f"rate: {{{text}}}\n").plan
    assert plan is not None
    assert plan.settings.account_rate == rate


AREA = "areas:\n  orders:\n    cache: off\n    rate: {%s}\n    routes: [{path: /orders}]\n"


def test_an_area_caps_accounts_in_place_of_the_file_and_all_together_or_says_nothing() -> None:
    for text, expected in {
        "account: 5/s, burst: 7, total: 500/s": (Rate(5, 7), Rate(500, 500)),
        "account: off": (Rate(0, 1), None),
        "total: 1/s, total_burst: 20": (None, Rate(1, 20)),
    }.items():
        plan = compiled("rate: {account: 50/s}\n" + AREA % text).plan
        assert plan is not None
        assert (plan.areas[0].account_rate, plan.areas[0].total_rate) == expected


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("rate: {account: 0/s}\n", ["bad-rate"]),
        ("rate: {account: 2000000/s}\n", ["bad-rate"]),
        ("rate: {account: 50 / s}\n", ["bad-rate"]),
        ("rate: {account: 5/d}\n", ["bad-rate"]),
        ("rate: {account: off}\n", ["bad-rate"]),  # whoever wants none leaves it out
        ("rate: {account: [5/s]}\n", ["wrong-kind"]),
        ("rate: {burst: 5}\n", ["missing-key"]),
        ("rate: {total: 5/s}\n", ["unknown-key", "missing-key"]),
        (AREA % "burst: 5, total: 5/s", ["missing-key"]),
        (AREA % "account: 5/s, total_burst: 5", ["missing-key"]),
        (AREA % "account: 5/s, burst: 0", ["bad-number"]),
        ("identity: {}\nrate: {account: 5/s}\n", ["never-known"]),
        ("identity: {}\n" + AREA % "account: 5/s", ["never-known"]),
        ("identity: {}\n" + AREA % "total: 5/s", []),
        ("identity: {}\n" + AREA % "account: off", []),
    ],
)
def test_what_makes_no_rate_is_told(text: str, codes: list[str]) -> None:
    told = [one.code for one in compiled(text).complaints if not one.where.startswith("segments")]
    assert sorted(told) == sorted(codes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (AREA % "burst: 5", 'the key "account" is missing: burst needs it; write account: 50/s beside it'),
        (AREA % "account: never", '"never" is no rate such as 50/s, 300/m, 1000/h, or off'),
        ("rate: {account: never}\n", '"never" is no rate such as 50/s, 300/m, 1000/h'),
        (AREA % "account: 0/s", "above 0, to 1000000/s, or off"),
        ("areas: {orders: {total: never, routes: [{path: /o}]}}\n", "no duration such as 250ms, 20s, 2m, or off"),
        ("areas: {orders: {total: 0s, routes: [{path: /o}]}}\n", "above 0, to 24h, or off"),
        ("areas: {orders: {timeout: 0s, routes: [{path: /o}]}}\n", "above 0, to 24h"),
    ],
)
def test_a_complaint_names_what_may_be_written_and_off_only_where_it_may_be(text: str, says: str) -> None:
    assert any(one.text.endswith(says) for one in compiled(text).complaints)
