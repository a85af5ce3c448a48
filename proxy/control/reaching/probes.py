"""Probes: control asks every endpoint whose backend has a `health` path, and tells the workers who is unhealthy.

A probe is a GET over a connection of its own, since a kept one would say nothing of whether new ones are taken; 200 to
399 is healthy (as Kubernetes has it). It goes the way that requests go: to the addresses that workers were told, with the backend's
own headers and Host, certificates verified as its `tls` says. What stands on the page when control starts is where it begins, so its
restart changes nothing.

A probe looks nothing up. If it did, trouble with names would look like trouble with a system whose addresses are known: workers go
on asking those, and where an area says `fallback: safe` they would have its reads answered by the other system. A name whose
addresses aren't known isn't probed, and counts as healthy.

When control is dead nobody probes, and the page stops beating: then the workers no longer heed it (`proxy.supervise.heeded`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import ssl
from collections.abc import Callable, Iterable, Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx

from proxy.core.care.probing import ProbeTally, addressed, endpoint_name
from proxy.core.care.reaching import Probe
from proxy.core.care.resolving import is_name
from proxy.core.http.ports import port_of
from proxy.core.model import Backend, Fallback
from proxy.core.plan import ENDPOINTS_OWN, KEEP, BackendSpec, Plan
from proxy.core.telling.metrics import label
from proxy.core.telling.pages import Page, Probed

_LOOK_S: Final = 0.25  # how soon an edit is noticed, and how often the page beats
_SPREAD: Final = 0.1  # of the time between two probes, so that endpoints aren't asked all at once
_HEALTHY: Final = range(200, 400)
_ROOM_LEFT_BYTES: Final = 64  # of the page, for what stands around the list

EndpointsOf = Callable[[BackendSpec], Iterable[tuple[str, str]]]
ContextOf = Callable[[BackendSpec], ssl.SSLContext]
Verdict = Literal["off", "unknown", "healthy", "unhealthy"]

_Endpoint = tuple[BackendSpec, str, str]
"""A URL, and an address of its host; empty: the URL has it, or none is known."""

_log = logging.getLogger("control")


@dataclasses.dataclass(frozen=True, slots=True)
class _Target:
    """One endpoint that is probed; without an address the URL has it, or it is this machine."""

    spec: BackendSpec
    probe: Probe
    url: str
    address: str

    @property
    def name(self) -> str:
        return endpoint_name(self.spec.name, addressed(self.url, self.address))

    @property
    def asked(self) -> str:
        """What is asked for: the probe's path at the address."""
        if not self.address:
            return self.url + self.probe.path
        parts = urlsplit(self.url)
        host = f"[{self.address}]" if ":" in self.address else self.address
        return parts._replace(netloc=f"{host}:{port_of(parts)}").geturl() + self.probe.path

    @property
    def met_as(self) -> str:
        """Whose certificate it has to show; empty: that of the host in what is asked for."""
        named = None if self.spec.tls is None else self.spec.tls.server_name
        return named or (self.address and urlsplit(self.url).hostname) or ""


