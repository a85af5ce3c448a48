"""What `explain` says is what the traffic path does: random files, random requests, real sockets."""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from proxy.config.compile import compile_files
from proxy.config.text.files import read_files
from proxy.control.telling.explain import explain
from proxy.control.telling.question import Question
from proxy.core.generation import Generation
from proxy.core.switches.covering import NOTHING_ROLLED_BACK
from tests.core.plans import live
from tests.traffic.wire import Node, a_plan


class Echo(BaseHTTPRequestHandler):
    """A backend that says which one it is, and what target it was asked for."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        assert isinstance(self.server, Shop)
        body = json.dumps([self.server.name, self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer  # noqa: N815  the base class asks for these names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        pass


class Shop(ThreadingHTTPServer):
    """A backend with a name."""

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.name = name


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    servers = {}
    for name in ("legacy", "new"):
        server = Shop(name)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers[name] = server
    yield {name: f"http://127.0.0.1:{server.server_port}" for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def node(urls: dict[str, str]) -> Iterator[Node]:
    node = Node(a_plan(urls["legacy"], urls["new"]))
    yield node
    node.close()


ACCOUNTS = ["acme", "bolt", "acct-1", "Kunde-Ü", "nobody"]
SEGMENTS = {
    "pilots": {"accounts": "pilots.txt"},
    "dach": {"regions": ["DE", "AT"]},
    "gold": {"attributes": {"tier": ["gold"]}},
    "wave": {"any": ["pilots", "dach"], "not": "gold"},
    "rest": {"not": ["pilots"]},
}
PATHS = ["/", "/**", "/a", "/a/**", "/a/{x}", "/a/{x}/b", "/b/**", "/b/{x}/**", "/b/c", "regex:/c/[0-9]+", "/café"]

segment_names = st.sampled_from(sorted(SEGMENTS))
conditions = st.fixed_dictionaries(
    {},
    optional={
        "methods": st.sampled_from([["GET"], ["POST", "PUT"]]),
        "host": st.sampled_from(["a.example", "*.example"]),
        "segment": segment_names,
        "region": st.sampled_from(["DE", ["FR", "AT"]]),
        "account": st.sampled_from(["acme", ["bolt", "Kunde-Ü"]]),
        "headers": st.just({"X-Beta": ["1", "2"]}),
        "query": st.just({"v": "2"}),
        "cookies": st.just({"beta": "yes"}),
        "to": st.sampled_from(["new", "legacy"]),
    },
)
ramps = st.integers(0, 100).map(lambda new: {"fractional": [["new", new], ["legacy", 100 - new]]})
outcomes = st.one_of(st.sampled_from(["new", "legacy"]), ramps)
tests = st.one_of(
    segment_names.map(lambda name: {"in": [name, {"var": "segments"}]}),
    st.sampled_from(["DE", "FR"]).map(lambda region: {"==": [{"var": "region"}, region]}),
    st.just({"starts_with": [{"var": "path"}, "/a/"]}),
    st.just({"in": [{"var": "account"}, ["acme", "acct-1"]]}),
    st.just({"==": [{"var": "method"}, "POST"]}),
)
flags = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["ENABLED", "ENABLED", "ENABLED", "DISABLED"]),
        "variants": st.just({"new": "new", "legacy": "legacy"}),
        "defaultVariant": st.sampled_from(["legacy", "new"]),
        "targeting": st.tuples(st.lists(st.tuples(tests, outcomes), max_size=2), outcomes).map(
            lambda chain: (
                {"if": [*(part for pair in chain[0] for part in pair), chain[1]]}
                if chain[0]
                else chain[1]
                if isinstance(chain[1], dict)
                else {}
            )
        ),
    }
)
sources = st.sampled_from(
    [
        ["header:X-Account-Id", "cookie:acct"],
        ["cookie:acct", "path:/a/{account}/**"],
        ["host:{account}.example", "header:X-Account-Id"],
    ]
)


@st.composite
def shops(draw: st.DrawFn) -> dict[str, Any]:
    """routes.yaml and the flags, as data."""
    areas: dict[str, Any] = {}
    for path in draw(st.lists(st.sampled_from(PATHS), unique=True, max_size=7)):
        name = draw(st.sampled_from(["orders", "search", "help"]))
        area = areas.setdefault(name, {"routes": []})
        area["routes"].append({"path": path, **draw(conditions)})
    for area in areas.values():
        area["retired"] = draw(st.sampled_from([False, False, False, True]))
        if area["retired"]:
            for route in area["routes"]:
                route.pop("to", None)
        elif draw(st.booleans()):
            route = area["routes"][0]
            if route["path"] == "/a/{x}":
                route["rewrite"] = {"new": "/v2/{x}", "legacy": "/v1/{x}"}
            elif route["path"] == "/b/**":
                route["rewrite"] = {"new": "/v2/**"}
    return {
        "identity": {
            "trusted_from": ["127.0.0.0/8"],
            "account": draw(sources),
            "region": ["header:X-Region", "account:region"],
        },
        "areas": areas,
        "otherwise": draw(st.sampled_from(["legacy", "new"])),
        "flags": {name: draw(flags) for name in ("orders", "search") if draw(st.booleans())},
    }


def maybe(values: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), values)


requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "PUT"]),
        "target": st.tuples(
            st.sampled_from(
                ["/", "/a", "/a/", "/a/acme", "/a/bolt/b", "/a/x%2Fy", "/a/../b/c", "/b", "/b/c", "/b/x/", "/b//c", "/c/12",
                 "/c/x", "/caf%C3%A9", "/%61/b", "/b/%2e%2e/a", "/a;x/b", "/a/%FF/b", "/z"]
            ),
            st.sampled_from(["", "?v=2", "?v=1&v=2", "?"]),
        ).map("".join),
        "host": st.sampled_from(["shop.test", "a.example", "acme.example:80", "x.y.example"]),
        "account": maybe(st.sampled_from(ACCOUNTS)),
        "cookie": maybe(st.sampled_from(["acct=acme", "acct=bolt; beta=yes", "acct=a; acct=b", 'acct="acct-1"'])),
        "region": maybe(st.sampled_from(["DE", "FR"])),
        "beta": maybe(st.sampled_from(["1", "3"])),
    }
)  # fmt: skip


def compiled(shop: dict[str, Any], urls: dict[str, str], number: int) -> Generation | None:
    """The generation of a shop, by way of files; None when the files don't hold together."""
    routes = {
        "version": 1,
        "backends": {name: {"url": url} for name, url in urls.items()},
        "identity": shop["identity"],
        "accounts": {"register": "accounts.csv"},
        "segments": SEGMENTS,
        "areas": shop["areas"],
        "otherwise": shop["otherwise"],
    }
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        (base / "flags").mkdir()
        (base / "routes.yaml").write_text(yaml.safe_dump(routes, sort_keys=False, allow_unicode=True))
        (base / "pilots.txt").write_text("acme\nKunde-Ü\n")
        (base / "accounts.csv").write_text("id,region,tier\nacme,DE,gold\nbolt,FR,silver\nacct-1,AT,gold\n")
        for name, flag in shop["flags"].items():
            (base / f"flags/{name}.flagd.json").write_text(json.dumps({"flags": {name: flag}}))
        made = compile_files(read_files(base / "routes.yaml", base / "flags"))
    return None if made.plan is None else live(made.plan, made.tables, number=number)


