"""The two systems and the sources of identity: what is taken, and what is told."""

from __future__ import annotations

import pytest

from proxy.config.compile import Compiled, compile_files
from proxy.core.care.reaching import EndpointCare, Probe
from proxy.core.plan import Forwarding
from tests.config import base


def with_backend(legacy: str, **files: str) -> Compiled:
    text = f'backends:\n  legacy: {legacy}\n  new: {{url: "http://new.internal:9000"}}\n'
    return compile_files(base.files({"routes.yaml": text, **files}))


def with_identity(identity: str, **files: str) -> Compiled:
    return compile_files(base.files({"routes.yaml": f"identity: {identity}\n", **files}))


def codes(compiled: Compiled) -> list[str]:
    return [one.code for one in compiled.complaints]


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://a.internal:8080", "http://a.internal:8080"),
        ("HTTP://A.internal", "http://a.internal:80"),
        ("http://a.internal:81/", "http://a.internal:81"),
        ("http://[::1]:81", "http://[::1]:81"),
        ("http://10.0.0.1", "http://10.0.0.1:80"),
    ],
)
def test_an_endpoint_is_host_and_port(url: str, meant: str) -> None:
    plan = with_backend(f'{{url: "{url}"}}').plan
    assert plan is not None
    assert plan.backends[0].urls == (meant,)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("a.internal:8080", "bad-url"),
        ("ftp://a.internal", "bad-url"),
        ("http://a.internal:0", "bad-url"),
        ("http://a.internal:65536", "bad-url"),
        ("http://a..internal", "bad-url"),
        ("http://" + "a" * 64 + ".internal", "bad-url"),
        ("http://" + "a." * 127 + "com", "bad-url"),
        ("http://user:secret@a.internal", "bad-url"),
        ("http://a.internal?x=1", "bad-url"),
        ("http://a.internal#", "bad-url"),
        ("http://", "bad-url"),
        ("http://[::g]:80", "bad-url"),
    ],
)
def test_anything_else_is_told(url: str, code: str) -> None:
    assert codes(with_backend(f'{{url: "{url}"}}')) == [code]


def test_probes_are_read_with_their_times_and_counts() -> None:
    plan = with_backend(
        '{url: "http://a", health: "/readyz?deep=1", endpoints: {probe_every: 1s, healthy_after: 1}}'
    ).plan
    assert plan is not None
    assert plan.backends[0].health == Probe(path="/readyz?deep=1", every_s=1.0, healthy_after=1)
    assert plan.backends[1].health is None


@pytest.mark.parametrize("path", ["readyz", "/ready z", "/ready\\nz", "/%zz", "/a#b", "/\u00e4", "http://b/"])
def test_a_health_path_that_cannot_be_asked_for_is_told(path: str) -> None:
    assert codes(with_backend(f'{{url: "http://a", health: "{path}"}}')) == ["bad-path"]


def test_how_endpoints_are_left_out_is_read_with_defaults_for_the_rest() -> None:
    plan = with_backend('{url: "http://a:1", endpoints: {faults: off, slow_start: off, left_out: 2s}}').plan
    assert plan is not None
    assert plan.backends[0].care == EndpointCare(faults=0, first_s=2.0, longest_s=30.0, slow_start_s=0.0)
    assert plan.backends[1].care == EndpointCare()


def test_patience_is_read_in_seconds_and_off_is_none() -> None:
    plan = with_backend('{url: "http://a:1", timeout: 250ms, connect: 1.5s, total: 2m}').plan
    assert plan is not None
    assert (plan.backends[0].timeout_s, plan.backends[0].connect_s, plan.backends[0].total_s) == (0.25, 1.5, 120.0)
    assert plan.backends[1].total_s is None
    off = with_backend('{url: "http://a:1", total: off}').plan
    assert off is not None
    assert off.backends[0].total_s is None


@pytest.mark.parametrize("duration", ["0s", "25h", "-1s", "1d", "s", "1 s", "off", "1e3s"])
def test_a_duration_that_is_none_is_told(duration: str) -> None:
    assert codes(with_backend(f'{{url: "http://a:1", timeout: "{duration}"}}')) == ["bad-duration"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ("{remove: [Host]}", "reserved-header"),
        ("{remove: [Content-Length]}", "reserved-header"),
        ("{set: {X-Forwarded-For: me}}", "reserved-header"),
        ('{set: {"X Edge": me}}', "bad-header"),
        ('{set: {X-Edge: "a\\nb"}}', "bad-header-value"),
        ("{set: {X-Edge: file:absent}}", "missing-file"),
        ("{set: {X-Edge: file:empty}}", "bad-header-value"),
    ],
)
def test_a_header_that_cannot_be_set_or_removed_is_told(headers: str, code: str) -> None:
    assert codes(with_backend(f'{{url: "http://a:1", headers: {headers}}}', empty="\n")) == [code]


def test_headers_are_set_and_removed_as_written() -> None:
    plan = with_backend('{url: "http://a:1", headers: {set: {Host: inner, X-Edge: 7}, remove: X-Debug}}').plan
    assert plan is not None
    assert plan.backends[0].headers_set == (("Host", "inner"), ("X-Edge", "7"))
    assert plan.backends[0].headers_remove == ("X-Debug",)


def test_headers_of_answers_are_read_as_those_of_requests_also_from_files_and_the_environment() -> None:
    told = '{url: "http://a:1", answer_headers: {set: {Server: "env:NAME", X-Edge: "file:edge"}, remove: X-Powered-By}}'
    plan = with_backend(told, edge="e\n", **{"env:NAME": "shop"}).plan
    assert plan is not None
    assert plan.backends[0].answer_headers_set == (("Server", "shop"), ("X-Edge", "e"))
    assert plan.backends[0].answer_headers_remove == ("X-Powered-By",)
    assert codes(with_backend('{url: "http://a:1", answer_headers: {set: {Via: me}}}')) == ["reserved-header"]