class Prober:
    """Probes the endpoints of the plan in force."""

    def __init__(
        self, *, page: Page[Probed], plan: Callable[[], Plan | None], endpoints: EndpointsOf, context_of: ContextOf
    ) -> None:
        """Probe nothing yet.

        Args:
            page: what workers read; written by nobody else.
            plan: gives the plan in force, the same object as long as it is.
            endpoints: gives those of a backend as workers have them now, each a URL and an address.
            context_of: makes the TLS context that a backend's requests are sent with; may raise OSError.
        """
        self._page = page
        self._plan = plan
        self._endpoints_of = endpoints
        self._context_of = context_of
        told = page.read()
        self._unhealthy_before = frozenset(() if told is None else told.unhealthy)
        self._tallies: dict[str, ProbeTally] = {}
        self._contexts: dict[BackendSpec, ssl.SSLContext] = {}
        self._making = asyncio.Lock()
        self._endpoints: tuple[_Endpoint, ...] = ()  # that are asked, and should be probed
        self._fallback = False  # some area's reads go to legacy where none of new's is healthy

    async def run(self) -> None:
        """Probe until cancelled."""
        seen: Plan | None = None
        tasks: dict[_Target, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                plan = self._plan()
                endpoints = () if plan is None else self._named(plan)
                if plan is not None and (plan is not seen or endpoints != self._endpoints):
                    seen, self._endpoints = plan, endpoints
                    self._fallback = any(area.fallback is Fallback.SAFE and not area.retired for area in plan.areas)
                    wanted = dict.fromkeys(_targets(endpoints))
                    for target in [one for one in tasks if one not in wanted]:
                        tasks.pop(target).cancel()
                    self._contexts = {spec: one for spec, one in self._contexts.items() if spec in plan.backends}
                    self._tallies = {target.name: self._tally(target, anew=target not in tasks) for target in wanted}
                    self._unhealthy_before = frozenset()
                    self._tell()
                    for target in wanted:
                        if target not in tasks:
                            tasks[target] = group.create_task(self._watch(target, self._tallies[target.name]))
                self._page.beat()
                await asyncio.sleep(_LOOK_S)

    def verdict(self, backend: Backend, endpoint: str) -> tuple[Verdict, str]:
        """What probes say of an endpoint (`proxy.core.care.probing.addressed`), and how the last one failed."""
        tally = self._tallies.get(endpoint_name(backend, endpoint))
        if tally is None and all(spec.name is not backend for spec, _, _ in self._endpoints):
            return "off", ""
        if tally is None or not tally.known:
            return "unknown", ""
        return ("healthy" if tally.healthy else "unhealthy"), tally.why

    def levels(self) -> Iterator[tuple[str, int]]:
        """The metric, for every endpoint that is probed."""
        for name, tally in self._tallies.items():
            backend, _, endpoint = name.partition(" ")
            yield f'strangler_endpoint_healthy{{backend="{backend}",endpoint="{label(endpoint)}"}}', int(tally.healthy)

    def _named(self, plan: Plan) -> tuple[_Endpoint, ...]:
        return tuple(
            (spec, url, address)
            for spec in plan.backends
            if spec.health is not None
            for url, address in self._endpoints_of(spec)
        )

    def _tally(self, target: _Target, *, anew: bool) -> ProbeTally:
        """What is known of an endpoint; `anew`: how it is probed changed, so only the verdict is kept."""
        former = self._tallies.get(target.name)
        if former is not None and not anew:
            return former
        healthy = target.name not in self._unhealthy_before if former is None else former.healthy
        probe = target.probe
        return ProbeTally(unhealthy_after=probe.unhealthy_after, healthy_after=probe.healthy_after, healthy=healthy)

    async def _watch(self, target: _Target, tally: ProbeTally) -> None:
        probe = target.probe
        while True:
            try:
                why = await self._ask(target)
            except Exception:  # noqa: BLE001  the top of a task: a defect of ours says nothing of the endpoint
                _log.exception("%s could not be probed", target.name)
            else:
                if tally.take(why):
                    self._tell()
                    self._tell_people(target, tally)
            await asyncio.sleep(probe.every_s * random.uniform(1 - _SPREAD, 1 + _SPREAD))  # noqa: S311

    async def _ask(self, target: _Target) -> str:
        """Why an endpoint isn't healthy; empty: it is."""
        spec = target.spec
        try:
            async with asyncio.timeout(target.probe.timeout_s):
                context = _UNUSED if target.url.startswith("http:") else await self._context(spec)
                async with (
                    httpx.AsyncClient(
                        verify=context,
                        trust_env=False,
                        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
                        timeout=None,  # noqa: S113 - the whole probe has one
                    ) as client,
                    client.stream(
                        "GET",
                        target.asked,
                        headers=_headers(target),
                        extensions={"sni_hostname": target.met_as} if target.met_as else {},
                    ) as answer,
                ):
                    return "" if answer.status_code in _HEALTHY else f"it answers {answer.status_code}"
        except TimeoutError:
            return f"no answer within {target.probe.timeout_s:g} s"
        except (httpx.HTTPError, OSError) as error:
            return str(error) or type(error).__name__

    async def _context(self, spec: BackendSpec) -> ssl.SSLContext:
        """How a backend is met over TLS, made once: to read the system's authorities takes as long as many probes."""
        async with self._making:
            context = self._contexts.get(spec)
            if context is None:
                context = self._contexts[spec] = await asyncio.to_thread(self._context_of, spec)
            return context

    def _tell(self) -> None:
        names = sorted(name for name, tally in self._tallies.items() if not tally.healthy)
        room = self._page.room_bytes - _ROOM_LEFT_BYTES
        fitting = []
        for name in names:  # who finds no room counts as healthy: in doubt, an endpoint is asked
            room -= len(name) + 3
            if room >= 0:
                fitting.append(name)
        told = self._page.read()
        if told is None or told.unhealthy != tuple(fitting):
            self._page.write(Probed(unhealthy=tuple(fitting)))

    def _tell_people(self, target: _Target, tally: ProbeTally) -> None:
        if tally.healthy:
            _log.warning("%s is healthy again", target.name)
            return
        backend = target.spec.name
        if any(spec.name is backend and self._asked_first(spec, url, one) for spec, url, one in self._endpoints):
            then = "others are asked first"
        elif backend is Backend.NEW and self._fallback:
            then = "no other is left: legacy answers the reads of areas with fallback: safe, the rest is asked all the same"
        else:
            then = "it is asked all the same, as no other is left"
        _log.error("%s is unhealthy (%s: %s); %s", target.name, target.probe.path, tally.why, then)

    def _asked_first(self, spec: BackendSpec, url: str, address: str) -> bool:
        tally = self._tallies.get(endpoint_name(spec.name, addressed(url, address)))
        return tally is None or tally.healthy


def _targets(endpoints: Iterable[_Endpoint]) -> Iterator[_Target]:
    """Those that can be probed as workers ask them: of a name some address has to be known."""
    for spec, url, address in endpoints:
        if spec.health is not None and (address or not is_name(urlsplit(url).hostname or "")):
            yield _Target(spec, spec.health, url, address)


def _headers(target: _Target) -> list[tuple[str, str]]:
    spec = target.spec
    headers = [(name, value) for name, value in spec.headers_set]
    if not any(name.lower() == "host" for name, _ in headers):
        own = spec.host in (KEEP, ENDPOINTS_OWN)  # there is no client whose Host could be kept
        headers.append(("Host", urlsplit(target.url).netloc if own else spec.host))
    if not any(name.lower() == "user-agent" for name, _ in headers):
        headers.append(("User-Agent", "strangler-probe"))
    return headers


_UNUSED: Final = ssl.SSLContext(
    ssl.PROTOCOL_TLS_CLIENT
)  # httpx would load the system's authorities for plain text, too
