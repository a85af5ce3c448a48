"""Settings that change nothing where they stand are told; what has an effect, or prepares a step, isn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.compile import compile_files
from proxy.config.text.files import read_files
from tests.config import base

ROOT = Path(__file__).parents[2]
SECRET = "0123456789abcdef0123456789abcdef"
ALONE = 'url: "http://127.0.0.1:9000"'
NAMED = 'url: "http://new.internal:9000"'
TWO = 'url: ["http://127.0.0.1:9000", "http://127.0.0.1:9001"]'
SIGNED = 'signing: {keys: "file:secret"}\n'
BY_HAND = "if:\n  - {in: [pilots, {var: segments}]}\n  - new\n  - legacy\n"


def told(text: str, **over: str) -> list[str]:
    """The keys that are told to change nothing; nothing else may be wrong."""
    compiled = compile_files(base.files({"routes.yaml": text, "secret": SECRET, **over}))
    assert compiled.plan is not None, compiled.complaints
    assert {one.code for one in compiled.complaints} <= {"no-effect", "never-known", "unused-flag"}
    return [one.where for one in compiled.complaints if one.code == "no-effect"]


def new(keys: str, url: str = NAMED) -> str:
    return f'backends:\n  legacy: {{url: "http://legacy.internal:8080"}}\n  new: {{{url}, {keys}}}\n'


def orders(keys: str, routes: str = "{path: /orders}") -> str:
    return f"areas:\n  orders:\n    cache: off\n    {keys}\n    routes: [{routes}]\n"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (new("connect: 3s, total: 3s"), ["backends.new.connect"]),
        (new("timeout: 5s, total: 4s"), ["backends.new.timeout"]),
        (new("queue: {most: 5}"), ["backends.new.queue"]),
        (
            new("max_in_flight: 9, queue: {most: off, wait: 2s, most_of_account: 3}"),
            ["backends.new.queue.most_of_account", "backends.new.queue.wait"],
        ),
        (new("max_in_flight: 9, queue: {most: 2, most_of_account: 3}"), ["backends.new.queue.most_of_account"]),
        (new("breaker: {open: 1m}"), ["backends.new.breaker.open"]),
        (new("endpoints: {left_out: 5s, left_out_longest: 4s}"), ["backends.new.endpoints.left_out"]),
        (new("endpoints: {probe_every: 5s}"), ["backends.new.endpoints.probe_every"]),
        (new("retries: {percent: 10}", ALONE), ["backends.new.retries"]),
        (
            new("endpoints: {faults: 3, slow_start: 5s}", ALONE),
            ["backends.new.endpoints.faults", "backends.new.endpoints.slow_start"],
        ),
        ('identity: {account: "cookie:acct", visitor_days: 3}\n', ["identity.visitor_days"]),
        (orders("timeout: 5s\n    total: 4s"), ["areas.orders.timeout"]),
        (orders("flag: orders", "{path: /orders, timeout: {new: 5s}, total: 4s}"), ["areas.orders.routes[1].timeout"]),
        (orders("fallback: safe", "{path: /orders, to: legacy}"), ["areas.orders.fallback"]),
        (SIGNED + orders("pin: 30m", "{path: /orders, to: new}"), ["areas.orders.pin"]),
        (SIGNED + orders("retired: true\n    pin: 30m"), ["areas.orders.pin"]),
        (
            SIGNED + 'identity: {region: "cookie:land"}\n' + orders("pin: 30m"),
            ["areas.orders.pin"],
        ),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_told(text: str, where: list[str]) -> None:
    assert sorted(told(text)) == where


@pytest.mark.parametrize(
    "text",
    [
        new("connect: 2s, total: 3s"),
        new("total: 1s"),  # below what connect and timeout are by themselves
        new("timeout: 5s, total: off"),
        new("max_in_flight: 9, queue: {most: 5, most_of_account: 5}"),
        new("breaker: off"),
        new("breaker: {open_longest: 500ms}"),
        new("health: /readyz, endpoints: {probe_every: 5s}", ALONE),
        new("retries: {percent: 10}, endpoints: {faults: 3, slow_start: 5s}", TWO),
        new("retries: {percent: 10}, endpoints: {faults: 3, slow_start: 5s}"),  # a name may have several addresses
        new("endpoints: {left_out: 5s}", ALONE),  # for so long reads fall back
        new("timeout: 1s") + "dns: {shortest: 1s}\n",
        orders("timeout: 5s\n    total: {legacy: 4s}"),
        orders("fallback: safe"),
        SIGNED + orders("pin: 30m"),
        SIGNED + "identity: {visitors: cookie, visitor_days: 3}\n" + orders("pin: 30m"),
        SIGNED + orders("pin: 30m", "{path: /orders}, {path: /help, to: new}"),
        orders("flag: orders", '{path: "/orders/**", to: legacy, rewrite: {new: "/v2/orders/**"}}'),
    ],
)
def test_what_has_an_effect_isnt_told(text: str) -> None:
    assert told(text) == []


def test_a_pin_where_the_flag_gives_nobody_a_share_is_told() -> None:
    text = SIGNED + orders("pin: 30m")
    assert told(text, **{"flags/orders.flagd.yaml": base.flag(BY_HAND)}) == ["areas.orders.pin"]
    nobody = base.flag().replace("[new, 5], [legacy, 95]", "[new, 0], [legacy, 100]")
    assert told(text, **{"flags/orders.flagd.yaml": nobody}) == []  # a ramp that hasn't begun


def test_names_that_are_never_looked_up_are_told() -> None:
    urls = 'backends:\n  legacy: {url: "http://localhost:8080"}\n  new: {url: "http://[::1]:9000"}\n'
    assert told(urls + "dns: {shortest: 1s}\n") == ["dns"]


def test_the_shipped_configuration_has_none() -> None:
    compiled = compile_files(read_files(ROOT / "routes.yaml", ROOT / "flags"))
    assert [one for one in compiled.complaints if one.code == "no-effect"] == []
