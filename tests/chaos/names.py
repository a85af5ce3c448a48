"""What becomes of a name that a backend is known by, one row each: a name server of the test's, control's resolver, a worker that heeds it."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from proxy.control.reaching.probes import Prober
from proxy.control.reaching.resolver import Resolver
from proxy.core.care.reaching import Dns, Probe
from proxy.core.model import Backend, Fallback
from proxy.core.plan import Area, Route
from proxy.core.telling.counters import SMALL_PAGE_BYTES, Counters
from proxy.core.telling.pages import NAMES_PAGE_BYTES, PROBES_PAGE_BYTES, Page, Probed, Resolved
from proxy.supervise.heeded import name_watch, probe_watch
from proxy.traffic.backends.tls import backend_context
from soak.nameserver import SERVFAIL, Nameserver
from tests.chaos.row import Row, Seen
from tests.chaos.stage import BEFORE, GET, GOES_ON, Stage, read, stage
from tests.traffic.wire import RawBackend, a_plan, eventually

ONE: Final = "127.0.0.1"
TWO: Final = "127.0.0.2"
NAME: Final = "shop.test"
_PROBE: Final = Probe(path="/before", every_s=0.05, timeout_s=5.0, unhealthy_after=1)  # a path that isn't counted
_SAFE: Final[dict[str, Any]] = {
    "areas": (Area(name="safe", place="-", flag="safe", fallback=Fallback.SAFE),),
    "routes": (Route(id="safe/1", area="safe", place="-", path="/safe/**", to=Backend.NEW),),
}


class Named:
    """A proxy that knows legacy by a name, and has learned its address; or new, which it then probes, and legacy may answer for it."""

    def __init__(self, on: Stage, dns: Nameserver, *, new: bool = False) -> None:
        self.on = on
        self.dns = dns
        first = on.endpoint()
        self.url = f"http://{NAME}:{(on.endpoint() if new else first).raw.port}"
        both = (first.url, self.url) if new else (self.url, "http://127.0.0.1:9")
        node = on.start(both[0], new=both[1], **(_SAFE if new else {}))
        terms = Dns(servers=(dns.address,), shortest_s=0.05, timeout_s=1.0)
        plan = a_plan(*both, dns=terms, new_options={"health": _PROBE} if new else {})
        page: Page[Resolved] = Page(memoryview(bytearray(NAMES_PAGE_BYTES)), Resolved)
        self.own = Counters(memoryview(bytearray(SMALL_PAGE_BYTES)))
        self.resolver = Resolver(page=page, plan=lambda: plan, own=self.own)
        self.watch = name_watch(page, node.traffic.heed_addresses)
        probed: Page[Probed] = Page(memoryview(bytearray(PROBES_PAGE_BYTES)), Probed)
        self.prober = Prober(
            page=probed,
            plan=lambda: plan,
            endpoints=self.resolver.endpoints,
            context_of=lambda spec: backend_context(spec.tls, Path),
        )
        self.probes = probe_watch(probed, node.traffic.heed_probes)
        self._following = node.begin(self._follow())
        self.learns(ONE)

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.resolver.run())
            tasks.create_task(self.watch.run())
            tasks.create_task(self.prober.run())
            tasks.create_task(self.probes.run())

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
def named(row: Row, directory: Path, *, new: bool = False) -> Iterator[Named]:
    """A proxy and a name server, until the scene is over."""
    dns = Nameserver()
    dns.records[NAME] = [ONE]
    try:
        with stage(row, directory) as on:
            one = Named(on, dns, new=new)
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


def _probed(row: Row, directory: Path) -> Seen:
    with named(row, directory, new=True) as it:
        client = it.on.client()
        it.dns.rcode = SERVFAIL
        eventually(lambda: it.level("strangler_name_stale") == 1, "it is noticed")
        arrived = it.on.endpoints[1].arrived
        before = len(arrived)
        eventually(lambda: len(arrived) > before + 2, "it is probed without DNS")
        client.send(GET.replace(b"/x", b"/safe/x"))
        told = read(client)
        it.dns.rcode = None
        eventually(lambda: it.level("strangler_name_stale") == 0, "it is over")
        return it.seen(it.on.seen(told, client), "strangler_name_stale")


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
    Row(id="resolver-broken-probed", fault="the same; it is the name of new (the second), which has `health`, in an area that says `fallback: safe`", client="200", backends="first: nothing; second: 1 whole", log="200",
        says=_KEPT.format("DNS answers SERVFAIL"), metric="strangler_name_stale", recovers=GOES_ON, scene=_probed),
    Row(id="resolver-dead", fault="DNS servers don't answer", client="200", backends="1 whole", log="200",
        says=_KEPT.format("DNS doesn't answer"), metric="strangler_name_stale", recovers=GOES_ON, scene=untold(lambda dns: setattr(dns, "silent", True))),
    Row(id="name-moved", fault="a backend's name means another address: the second", client="200", within="its record's time, at least `dns.shortest` (5 s)", backends="first: nothing; second: 1 whole", log="200",
        metric='strangler_name_lookups_total{result="changed"}', recovers=GOES_ON, scene=_moved),
)
# fmt: on
