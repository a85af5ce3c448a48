"""The endpoints of both systems, kept through generations, probes, and names that come to mean other addresses.

A name has one endpoint for each of its addresses, so that each has its own connections and its own standing, and requests go to
whichever has least in flight. As long as no address is known there is one for the name itself, and the system is asked for
it at each connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.core.care.probing import endpoint_name
from proxy.traffic.backends.endpoint import Endpoint
from proxy.traffic.backends.pool import Pool

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, ValuesView

    from proxy.core.generation import Generation
    from proxy.core.model import Backend
    from proxy.core.plan import BackendSpec
    from proxy.traffic.backends.load import Load
    from proxy.traffic.backends.tls import BackendContext, Credentials
    from proxy.traffic.exchanges.exchange import Exchange
    from proxy.traffic.telling.defects import Defects
    from proxy.traffic.telling.telemetry import Telemetry


class Endpoints:
    """One worker's.

    Args:
        loads: of each backend.
        tasks: where the tasks that connect are kept until they are over, and for whom they do.
    """

    __slots__ = ("_addresses", "_found", "_loads", "_pools", "_specs", "_tasks", "_telemetry", "_unhealthy")

    def __init__(
        self, telemetry: Telemetry, loads: Mapping[Backend, Load], tasks: dict[asyncio.Task[None], Exchange]
    ) -> None:
        self._telemetry = telemetry
        self._loads = loads
        self._tasks = tasks
        # Another certificate or authority means other connections: what was trusted then needn't be trusted now.
        self._found: dict[tuple[Backend, str, str | None, BackendContext | None], Endpoint] = {}
        self._specs: list[tuple[BackendSpec, Credentials]] = []
        self._pools: dict[Backend, Pool] = {}
        self._unhealthy: frozenset[str] = frozenset()
        self._addresses: Mapping[str, tuple[str, ...]] = {}

    def values(self) -> ValuesView[Endpoint]:
        """Every endpoint that is asked now."""
        return self._found.values()

    def adopt(self, generation: Generation, credentials: Credentials, tick: int) -> Mapping[Backend, Pool]:
        """Those of another generation; what it doesn't name is drained. Given is where its requests find them."""
        self._specs = [(spec, credentials) for spec in generation.backends.values()]
        self._pools = {spec.name: Pool(spec, self._loads[spec.name], tasks=self._tasks) for spec, _ in self._specs}
        self._staff(tick)
        return self._pools

    def heed_addresses(self, addresses: Mapping[str, tuple[str, ...]], tick: int) -> None:
        """Names mean other addresses; where one vanished nothing begins any more, and what has begun there ends normally."""
        self._addresses = addresses
        self._staff(tick)

    def heed_probes(self, unhealthy: frozenset[str], tick: int) -> None:
        """Probes say something else."""
        self._unhealthy = unhealthy
        for endpoint in self._found.values():
            endpoint.probed(tick, healthy=endpoint_name(endpoint.backend, endpoint.name) not in unhealthy)

    def sweep(self, tick: int, idle_ticks: int, defects: Defects) -> None:
        """Close what has rested for too long, and look at what is minded; called once a tick."""
        for endpoint in self._found.values():
            try:
                endpoint.close_idle(tick - idle_ticks)
                if endpoint.minded:
                    endpoint.look(tick)
            except Exception:  # noqa: BLE001  the others are looked at
                defects.met("endpoint")

    def retire(self) -> None:
        """Drain them all."""
        for endpoint in self._found.values():
            endpoint.retire()

    def _staff(self, tick: int) -> None:
        """Keep who is still named, add who is new, and let who isn't go."""
        found: dict[tuple[Backend, str, str | None, BackendContext | None], Endpoint] = {}
        for spec, credentials in self._specs:
            of_backend: list[Endpoint] = []
            for url in dict.fromkeys(spec.urls):
                context = credentials.for_endpoint(spec.name, url)
                addresses: tuple[str | None, ...] = self._addresses.get(urlsplit(url).hostname or "") or (None,)
                for address in addresses:
                    key = (spec.name, url, address, context)
                    endpoint = self._found.get(key) or Endpoint(spec.name, url, self._telemetry, context, address)
                    found[key] = endpoint
                    of_backend.append(endpoint)
            self._pools[spec.name].assign(of_backend)
        gone = [endpoint for key, endpoint in self._found.items() if key not in found]
        self._found = found
        if self._unhealthy:
            self.heed_probes(self._unhealthy, tick)
        for endpoint in gone:
            endpoint.retire()