def headers_of(request: dict[str, Any]) -> list[tuple[str, str]]:
    named = [("X-Account-Id", request["account"]), ("X-Region", request["region"]), ("X-Beta", request["beta"])]
    return [(name, value) for name, value in [*named, ("Cookie", request["cookie"])] if value is not None]


numbers = iter(range(2, 1_000_000))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(shops(), st.lists(requests, min_size=8, max_size=16))
def test_explain_says_what_traffic_does(
    node: Node, urls: dict[str, str], shop: dict[str, Any], asked: list[dict[str, Any]]
) -> None:
    generation = compiled(shop, urls, next(numbers))
    assume(generation is not None)
    assert generation is not None
    node.do(lambda: node.traffic.swap(generation))
    connection = http.client.HTTPConnection("127.0.0.1", node.port)
    for request in asked:
        question = Question(
            method=request["method"],
            target=request["target"],
            host=request["host"],
            headers=tuple(headers_of(request)),
            peer="127.0.0.1",
        )
        told = explain(question, generation, latch=NOTHING_ROLLED_BACK, source="running")
        connection.putrequest(request["method"], request["target"], skip_host=True, skip_accept_encoding=True)
        for name, value in [("Host", request["host"]), *headers_of(request)]:
            connection.putheader(name, value.encode())
        if request["method"] != "GET":
            connection.putheader("Content-Length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        if told.refused is not None:
            assert answer.status == 400, told
            continue
        assert answer.status == 200, (told, body)
        assert json.loads(body) == [told.backend, told.sent_target], told
        assert answer.headers["X-Strangler"] == f"{told.backend}; {told.area or '-'}; {told.reason}; {told.generation}"
    connection.close()
