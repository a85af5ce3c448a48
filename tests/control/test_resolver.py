"""Control asks DNS what the hosts of endpoints mean, tells the workers, and forgets nothing when DNS fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.reaching import lookup
from proxy.control.reaching.lookup import look_up
from proxy.control.reaching.resolver import Resolver
from proxy.core.care.reaching import Dns
from proxy.core.plan import Plan
from proxy.core.telling.counters import SMALL_PAGE_BYTES, Counters
from proxy.core.telling.pages import NAMES_PAGE_BYTES, Page, Resolved
from soak.nameserver import AAAA, NXDOMAIN, SERVFAIL, A, Nameserver
from tests.traffic.wire import a_plan
from tests.waiting import until_async


@pytest.fixture
def dns() -> Iterator[Nameserver]:
    found = Nameserver()
    yield found
    found.close()


def terms(dns: Nameserver, **keys: Any) -> Dns:
    return Dns(**{"servers": (dns.address,), "shortest_s": 0.02, "longest_s": 10.0, "timeout_s": 5.0, **keys})


class Resolving:
    """A resolver of the hosts of `new`."""

    def __init__(self, settings: Dns, *urls: str) -> None:
        self.page = Page(memoryview(bytearray(NAMES_PAGE_BYTES)), Resolved)
        self.counters = Counters(memoryview(bytearray(SMALL_PAGE_BYTES)))
        self.plan: Plan = a_plan("http://127.0.0.1:1", urls or ("http://shop.test:9000",), dns=settings)
        self.resolver = self.made()

    def made(self) -> Resolver:
        return Resolver(page=self.page, plan=lambda: self.plan, own=self.counters)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Resolver]:
        task = asyncio.create_task(self.resolver.run())
        try:
            yield self.resolver
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def told(self) -> dict[str, tuple[str, ...]]:
        note = self.page.read()
        return {} if note is None else {name: tuple(rest) for name, *rest in note.names}

    def count(self, result: str) -> int:
        return dict(self.counters.items())[f'strangler_name_lookups_total{{result="{result}"}}']


def test_both_families_are_told_and_followed_when_they_change(dns: Nameserver) -> None:
    dns.records["shop.test"] = ["127.0.0.2", "127.0.0.1", "::1"]
    resolving = Resolving(terms(dns))

    async def follow() -> None:
        async with resolving.running() as resolver:
            await until_async(resolving.told, "addresses")
            assert resolving.told()["shop.test"][:2] == ("127.0.0.1", "127.0.0.2")  # ::1 too, where there is IPv6
            dns.records["shop.test"] = ["127.0.0.3"]
            await until_async(lambda: resolving.told() == {"shop.test": ("127.0.0.3",)}, "the new address")
            assert resolver.known("shop.test") == (("127.0.0.3",), "")
            assert resolving.count("changed") == 2

    asyncio.run(follow())


@pytest.mark.parametrize(
    ("breaks", "why"),
    [
        ({"rcode": SERVFAIL}, "DNS answers SERVFAIL"),
        ({"rcode": NXDOMAIN}, "there is no such name"),
        ({"records": {"shop.test": []}}, "it has no address"),
        ({"silent": True}, "DNS doesn't answer"),
    ],
)
def test_what_dns_said_last_is_kept_told_once_and_given_up_when_it_answers_again(
    dns: Nameserver, caplog: pytest.LogCaptureFixture, breaks: dict[str, Any], why: str
) -> None:
    dns.records["shop.test"] = ["127.0.0.1"]
    resolving = Resolving(terms(dns, timeout_s=0.2 if "silent" in breaks else 5.0))

    async def follow() -> None:
        async with resolving.running() as resolver:
            await until_async(resolving.told, "an address")
            good = {name: getattr(dns, name) for name in breaks}
            for name, value in breaks.items():
                setattr(dns, name, value)
            await until_async(lambda: resolving.count("failed") >= 2, "it fails")
            assert resolver.known("shop.test") == (("127.0.0.1",), why)
            assert resolving.told() == {"shop.test": ("127.0.0.1",)}
            assert ('strangler_name_stale{name="shop.test"}', 1) in list(resolver.levels())
            for name, value in good.items():
                setattr(dns, name, value)
            dns.records["shop.test"] = ["127.0.0.9"]
            await until_async(lambda: resolver.known("shop.test") == (("127.0.0.9",), ""), "it is back")

    asyncio.run(follow())
    assert [record.getMessage() for record in caplog.records if record.name == "control"] == [
        f"shop.test can't be looked up ({why}); its last addresses are kept: 127.0.0.1",
        "shop.test can be looked up again: 127.0.0.9",
    ]


def test_a_successor_begins_with_what_was_told_even_if_dns_is_gone(dns: Nameserver) -> None:
    dns.rcode = SERVFAIL
    resolving = Resolving(terms(dns))
    resolving.page.write(Resolved(names=(("shop.test", "10.0.0.7"), ("gone.test", "10.0.0.8"))))
    resolving.resolver = resolving.made()

    async def follow() -> None:
        async with resolving.running() as resolver:
            await until_async(lambda: resolver.known("shop.test")[1], "it fails")
        assert resolving.told() == {"shop.test": ("10.0.0.7",)}

    asyncio.run(follow())


def test_a_plan_that_names_others_has_others_asked_for(dns: Nameserver) -> None:
    dns.records |= {"shop.test": ["127.0.0.1"], "other.test": ["127.0.0.2"]}
    resolving = Resolving(terms(dns))

    async def follow() -> None:
        async with resolving.running():
            await until_async(resolving.told, "an address")
            urls = ("http://other.test:1", "http://other.test:2", "http://10.0.0.1:1", "http://localhost:1")
            resolving.plan = a_plan("http://[::1]:1", urls, dns=terms(dns))
            await until_async(lambda: resolving.told() == {"other.test": ("127.0.0.2",)}, "the other name's")
        assert {name for name, _ in dns.asked} == {"shop.test", "other.test"}  # no address, and not this machine

    asyncio.run(follow())


def ask(name: str, settings: Dns, hosts: Path = Path("/nonexistent")) -> list[dict[str, Any]]:
    found = asyncio.run(look_up(name, settings, hosts))
    return [{"addresses": one.addresses, "ttl_s": one.ttl_s, "why": one.why} for one in found]


def test_the_shortest_time_of_a_chain_of_aliases_counts(dns: Nameserver) -> None:
    dns.records["shop.test"] = ["-> a.test", "127.0.0.1"]
    dns.ttl_s, dns.alias_ttl_s = 60, 7
    v4, _ = ask("shop.test", terms(dns))
    assert v4 == {"addresses": ("127.0.0.1",), "ttl_s": 7.0, "why": ""}


def test_one_family_may_fail_alone(dns: Nameserver) -> None:
    dns.records["shop.test"] = ["127.0.0.1"]
    dns.ttl_s, dns.broken = 60, {AAAA}
    v4, v6 = ask("shop.test", terms(dns))
    assert (v4["addresses"], v6["why"]) == (("127.0.0.1",), "DNS answers SERVFAIL")
    assert {kind for _, kind in dns.asked} == {A, AAAA}


def test_the_file_of_hosts_goes_before_dns(dns: Nameserver, tmp_path: Path) -> None:
    dns.records["shop.test"] = ["127.0.0.1"]
    (tmp_path / "hosts").write_text("127.0.0.5 other shop.test # here\n#127.0.0.6 shop.test\n127.0.0.7\tSHOP.test\n\n")
    v4, v6 = ask("shop.test", terms(dns), tmp_path / "hosts")
    assert (v4["addresses"], v6["addresses"], dns.asked) == (("127.0.0.5", "127.0.0.7"), (), [])


def test_who_is_not_in_dns_is_asked_of_the_system_unless_servers_are_named(
    dns: Nameserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = terms(dns)
    assert ask("localhost", named)[0]["why"] == "there is no such name"
    asks_dns = lookup._resolver
    monkeypatch.setattr(lookup, "_resolver", lambda _: asks_dns(named))  # as if resolv.conf named it
    assert "127.0.0.1" in ask("localhost", Dns())[0]["addresses"]
    assert ask("nobody.invalid", Dns())[0]["why"] == "there is no such name"
