"""What becomes of a name that a backend is known by, one row each: a name server of the test's, control's resolver, a worker that heeds it."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proxy.control.resolver import Resolver
from proxy.core.counters import SMALL_PAGE_BYTES, Counters
from proxy.core.pages import NAMES_PAGE_BYTES, Page, Resolved
from proxy.core.reaching import Dns
from proxy.supervise.heeded import name_watch
from tests.chaos.row import Row, Seen
from tests.chaos.stage import BEFORE, GET, GOES_ON, Stage, read, stage
from tests.nameserver import SERVFAIL, Nameserver
from tests.traffic.wire import RawBackend, a_plan, eventually

ONE: Final = "127.0.0.1"
TWO: Final = "127.0.0.2"
NAME: Final = "shop.test"


class Named:
    """A proxy that knows legacy by a name, and has learned its address."""

    def __init__(self, on: Stage, dns: Nameserver) -> None:
        self.on = on
        self.dns = dns
        first = on.endpoint()
        url = f"http://{NAME}:{first.raw.port}"
        node = on.start(url)
        terms = Dns(servers=(dns.address,), shortest_s=0.05, timeout_s=1.0)
        plan = a_plan(url, "http://127.0.0.1:9", dns=terms)
        page: Page[Resolved] = Page(memoryview(bytearray(NAMES_PAGE_BYTES)), Resolved)
        self.own = Counters(memoryview(bytearray(SMALL_PAGE_BYTES)))
        self.resolver = Resolver(page=page, plan=lambda: plan, own=self.own)
        self.watch = name_watch(page, node.traffic.heed_addresses)
        self._following = node.begin(self._follow())
        self.learns(ONE)

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.resolver.run())
            tasks.create_task(self.watch.run())

    def learns(self, address: str) -> None:
        """Wait until the worker heeds an address."""
        eventually(lambda: self.on.node.do(lambda: self.watch.heeded) == {NAME: (address,)}, f"{address} is heeded")

    def level(self, name: str) -> int:
        """A metric of control's."""
        return self.on.node.do(lambda: dict(self.resolver.levels()))[f'{name}{{name="{NAME}"}}']

    def seen(self, seen: Seen, *metrics: str) -> Seen:
        """What was seen, and what control counts."""
        return dataclasses.replace(seen, metrics="\n".join((seen.metrics, *metrics)))

    def close(self) -> None:
        self._following.cancel()


@contextmanager
def named(row: Row, directory: Path) -> Iterator[Named]:
    """A proxy and a name server, until the scene is over."""
    dns = Nameserver()
    dns.records[NAME] = [ONE]
    try:
        with stage(row, directory) as on:
            one = Named(on, dns)
            try:
                yield one
            finally:
                one.close()
    finally:
        dns.close()


def untold(spoil: Callable[[Nameserver], None]) -> Callable[[Row, Path], Seen]:
    """DNS says nothing useful any more, until it does again."""

    def scene(row: Row, directory: Path) -> Seen:
        with named(row, directory) as it:
            client = it.on.client()
            spoil(it.dns)
            eventually(lambda: it.level("strangler_name_stale") == 1, "it is noticed")
            client.send(GET)
            told = read(client)
            it.dns.rcode, it.dns.silent, it.dns.records[NAME] = None, False, [ONE]
            eventually(lambda: it.level("strangler_name_stale") == 0, "it is over")
            assert f"{NAME} can be looked up again: {ONE}" in it.on.told.lines
            return it.seen(it.on.seen(told, client), "strangler_name_stale")

    return scene


def _moved(row: Row, directory: Path) -> Seen:
    with named(row, directory) as it:
        raw = RawBackend()
        raw.listening.close()
        raw.listening = socket.create_server((TWO, it.on.endpoints[0].raw.port))
        it.on.endpoint(raw=raw)
        client = it.on.client()
        client.send(BEFORE)
        assert read(client) == "200"
        it.dns.records[NAME] = [TWO]
        it.learns(TWO)
        client.send(GET)
        told = read(client)
        changed = 'strangler_name_lookups_total{result="changed"}'
        assert dict(it.own.items())[changed] == 2
        return it.seen(it.on.seen(told, client), changed)


# fmt: off
_KEPT: Final = f"{NAME} can't be looked up ({{}}); its last addresses are kept: {ONE}"
ROWS: Final = (
    Row(id="name-gone", fault="DNS no longer knows a backend's name", client="200", backends="1 whole", log="200",
        says=_KEPT.format("there is no such name"), metric="strangler_name_stale", recovers=GOES_ON, scene=untold(lambda dns: dns.records.clear())),
    Row(id="name-without-address", fault="DNS knows a backend's name, but no address", client="200", backends="1 whole", log="200",
        says=_KEPT.format("it has no address"), metric="strangler_name_stale", recovers=GOES_ON, scene=untold(lambda dns: dns.records[NAME].clear())),
    Row(id="resolver-broken", fault="DNS servers answer with errors", client="200", backends="1 whole", log="200",
        says=_KEPT.format("DNS answers SERVFAIL"), metric="strangler_name_stale", recovers=GOES_ON, scene=untold(lambda dns: setattr(dns, "rcode", SERVFAIL))),
    Row(id="resolver-dead", fault="DNS servers don't answer", client="200", backends="1 whole", log="200",
        says=_KEPT.format("DNS doesn't answer"), metric="strangler_name_stale", recovers=GOES_ON, scene=untold(lambda dns: setattr(dns, "silent", True))),
    Row(id="name-moved", fault="a backend's name means another address: the second", client="200", within="its record's time, at least `dns.shortest` (5 s)", backends="first: nothing; second: 1 whole", log="200",
        metric='strangler_name_lookups_total{result="changed"}', recovers=GOES_ON, scene=_moved),
)
# fmt: on