@pytest.mark.parametrize("host", ["keep", "backend", "shop.internal", "shop.internal:81", "[::1]:81", "10.0.0.1"])
def test_the_host_that_a_backend_is_told_is_kept_as_written(host: str) -> None:
    plan = with_backend(f'{{url: "http://a:1", host: "{host}"}}').plan
    assert plan is not None
    assert (plan.backends[0].host, plan.backends[1].host) == (host, "keep")


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ('host: "http://a"', "bad-host"),
        ('host: "a/b"', "bad-host"),
        ('host: "u@a"', "bad-host"),
        ('host: "a:x"', "bad-host"),
        ('host: "a:0"', "bad-host"),
        ('host: "a b"', "bad-host"),
        ("host: inner, headers: {set: {host: other}}", "reserved-header"),
    ],
)
def test_a_host_that_a_backend_cannot_be_told_is_told(rest: str, code: str) -> None:
    assert codes(with_backend(f'{{url: "http://a:1", {rest}}}')) == [code]


def forwarding(text: str) -> Compiled:
    return compile_files(base.files({"routes.yaml": f"forwarding: {text}\n"}))


def test_what_is_told_of_the_way_is_kept_as_written() -> None:
    plan = forwarding(
        "{trusted_from: [10.0.0.0/8], hops: 2, x_forwarded_for: replace, x_forwarded_proto: off, x_forwarded_host: replace,"
        " x_forwarded_port: append, forwarded: append, via: edge-1, via_answers: true}"
    ).plan
    assert plan is not None
    assert plan.settings.forwarding == Forwarding(
        trusted_from=("10.0.0.0/8",),
        hops=2,
        x_for="replace",
        x_proto="off",
        x_host="replace",
        x_port="append",
        forwarded="append",
        via="edge-1",
        via_answers=True,
    )
    nothing = compile_files(base.files()).plan
    assert nothing is not None
    assert nothing.settings.forwarding == Forwarding()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{via: a b}", "bad-via"),
        ("{trusted_from: 10.1.2.3/8}", "bad-network"),
        ("{trusted_from: 0.0.0.0/0}", "trusts-everyone"),
        ("{hops: 0}", "bad-number"),
        ("{forwarded: on}", "unknown-value"),
    ],
)
def test_what_cannot_be_told_of_the_way_is_told(text: str, code: str) -> None:
    assert codes(forwarding(text)) == [code]


def test_nobody_and_no_name_can_be_written() -> None:
    plan = forwarding("{trusted_from: [], via: off}").plan
    assert plan is not None
    assert plan.settings.forwarding == Forwarding(trusted_from=(), via=None)


@pytest.mark.parametrize(
    ("origin", "meant"),
    [
        ("https://Shop.example", "https://shop.example"),
        ("https://shop.example:443/", "https://shop.example"),
        ("http://shop.example:8080", "http://shop.example:8080"),
    ],
)
def test_the_public_origin_is_kept_without_its_default_port(origin: str, meant: str) -> None:
    plan = compile_files(base.files({"routes.yaml": f'public_origin: "{origin}"\n'})).plan
    assert plan is not None
    assert plan.settings.public_origin == meant


@pytest.mark.parametrize(("written", "meant_s"), [("", 10.0), ("rollback_drain: 250ms\n", 0.25)])
def test_the_time_over_which_a_rollback_ends_what_lasts_is_kept(written: str, meant_s: float) -> None:
    plan = compile_files(base.files({"routes.yaml": written})).plan
    assert plan is not None
    assert plan.settings.rollback_drain_s == meant_s


def test_every_kind_of_source_is_kept_in_the_order_written() -> None:
    sources = '["header:X-Account-Id", "cookie:acct", "path:/accounts/{account}/**", "host:{account}.shop.example"]'
    text = (
        f'identity: {{trusted_from: ["10.1.2.3", "2001:db8::/32"], account: {sources}, region: "account:land"}}\n'
        "accounts: {register: accounts.csv}\n"
    )
    plan = compile_files(base.files({"routes.yaml": text, "accounts.csv": "id,land\nacme,DE\n"})).plan
    assert plan is not None
    assert plan.identity.trusted_from == ("10.1.2.3/32", "2001:db8::/32")
    assert [(one.source, one.name) for one in (*plan.identity.account, *plan.identity.region)] == [
        ("header", "x-account-id"),
        ("cookie", "acct"),
        ("path", "/accounts/{account}/**"),
        ("host", "{account}.shop.example"),
        ("account", "land"),
    ]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("X-Account-Id", "bad-source"),
        ("header:", "bad-source"),
        ("headr:X-Account-Id", "bad-source"),
        ("header:Host", "reserved-header"),
        ("cookie:a b", "bad-cookie"),
        ("path:accounts/{account}", "bad-source"),
        ("path:/{tenant}/{account}", "bad-source"),
        ("host:{account}.shop.example:8080", "bad-source"),
        ("host:shop.example", "bad-source"),
        ("account:region", "bad-source"),
        ("jwt:account", "not-yet"),
    ],
)
def test_a_source_that_gives_no_account_is_told(source: str, code: str) -> None:
    assert code in codes(with_identity(f'{{trusted_from: 10.0.0.0/8, account: "{source}"}}'))


@pytest.mark.parametrize("network", ["10.1.2.3/8", "10.1.2.3/33", "gateway", "::/129"])
def test_a_network_that_is_none_is_told(network: str) -> None:
    assert codes(with_identity(f'{{trusted_from: "{network}", account: "cookie:acct"}}')) == ["bad-network"]
