"""Routes that can never be reached are found, and no others."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.routes.drafts import RouteDraft
from proxy.config.routes.reach import hidden_routes
from proxy.config.text.yaml import Spot
from proxy.core.deciding.pattern import parse_path
from proxy.core.plan import Route

METHODS = ("GET", "POST", "PUT")
REGIONS = ("DE", "AT")


def draft(number: int, path: str, **keys: Any) -> RouteDraft:
    pattern = parse_path(path)
    return RouteDraft(
        record=Route(id=f"a/{number}", area="a", place=f"routes.yaml:{number}:1", path=path, **keys),
        mark=Spot(number, 1),
        where="",
        segments=(),
        shape=pattern.shape,
        regex=pattern.regex is not None,
        account=None,
        region=None,
    )


def hidden(*routes: RouteDraft) -> list[tuple[str, str]]:
    return [(one.record.id, by.record.id) for one, by in hidden_routes(routes)]


def test_the_same_pattern_under_other_names_is_hidden() -> None:
    assert hidden(draft(1, "/a/{id}"), draft(2, "/a/{number}")) == [("a/2", "a/1")]


def test_a_route_for_less_before_one_for_more_hides_nothing() -> None:
    assert hidden(draft(1, "/a", methods=("GET",)), draft(2, "/a")) == []


def test_a_route_for_more_before_one_for_less_hides_it() -> None:
    assert hidden(draft(1, "/a", methods=("GET", "POST")), draft(2, "/a", methods=("GET",), region=("DE",))) == [
        ("a/2", "a/1")
    ]


def test_a_more_specific_pattern_is_asked_first_wherever_it_stands() -> None:
    assert hidden(draft(1, "/**"), draft(2, "/a/**"), draft(3, "/a/{x}"), draft(4, "/a/b")) == []


def test_another_host_is_another_matter() -> None:
    assert hidden(draft(1, "/a"), draft(2, "/a", host="shop.example"), draft(3, "/a", host="*.example")) == []


def test_an_expression_is_asked_last_so_whatever_covers_every_path_hides_it() -> None:
    assert hidden(draft(1, "regex:/a+"), draft(2, "/**")) == [("a/1", "a/2")]
    assert hidden(draft(1, "regex:/a+"), draft(2, "/**", methods=("GET",))) == []
    assert hidden(draft(1, "regex:/a+", methods=("GET",)), draft(2, "/**", methods=("GET",))) == [("a/1", "a/2")]


some = st.none() | st.lists(st.sampled_from(METHODS), min_size=1, unique=True).map(tuple)
where = st.none() | st.lists(st.sampled_from(REGIONS), min_size=1, unique=True).map(tuple)


@given(st.lists(st.tuples(some, where), max_size=7))
def test_a_route_is_hidden_exactly_if_an_earlier_one_accepts_all_that_it_accepts(
    routes: list[tuple[tuple[str, ...] | None, tuple[str, ...] | None]],
) -> None:
    def accepted(methods: tuple[str, ...] | None, regions: tuple[str, ...] | None) -> set[tuple[str, str]]:
        # "elsewhere" stands for every value that nobody names
        return set(product(methods or (*METHODS, "elsewhere"), regions or (*REGIONS, "elsewhere")))

    sets = [accepted(*one) for one in routes]
    expected = {i for i, mine in enumerate(sets) if any(mine <= earlier for earlier in sets[:i])}
    drafts = [draft(i, "/a", methods=methods, region=regions) for i, (methods, regions) in enumerate(routes)]
    assert {int(one.record.id[2:]) for one, _ in hidden_routes(drafts)} == expected


def test_ten_thousand_routes_that_differ_by_one_value_are_not_compared_with_each_other() -> None:
    # Compared pairwise this would be fifty million comparisons of sets: the test would not end within its time.
    routes = [draft(i, "/a", account=(f"acct-{i}",), methods=("GET",)) for i in range(10_000)]
    again = draft(10_000, "/a", account=("acct-7",), methods=("GET",))
    assert hidden(*routes, again) == [("a/10000", "a/7")]
