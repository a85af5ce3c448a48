from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.badmessage import BadMessage
from proxy.core.http.rewrite import forward_target, public_path
from proxy.core.model import Backend
from tests.core.plans import ask, live, plan, request, route


def forwarded(path: str, rewrite: str, target: str) -> bytes:
    decision = ask(live(plan(route(path, rewrite_new=rewrite, to="new"))), target)
    return forward_target(decision, request(target).target)


@pytest.mark.parametrize(
    ("path", "rewrite", "target", "sent"),
    [
        ("/api/orders/**", "/v2/orders/**", "/api/orders", "/v2/orders"),
        ("/api/orders/**", "/v2/orders/**", "/api/orders/", "/v2/orders/"),
        ("/api/orders/**", "/v2/orders/**", "/api/orders/7/a%2Fb?x=1&y", "/v2/orders/7/a%2Fb?x=1&y"),
        ("/orders/{id}", "/v2/{id}/show", "/orders/a%20b;v=1?", "/v2/a%20b;v=1/show?"),
        ("/a/{x}/{y}", "/{y}/{x}", "/a/1/2", "/2/1"),
        ("/a/**", "/**", "/a", "/"),
        ("/**", "/shop/**", "/", "/shop/"),
        ("regex:/p-(?P<n>[0-9]+)", "/products/{n}", "/p-12?q", "/products/12?q"),
        ("/fixed", "/other", "/fixed", "/other"),
    ],
)
def test_a_rewrite_substitutes_raw_and_keeps_the_query(path: str, rewrite: str, target: str, sent: str) -> None:
    assert forwarded(path, rewrite, target) == sent.encode()


@pytest.mark.parametrize(
    "target", ["/api//orders/7", "/api/orders/x/../7", "/api/orders/%2e%2e/orders/7", "/api/orders/./7"]
)
def test_a_target_that_no_rewrite_can_be_placed_in_is_refused(target: str) -> None:
    with pytest.raises(BadMessage, match="dot segments"):
        forwarded("/api/**", "/v2/**", target)


def test_an_expression_that_matches_only_the_normal_form_is_refused_by_its_rewrite() -> None:
    with pytest.raises(BadMessage, match="can't be applied"):
        forwarded("regex:/p-(?P<n>[0-9]+)", "/products/{n}", "/p-%31")


def test_a_target_without_a_rewrite_is_sent_as_it_came() -> None:
    decision = ask(live(plan(route("/a/**", rewrite_legacy="/b", to="new"))), "/a//x;p?y")
    assert forward_target(decision, b"/a//x;p?y") == b"/a//x;p?y"


@given(st.lists(st.sampled_from(["a", "b%20c", "~", ""]), max_size=4), st.sampled_from(["7", "x%2Fy", "é"]))
def test_the_way_back_leads_where_the_way_out_began(rest: list[str], given_id: str) -> None:
    generation = live(plan(route("/shop/{id}/items/**", rewrite_new="/v2/{id}/**", to="new")))
    path = f"/shop/{given_id}/items" + "".join(f"/{part}" for part in rest)
    decision = ask(generation, "/shop/1/items")
    assert decision.route is not None
    raw = path.encode()
    if b"//" not in raw:
        sent = forward_target(decision, raw)
        assert public_path(decision.route, Backend.NEW, sent) == raw
    assert public_path(decision.route, Backend.LEGACY, raw) == raw


@pytest.mark.parametrize(("path", "rewrite"), [("/a/{x}", "/b"), ("/a/**", "/b"), ("regex:/(?P<n>.)", "/{n}")])
def test_a_way_back_that_is_not_unique_is_not_taken(path: str, rewrite: str) -> None:
    decision = ask(live(plan(route(path, rewrite_new=rewrite, to="new"))), "/a/1" if "regex" not in path else "/1")
    assert decision.route is not None
    assert public_path(decision.route, Backend.NEW, b"/b") is None


def test_a_path_the_rewrite_never_makes_has_no_way_back() -> None:
    decision = ask(live(plan(route("/a/{x}", rewrite_new="/v2/{x}", to="new"))), "/a/1")
    assert decision.route is not None
    assert [public_path(decision.route, Backend.NEW, path) for path in (b"/v3/1", b"/v2/", b"/v2/1/2")] == [None] * 3
