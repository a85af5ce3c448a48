"""Names: control asks what the hosts of endpoints mean, as often as their records say, and tells the workers.

Control does it for all workers: one question a node and a name, no library on the traffic path, and nothing there that waits. Workers
go on with what they were told last; when control is dead for long, they ask the system at each connection (`proxy.supervise.heeded`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from proxy.core.care.reaching import Dns
from proxy.core.care.resolving import KnownName, Told, names_of
from proxy.core.plan import BackendSpec, Plan
from proxy.core.telling.counters import Counters
from proxy.core.telling.metrics import label
from proxy.core.telling.pages import Page, Resolved

_LOOK_S: Final = 0.1  # how soon an edit is noticed, and how often the page beats
_ROOM_LEFT_BYTES: Final = 64  # of the page, for what stands around the list

LookUp = Callable[[str, Dns], Awaitable[tuple[Told, Told]]]

_log = logging.getLogger("control")


async def _look_up(name: str, terms: Dns) -> tuple[Told, Told]:
    """Look a name up; what does that is loaded for the first, as it takes a tenth of a second and 10 MB."""

    def load() -> LookUp:
        from proxy.control.reaching.lookup import look_up

        return look_up

    look_up = await asyncio.to_thread(load)
    return await look_up(name, terms)


class Resolver:
    """Knows the addresses of the names in the plan in force."""

    def __init__(
        self, *, page: Page[Resolved], plan: Callable[[], Plan | None], own: Counters, ask: LookUp | None = None
    ) -> None:
        """Ask nothing yet.

        Args:
            page: what workers read; written by nobody else.
            plan: gives the plan in force, the same object as long as it is.
            own: control's counters.
            ask: what a name means now; never raises but by a defect. None: as `proxy.control.reaching.lookup` does.
        """
        self._page = page
        self._plan = plan
        self._ask = ask or _look_up
        self._names: dict[str, KnownName] = {}
        self._told: set[str] = set()
        told = page.read()
        self._before = {} if told is None else {name: tuple(rest) for name, *rest in told.names}
        self._own = own
        self._cells = {
            result: own.series(f'strangler_name_lookups_total{{result="{result}"}}')
            for result in ("same", "changed", "failed")
        }

    async def run(self) -> None:
        """Ask until cancelled."""
        seen: Plan | None = None
        terms = Dns()
        tasks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                plan = self._plan()
                if plan is not None and plan is not seen:
                    seen = plan
                    wanted = names_of(url for spec in plan.backends for url in spec.urls)
                    changed = plan.settings.dns != terms
                    terms = plan.settings.dns
                    for name in [one for one in tasks if changed or one not in wanted]:
                        tasks.pop(name).cancel()
                    self._names = {name: self._names.get(name) or self._known_before(name) for name in wanted}
                    self._before = {}
                    self._tell()
                    for name in wanted:
                        if name not in tasks:
                            tasks[name] = group.create_task(self._watch(name, self._names[name], terms))
                self._page.beat()
                await asyncio.sleep(_LOOK_S)

    def known(self, host: str) -> tuple[tuple[str, ...], str]:
        """The addresses of a host, and why no newer can be had; neither, if it is no name that is asked for."""
        found = self._names.get(host)
        return (self._before.get(host, ()), "") if found is None else (found.addresses, found.why)

    def endpoints(self, spec: BackendSpec) -> Iterator[tuple[str, str]]:
        """The endpoints of a backend as workers have them: URLs, each once with every address that is known of its host; else with none (empty)."""
        for url in dict.fromkeys(spec.urls):
            for address in self.known(urlsplit(url).hostname or "")[0] or ("",):
                yield url, address

    def levels(self) -> Iterator[tuple[str, int]]:
        """The metrics of every name."""
        for name, known in self._names.items():
            yield f'strangler_name_addresses{{name="{label(name)}"}}', len(known.addresses)
            yield f'strangler_name_stale{{name="{label(name)}"}}', int(bool(known.why))

    def _known_before(self, name: str) -> KnownName:
        """What a predecessor told the workers goes on being told, until something newer is known."""
        known = KnownName()
        addresses = self._before.get(name, ())
        if addresses:
            families = [tuple(one for one in addresses if (":" in one) is v6) for v6 in (False, True)]
            known.take((Told(families[0]), Told(families[1])))
        return known

    async def _watch(self, name: str, known: KnownName, terms: Dns) -> None:
        while True:
            try:
                told = await self._ask(name, terms)
            except Exception:  # noqa: BLE001  the top of a task: a defect of ours says nothing of the name
                _log.exception("%s could not be looked up", name)
                await asyncio.sleep(terms.shortest_s)
                continue
            before = known.why
            changed = known.take(told)
            self._own.cells[self._cells["failed" if known.why else "changed" if changed else "same"]] += 1
            if changed or name not in self._told:
                self._tell()
            _tell_people(name, known, before)
            await asyncio.sleep(known.wait_s(terms))

    def _tell(self) -> None:
        """Tell the workers; a page that is full leaves out names, whose addresses workers then ask the system for."""
        room = self._page.room_bytes - _ROOM_LEFT_BYTES
        names = []
        for name, known in self._names.items():
            if known.addresses or known.why:  # one that has none is told too: nobody need wait for it
                one = (name, *known.addresses)
                room -= sum(len(text) + 3 for text in one) + 3
                if room < 0:
                    _log.error("too many addresses are known: of %s workers ask the system", name)
                    continue
                names.append(one)
        self._told = {name for name, *_ in names}
        self._page.write(Resolved(names=tuple(names)))


def _tell_people(name: str, known: KnownName, before: str) -> None:
    if known.why and not before:
        then = f"its last addresses are kept: {', '.join(known.addresses)}" if known.addresses else "none is known"
        _log.error("%s can't be looked up (%s); %s", name, known.why, then)
    elif before and not known.why:
        _log.warning("%s can be looked up again: %s", name, ", ".join(known.addresses))
