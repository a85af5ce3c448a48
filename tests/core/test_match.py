from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.badmessage import BadMessage
from proxy.core.model import Backend, Reason
from proxy.core.plan import Identity, Plan, Route, Source
from tests.core.plans import ask, live, plan, route

PARTS = st.sampled_from(["a", "b", "c", "{x}"])
PATTERNS = st.one_of(
    st.lists(PARTS, max_size=3).map(lambda parts: "/" + "/".join(_numbered(parts))),
    st.lists(PARTS, max_size=2).map(lambda parts: "".join("/" + part for part in _numbered(parts)) + "/**"),
    st.sampled_from(["regex:/a/[ab]", "regex:/.*", "/a/", "/"]),
)
HOSTS = st.sampled_from([None, "a.example", "*.example", "*.b.example"])
METHODS = st.sampled_from([None, ("GET",), ("POST", "PUT")])


def _numbered(parts: list[str]) -> list[str]:
    return [part.replace("x", f"x{i}") for i, part in enumerate(parts)]


@st.composite
def routes(draw: st.DrawFn) -> tuple[Route, ...]:
    rows = draw(st.lists(st.tuples(PATTERNS, HOSTS, METHODS), max_size=8))
    return tuple(
        route(path, id=f"orders/{i}", host=host, methods=methods) for i, (path, host, methods) in enumerate(rows)
    )


def reference(rows: tuple[Route, ...], host: str, path: str, method: str) -> str | None:
    """The matching rules, said as a sort over all candidates: slow, and with nothing in common with the trie."""
    candidates = []
    for order, one in enumerate(rows):
        if one.host is None:
            tier = (2, 0)
        elif one.host.startswith("*"):
            if not (host.endswith(one.host[1:]) and len(host) > len(one.host[1:])):
                continue
            tier = (1, -len(one.host))
        elif one.host == host:
            tier = (0, 0)
        else:
            continue
        specific = _specificity(one.path, path)
        if specific is None or (one.methods is not None and method not in one.methods):
            continue
        candidates.append((tier, specific, order, one.id))
    return min(candidates)[3] if candidates else None


def _specificity(pattern: str, path: str) -> Any:
    if pattern.startswith("regex:"):
        return (9,) if re.fullmatch(pattern[6:], path) else None
    expression = ""
    ranks: list[int] = []
    for part in pattern[1:].split("/"):
        if part == "**":
            expression, ranks = expression + "(/.*)?", [*ranks, 2]
        elif part.startswith("{"):
            expression, ranks = expression + "/[^/]+", [*ranks, 1]
        else:
            expression, ranks = expression + "/" + part, [*ranks, 0]
    return tuple(ranks) if re.fullmatch(expression, path) else None


@given(
    routes(),
    st.sampled_from(["a.example", "x.b.example", "b.example", "example", "other"]),
    st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=4).map("/".join),
    st.sampled_from(["GET", "POST"]),
)
def test_the_trie_finds_what_the_rules_say(rows: tuple[Route, ...], host: str, rest: str, method: str) -> None:
    path = re.sub("//+", "/", "/" + rest)
    decision = ask(live(plan(*rows)), path, host=host, method=method)
    assert decision.route_id == reference(rows, host, path, method)


def found(made: Plan, target: str, **keys: Any) -> str | None:
    return ask(live(made), target, **keys).route_id


def test_a_double_star_is_nothing_or_everything_from_its_slash_on() -> None:
    made = plan(route("/a/**", id="orders/1"))
    assert [found(made, path) for path in ("/a", "/a/", "/a/b/c", "/ab", "/")] == [*["orders/1"] * 3, None, None]


def test_a_slash_at_the_end_matters() -> None:
    made = plan(route("/a", id="orders/1"), route("/b/", id="orders/2"))
    assert [found(made, path) for path in ("/a", "/a/", "/b", "/b/")] == ["orders/1", None, None, "orders/2"]


def test_a_capture_is_one_segment_that_is_not_empty() -> None:
    made = plan(route("/a/{x}", id="orders/1"))
    assert [found(made, path) for path in ("/a/b", "/a/", "/a/b/c")] == ["orders/1", None, None]


def test_a_longer_wildcard_host_comes_before_a_shorter_one_and_a_port_does_not_count() -> None:
    made = plan(
        route("/**", id="orders/1", host="*.example"),
        route("/**", id="orders/2", host="*.shop.example"),
        route("/**", id="orders/3"),
    )
    hosts = ["x.shop.example:8080", "SHOP.example.", "example", "[::1]:80"]
    assert [found(made, "/", host=host) for host in hosts] == ["orders/2", "orders/1", "orders/3", "orders/3"]


