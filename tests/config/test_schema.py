"""The JSON Schema and the reader agree, for they come from one table."""

from __future__ import annotations

import jsonschema_rs
import pytest

from proxy.config.problems import Report
from proxy.config.routes.schema import json_schema
from proxy.config.routes.shapes import MAIN
from proxy.config.text.nodes import data
from proxy.config.text.yaml import read_yaml
from tests.config import base
from tests.config.errors import Row, rows

VALIDATOR = jsonschema_rs.validator_for(json_schema())
BY_SHAPE = {
    "bad-duration", "bad-name", "bad-number", "bad-size", "empty", "missing-key", "not-yet", "twice", "unknown-key", "unknown-value",
    "wrong-kind",
}  # fmt: skip

FULL = """
version: 1
include: []
backends:
  legacy: {url: "http://legacy.internal:8080", timeout: 20s, connect: 250ms, total: off}
  new:
    url: ["http://shop-a.internal:9000", "http://shop-b.internal:9000"]
    timeout: 8s
    max_in_flight: 200
    host: backend
    headers: {set: {X-Edge-Auth: "file:secrets/edge"}, remove: [X-Debug]}
    answer_headers: {set: {Server: shop}, remove: X-Powered-By}
    health: /readyz
    retries: {percent: 10, per_second: 0, over: 30s}
    endpoints: {faults: 3, left_out: 2s, left_out_longest: 1m, slow_start: off, probe_every: 1s, probe_timeout: 500ms, unhealthy_after: 2, healthy_after: 1}
dns: {servers: ["10.0.0.2:5353"], shortest: 1s, longest: 1m, timeout: 2s}
identity:
  trusted_from: [10.1.2.3/32]
  account: ["header:X-Account-Id", "cookie:acct", "path:/accounts/{account}/**", "host:{account}.shop.example"]
  region: ["header:X-Region", "account:region"]
  visitors: cookie
  visitor_days: 90
signing: {keys: ["file:secrets/cookies", "env:COOKIES_BEFORE"]}
forwarding: {trusted_from: [], hops: 1, x_forwarded_for: replace, forwarded: append, via: edge-1, via_answers: true}
accounts: {register: accounts.csv}
segments:
  pilots: {accounts: segments/pilots.txt}
  key-accounts: {attributes: {tier: strategic}}
  dach: {regions: [DE, AT, CH]}
  wave-1: {any: [pilots, dach], all: dach, not: key-accounts}
cookies: {legacy: [JSESSIONID], new: [sid]}
public_origin: "https://shop.acme.example"
inner_hosts: off
cache: vary
limits:
  head: 32KiB
  headers: 50
  body: off
  min_rate: 500
  head_timeout: 20s
  requests_per_connection: off
  connections: 10000
areas:
  orders:
    body: 10MB
    timeout: 30s
    total: {legacy: off, new: 5m}
    owner: order-desk@acme.example
    runbook: https://wiki.acme.example/runbooks/orders
    fallback: never
    pin: 30m
    cache: private
    flag: orders
    routes:
      - {path: "/orders/{id}", methods: [GET], account: 4711}
      - {path: "/api/orders/**", rewrite: {new: "/v2/orders/**"}, host: "*.shop.example", query: {v: 2}, region: NO}
      - {id: beta, path: "regex:/o/[0-9]+", headers: {X-Beta: [1, 2]}, cookies: {beta: yes}, segment: [pilots]}
  blog:
    retired: true
    routes: [{path: "/blog/**"}]
otherwise: legacy
"""


def shape_errors(text: str) -> tuple[bool, list[str]]:
    """(whether the schema accepts, what the reader says)."""
    report = Report("routes.yaml")
    root = read_yaml(text, report)
    assert root is not None
    MAIN.read(root, "", report)
    return VALIDATOR.is_valid(data(root)), [one.code for one in report.complaints]


def test_every_key_is_accepted_by_both() -> None:
    assert shape_errors(FULL) == (True, [])


def test_the_small_base_is_accepted_by_both() -> None:
    assert shape_errors(base.routes()) == (True, [])


@pytest.mark.parametrize(
    "row", [row for row in rows() if row.code in BY_SHAPE and "routes.yaml" in row.files], ids=lambda row: row.code
)
def test_what_the_reader_refuses_by_shape_the_schema_refuses_too(row: Row) -> None:
    accepted, codes = shape_errors(base.routes(row.files["routes.yaml"] or ""))
    assert row.code in codes
    assert not accepted


@pytest.mark.parametrize("line", FULL.strip().splitlines())
def test_no_line_of_the_full_example_can_be_misspelt_unnoticed_by_either(line: str) -> None:
    key, colon, rest = line.partition(":")
    if (
        not colon
        or key.lstrip().startswith("-")
        or key.strip() in ("pilots", "key-accounts", "dach", "wave-1", "orders", "blog")
    ):
        return  # a name that people choose
    accepted, codes = shape_errors(FULL.replace(f"\n{line}\n", f"\n{key}x:{rest}\n"))
    assert "unknown-key" in codes
    assert not accepted
