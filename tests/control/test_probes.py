"""Control probes endpoints as requests would reach them, and says who is unhealthy."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from proxy.control.reaching.probes import Prober
from proxy.core.care.reaching import Probe
from proxy.core.model import Backend, Fallback
from proxy.core.plan import Area, BackendSpec, BackendTls, Plan
from proxy.core.telling.pages import PROBES_PAGE_BYTES, Page, Probed
from proxy.traffic.backends.tls import backend_context
from tests.certificates import Authority
from tests.traffic.wire import a_plan
from tests.waiting import until_async

# A probe that is cancelled in the turn in which it has connected leaves its connection to the collector: httpx has nobody
# yet who would close it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

PROBE = Probe(path="/readyz", every_s=0.02, timeout_s=5.0, unhealthy_after=2, healthy_after=2)


class Endpoint:
    """Answers probes with a status of one's choice, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.silent = False
        self.heads: list[bytes] = []
        self.url = ""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if self.silent:
                await reader.read()
            else:
                more = b"Location: http://127.0.0.1:1/elsewhere\r\nSet-Cookie: a=b\r\n"
                writer.write(b"HTTP/1.1 %d -\r\n%bContent-Length: 5\r\n\r\nready" % (self.status, more))
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def endpoint(
    context: ssl.SSLContext | None = None, *, address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Endpoint]:
    found = Endpoint()
    server = await asyncio.start_server(found.serve, address, port, ssl=context)
    found.port = server.sockets[0].getsockname()[1]
    found.url = f"http{'s' if context else ''}://{address}:{found.port}"
    async with server:
        yield found