@pytest.mark.parametrize(
    ("keys", "target", "headers", "accepted"),
    [
        ({"headers": {"x-beta": ("1", "2")}}, "/a", "X-BETA: 2", True),
        ({"headers": {"x-beta": ("1", "2")}}, "/a", "X-Beta: 3", False),
        ({"headers": {"x-beta": ("1",)}}, "/a", "X-Beta: 3\nX-Beta: 1", True),
        ({"query": {"v": ("2",)}}, "/a?v=1&v=2", "", True),
        ({"query": {"v": ("2",)}}, "/a?w=2", "", False),
        ({"query": {"ü": ("a b",)}}, "/a?%C3%BC=a+b", "", True),
        ({"query": {"v": ("",)}}, "/a?v", "", True),
        ({"cookies": {"beta": ("yes",)}}, "/a", 'Cookie: x=1; beta="yes"', True),
        ({"cookies": {"beta": ("yes",)}}, "/a", "Cookie: xbeta=yes", False),
        ({"account": ("acme", "bolt")}, "/a", "X-Account-Id: bolt", True),
        ({"account": ("acme",)}, "/a", "", False),
    ],
)
def test_every_other_key_must_match_or_the_next_candidate_is_tried(
    keys: dict[str, Any], target: str, headers: str, accepted: bool
) -> None:
    made = plan(route("/a", id="orders/1", **keys), route("/a", id="orders/2"))
    assert found(made, target, headers=headers) == ("orders/1" if accepted else "orders/2")


def test_no_match_is_never_an_error_of_ours_but_otherwise() -> None:
    decision = ask(live(plan(route("/a", methods=("GET",)))), "/a", method="DELETE")
    assert (decision.reason, decision.backend, decision.area) == (Reason.OTHERWISE, Backend.LEGACY, None)


def test_hundreds_of_expressions_keep_their_file_order() -> None:
    made = plan(*(route(f"regex:/r/({i}|all)", id=f"orders/{i}") for i in range(200)))
    assert [found(made, path) for path in ("/r/150", "/r/all", "/r/x")] == ["orders/150", "orders/0", None]


@pytest.mark.parametrize(
    "target",
    ["/public/../admin/x", "/public/%2e%2e/admin/x", "/public/..%2fadmin", r"/public\..\admin/x", "/admin%2fx",
     "/admin%00/../public/x", "/public/%2e%2e%2fadmin/", "/public/../admin/..;/public/x", "/public/../admin//../public/x",
     r"/public/a%2f..%2f..%2fadmin/..\..\public"],
)  # fmt: skip
def test_a_path_that_two_readers_take_to_different_areas_is_refused(target: str) -> None:
    made = plan(route("/public/**", area="public", to="new"), route("/admin/**", area="admin", to="legacy"))
    with pytest.raises(BadMessage, match="more than one way") as caught:
        ask(live(made), target)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "target", ["/public/a%2Fb", "/public/a/../b", r"/public/a\b", "/public/x%00", "/elsewhere/./x"]
)
def test_a_path_that_every_reader_takes_to_one_area_passes(target: str) -> None:
    made = plan(route("/public/**", area="public", to="new"), route("/admin/**", area="admin", to="legacy"))
    assert ask(live(made), target).area == ("public" if "public" in target else None)


def test_readings_in_one_area_with_different_fixed_backends_are_refused() -> None:
    made = plan(route("/a/**", id="orders/1", to="new"), route("/a/b/**", id="orders/2", to="legacy"))
    with pytest.raises(BadMessage):
        ask(live(made), "/a/x/../b/c")


def test_taking_a_generation_apart_leaves_its_decisions_whole() -> None:
    generation = live(plan(route("/a/{x}/**", to="new"), route("regex:/b")))
    decision = ask(generation, "/a/b/c")
    for _ in generation.dismantle():
        pass
    assert decision.route is not None
    assert decision.route.area.name == "orders"
    assert generation.backends[Backend.NEW].urls


def test_expressions_too_large_for_one_set_are_matched_all_the_same() -> None:
    made = plan(*(route(f"regex:/p{i}/[^/]{{1,255}}/[^/]{{1,255}}", id=f"orders/{i}") for i in range(40)))
    generation = live(made)
    assert [ask(generation, path).route_id for path in ("/p0/a/b", "/p39/a/b", "/p7/a")] == [
        "orders/0",
        "orders/39",
        None,
    ]


def test_an_identity_header_of_a_stranger_meets_no_condition() -> None:
    made = plan(route("/a", headers={"x-account-id": ("acme",)}, to="new"))
    assert ask(live(made), "/a", account="acme").backend is Backend.NEW
    assert ask(live(made), "/a", account="acme", trusted=False).backend is Backend.LEGACY


def test_asking_about_the_server_matches_no_path() -> None:
    made = plan(route("/", id="orders/1"), route("regex:.*", id="orders/2"), route("/**", id="orders/3"))
    assert found(made, "*", method="OPTIONS") is None


@pytest.mark.parametrize("target", ["/accounts/moved/..%2fstay/1", "/accounts/moved/../stay/1"])
def test_a_path_that_two_readers_take_to_different_accounts_is_refused(target: str) -> None:
    by_path = Identity(account=(Source(source="path", name="/accounts/{account}/**", place="routes.yaml:9"),))
    generation = live(plan(route("/accounts/**", to="new"), identity=by_path))
    assert ask(generation, "/accounts/moved/x%2Fy").account == "moved"
    with pytest.raises(BadMessage):
        ask(generation, target)