class Probing:
    """A prober of the new system's endpoints."""

    def __init__(self, *urls: str, path_of: Any = Path, **options: Any) -> None:
        self.page = Page(memoryview(bytearray(PROBES_PAGE_BYTES)), Probed)
        self._path_of = path_of
        self.addresses: tuple[str, ...] = ()  # of all hosts
        self.plan = self.planned(*urls, **options)

    def planned(self, *urls: str, **options: Any) -> Plan:
        return a_plan("http://127.0.0.1:1", urls, new_options={"health": PROBE, **options})

    def prober(self) -> Prober:
        def context_of(spec: BackendSpec) -> ssl.SSLContext:
            return backend_context(spec.tls, self._path_of)

        def endpoints(spec: BackendSpec) -> list[tuple[str, str]]:
            return [(url, address) for url in spec.urls for address in self.addresses or ("",)]

        return Prober(page=self.page, plan=lambda: self.plan, endpoints=endpoints, context_of=context_of)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Prober]:
        prober = self.prober()
        task = asyncio.create_task(prober.run())
        try:
            yield prober
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def told(self) -> tuple[str, ...] | None:
        note = self.page.read()
        return None if note is None else note.unhealthy


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a story to its end, and let go of what it left."""
    asyncio.run(work)
    gc.collect()


def test_one_that_fails_is_told_and_so_is_its_recovery_and_the_other_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        async with endpoint() as good, endpoint() as bad:
            probing = Probing(good.url, bad.url)
            async with probing.running() as prober:
                await until_async(lambda: prober.verdict(Backend.NEW, bad.url)[0] == "healthy", "the first probe")
                bad.status = 503
                await until_async(lambda: probing.told() == (f"new {bad.url}",), "it is told")
                assert prober.verdict(Backend.NEW, bad.url) == ("unhealthy", "it answers 503")
                assert prober.verdict(Backend.NEW, good.url) == ("healthy", "")
                assert prober.verdict(Backend.LEGACY, "http://127.0.0.1:1") == ("off", "")
                assert dict(prober.levels())[f'strangler_endpoint_healthy{{backend="new",endpoint="{bad.url}"}}'] == 0
                bad.status = 399
                await until_async(lambda: probing.told() == (), "its recovery is told")
            assert [record.getMessage() for record in caplog.records if record.name == "control"] == [
                f"new {bad.url} is unhealthy (/readyz: it answers 503); others are asked first",
                f"new {bad.url} is healthy again",
            ]

    run(story())


def test_a_probe_goes_the_way_of_requests_keeps_no_cookie_and_follows_nothing() -> None:
    async def story() -> None:
        async with endpoint() as asked:
            asked.status = 302
            probing = Probing(asked.url, host="shop.internal", headers_set=(("X-Edge", "secret"),))
            async with probing.running() as prober:
                await until_async(lambda: len(asked.heads) > 2, "some probes")
                assert prober.verdict(Backend.NEW, asked.url) == ("healthy", "")
            for head in asked.heads:
                assert head.startswith(b"GET /readyz HTTP/1.1\r\n")
                assert head.lower().count(b"\r\nhost:") == 1
                assert b"\r\nHost: shop.internal\r\n" in head
                assert b"\r\nX-Edge: secret\r\n" in head
                assert b"cookie" not in head.lower()

    run(story())


def test_silence_and_a_refused_connection_are_unhealthy() -> None:
    async def story() -> None:
        async with endpoint() as silent, endpoint() as gone:
            url = gone.url
            silent.silent = True
            quick = Probe(path="/", every_s=0.02, timeout_s=0.1, unhealthy_after=1)
            probing = Probing(silent.url, url, health=quick)
            gone.status = 500
            async with probing.running() as prober:
                await until_async(lambda: len(probing.told() or ()) == 2, "both are told")
                assert prober.verdict(Backend.NEW, silent.url)[1] == "no answer within 0.1 s"
        probing = Probing(url, health=quick)  # nobody listens there any more
        async with probing.running() as prober:
            await until_async(lambda: probing.told() == (f"new {url}",), "it is told")
            assert prober.verdict(Backend.NEW, url)[1]

    run(story())


def test_a_backend_over_tls_is_probed_with_its_own_authority_and_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    authority, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b")

    async def story() -> None:
        async with (
            endpoint(authority.serving(authority.sign("shop.test"))) as known,
            endpoint(stranger.serving(stranger.sign("shop.test"))) as unknown,
        ):
            tls = BackendTls(ca=authority.ca, server_name="shop.test")
            probing = Probing(known.url, unknown.url, tls=tls, path_of=authority.path_of)
            async with probing.running() as prober:
                await until_async(lambda: probing.told() == (f"new {unknown.url}",), "the stranger is told")
                await until_async(lambda: prober.verdict(Backend.NEW, known.url)[0] == "healthy", "the other is")
                assert "certificate verify failed" in prober.verdict(Backend.NEW, unknown.url)[1]

    run(story())


@pytest.mark.skipif(
    sys.platform != "linux", reason="needs two loopback addresses; on macOS: ifconfig lo0 alias 127.0.0.2"
)
def test_of_a_names_addresses_the_one_that_fails_is_told_alone_and_each_is_asked_as_the_name() -> None:
    async def story() -> None:
        async with endpoint() as good, endpoint(address="127.0.0.2", port=good.port) as bad:
            url = f"http://shop.test:{good.port}"
            probing = Probing(url)
            async with probing.running() as prober:
                await until_async(lambda: probing.page.beats > 1, "it runs")
                assert prober.verdict(Backend.NEW, url) == ("unknown", "")  # no address is known: nobody is asked
                assert (probing.told(), list(prober.levels())) == ((), [])
                probing.addresses = ("127.0.0.1", "127.0.0.2")
                both = [f"{url} {one}" for one in probing.addresses]
                await until_async(
                    lambda: [prober.verdict(Backend.NEW, one)[0] for one in both] == ["healthy"] * 2, "both are asked"
                )
                bad.status = 503
                await until_async(lambda: probing.told() == (f"new {url} 127.0.0.2",), "it is told")
                assert prober.verdict(Backend.NEW, f"{url} 127.0.0.1") == ("healthy", "")
                probing.addresses = ("127.0.0.1",)
                await until_async(lambda: probing.told() == (), "an address that is gone is forgotten")
            heads = b"".join((*good.heads, *bad.heads))
            assert heads.count(b"\r\nHost: shop.test:%d\r\n" % good.port) == len(good.heads) + len(bad.heads)

    run(story())


def test_an_address_over_tls_shows_the_certificate_of_its_name(tmp_path: Path) -> None:
    for name in ("shop.test", "other.test"):
        (tmp_path / name).mkdir()
    authority = Authority(tmp_path / "shop.test")

    async def story() -> None:
        async with (
            endpoint(authority.serving(authority.sign("shop.test"))) as right,
            endpoint(authority.serving(authority.sign("other.test"))) as wrong,
        ):
            urls = [f"https://shop.test:{one.port}" for one in (right, wrong)]
            probing = Probing(*urls, tls=BackendTls(ca=authority.ca), path_of=authority.path_of)
            probing.addresses = ("127.0.0.1",)
            async with probing.running() as prober:
                await until_async(lambda: probing.told() == (f"new {urls[1]} 127.0.0.1",), "the other's is refused")
                await until_async(
                    lambda: prober.verdict(Backend.NEW, f"{urls[0]} 127.0.0.1") == ("healthy", ""), "its own isn't"
                )
                assert "certificate verify failed" in prober.verdict(Backend.NEW, f"{urls[1]} 127.0.0.1")[1]

    run(story())


@pytest.mark.parametrize(
    ("areas", "then"),
    [
        ((), "it is asked all the same, as no other is left"),
        (
            (Area(name="help", place="-", flag="help", fallback=Fallback.SAFE),),
            "no other is left: legacy answers the reads of areas with fallback: safe, the rest is asked all the same",
        ),
    ],
)
def test_when_none_is_left_it_is_said_who_answers(
    areas: tuple[Area, ...], then: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with endpoint() as only:
            only.status = 500
            probing = Probing(only.url)
            probing.plan = a_plan("http://127.0.0.1:1", only.url, areas=areas, new_options={"health": PROBE})
            async with probing.running():
                await until_async(lambda: probing.told() == (f"new {only.url}",), "it is told")
            assert f"new {only.url} is unhealthy (/readyz: it answers 500); {then}" in caplog.messages

    run(story())


def test_another_plan_changes_who_is_probed_and_forgets_who_no_longer_is() -> None:
    async def story() -> None:
        async with endpoint() as one, endpoint() as other:
            one.status = other.status = 500
            probing = Probing(one.url)
            async with probing.running():
                await until_async(lambda: probing.told() == (f"new {one.url}",), "the first is told")
                probing.plan = probing.planned(other.url)
                await until_async(lambda: probing.told() == (f"new {other.url}",), "the other alone is told")
                probing.plan = probing.planned(other.url, health=None)
                await until_async(lambda: probing.told() == (), "nobody is probed")

    run(story())


def test_control_begins_where_it_stopped_and_beats_as_long_as_it_probes() -> None:
    async def story() -> None:
        async with endpoint() as one:
            one.status = 500
            probing = Probing(one.url)
            async with probing.running():
                await until_async(lambda: probing.told() == (f"new {one.url}",), "it is told")
            one.silent = True  # the successor's first probe doesn't come back
            version, beats = probing.page.version, probing.page.beats
            async with probing.running() as prober:
                await until_async(lambda: probing.page.beats > beats + 1, "it beats")
                assert prober.verdict(Backend.NEW, one.url)[0] == "unknown"
            assert probing.page.version == version

    run(story())


def test_a_page_that_is_full_leaves_out_the_rest() -> None:
    async def story() -> None:
        urls = [f"http://127.0.0.1:1/{'x' * 1000}{i}" for i in range(80)]
        probing = Probing(*urls, health=Probe(path="/", every_s=60, unhealthy_after=1))
        async with probing.running() as prober:
            await until_async(lambda: [value for _, value in prober.levels()] == [0] * 80, "all are unhealthy")
            told = probing.told()
            assert told is not None
            assert 50 < len(told) < 80

    run(story())
