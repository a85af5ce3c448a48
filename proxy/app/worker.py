"""A worker: one event loop that carries the traffic of one listening socket. Wiring only."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import sys
from typing import Final

import uvloop

from proxy.app.messages import log_to_stderr
from proxy.app.process import either, ending
from proxy.app.tasks import TaskCount
from proxy.core.care.resolving import names_of
from proxy.core.generation import Generation
from proxy.core.switches.freeze import LiveFreeze
from proxy.core.telling.counters import Counters
from proxy.core.telling.pages import Confirmed, Page, Posted, Probed, Resolved, TextPage
from proxy.supervise.assignment import Assignment
from proxy.supervise.building import Builder
from proxy.supervise.drillwatch import DrillWatch
from proxy.supervise.follow import Follower, NothingToRun
from proxy.supervise.freezewatch import FreezeWatch
from proxy.supervise.heeded import name_watch, probe_watch
from proxy.supervise.latchwatch import LatchWatch
from proxy.supervise.mapped import map_page
from proxy.supervise.saying import Saying
from proxy.supervise.ticking import look_at
from proxy.traffic.backends.tls import PLAIN, load_credentials, needs_credentials
from proxy.traffic.exchanges.drilling import Drilling
from proxy.traffic.server import Traffic
from proxy.traffic.telling.log import AccessLog

_STDOUT: Final = 1
_FIRST_ADDRESSES_S: Final = (
    4.0  # that a generation waits for its names: DNS mostly takes milliseconds, what asks it a moment to load
)


async def work(assignment: Assignment) -> None:
    """Carry traffic until told to end, then let what was begun come to its end."""
    settings = assignment.settings
    state = settings.state_dir
    counters = Counters(map_page(state.counters(assignment.slot), writable=True))
    counters.reset_gauges()
    log = _open_log(settings.access_log, state.log_key.read_bytes())
    if log is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, log.reopen)
    traffic: Traffic | None = None
    adopted = asyncio.Event()
    saying = Saying(Page(map_page(state.worker(assignment.slot), writable=True), Confirmed), secrets.token_hex(8))
    builder = Builder(state)
    watch = LatchWatch(
        state=state,
        page=TextPage(map_page(state.latch_page, writable=False)),
        builder=builder,
        saying=saying,
        changed=lambda: None if traffic is None else traffic.latch_changed(),
    )
    watch.start()

    def freeze(live: tuple[LiveFreeze, ...]) -> None:
        if traffic is not None:
            traffic.freezes = live
            if traffic.drilling is not None:
                traffic.drilling.hurry()

    freezes = FreezeWatch(
        state=state,
        boot=settings.boot,
        saying=saying,
        changed=freeze,
        in_flight=lambda: ((), ()) if traffic is None else traffic.in_flight_under_freezes(),
    )
    freezes.start()
    drilling: Drilling | None = None
    drills = DrillWatch(
        state=state,
        boot=settings.boot,
        saying=saying,
        changed=lambda live: None if drilling is None else drilling.put(live),
        tallies=lambda: () if drilling is None else drilling.tallies(),
    )
    drills.start()
    probes = probe_watch(
        Page(map_page(state.probes, writable=False), Probed),
        lambda unhealthy: None if traffic is None else traffic.heed_probes(unhealthy),
    )

    names = name_watch(
        Page(map_page(state.names, writable=False), Resolved),
        lambda addresses: None if traffic is None else traffic.heed_addresses(addresses),
    )
    names.look()

    async def adopt(generation: Generation) -> Generation | None:
        nonlocal traffic, drilling
        hosts = names_of(url for spec in generation.backends.values() for url in spec.urls)
        await names.until(lambda known: all(host in known for host in hosts), _FIRST_ADDRESSES_S)
        credentials = PLAIN
        if needs_credentials(generation):
            former = PLAIN if traffic is None else traffic.credentials
            credentials = await asyncio.to_thread(load_credentials, generation, state.file, former)
        if traffic is None:
            traffic = Traffic(
                generation,
                counters=counters,
                log=log,
                latch=lambda: watch.live,
                share_of_node=settings.workers,
                regions=TextPage(map_page(state.regions(assignment.slot), writable=True)),
                credentials=credentials,
            )
            traffic.freezes = freezes.live
            drilling = Drilling(traffic)
            drilling.put(drills.live)
            traffic.heed_probes(probes.heeded)
            traffic.heed_addresses(names.heeded)
            adopted.set()
        else:
            traffic.swap(generation, credentials)
        return watch.adopt(generation)

    follower = Follower(
        board=Page(map_page(state.board, writable=False), Posted), builder=builder, saying=saying, adopt=adopt
    )
    try:
        with ending(assignment.life) as end:
            async with asyncio.TaskGroup() as tasks:
                following = [
                    tasks.create_task(look_at(watch, freezes, drills, TaskCount(counters, assignment.slot))),
                    *(tasks.create_task(one.run()) for one in (follower, probes, names)),
                ]
                await either(adopted, end)
                await either(watch.settled, end)  # or what isn't covered would go to legacy for a moment
                if traffic is not None:
                    await traffic.listen(socket.socket(fileno=assignment.listener))
                    await end.wait()
                    await traffic.drain(settings.drain_s)
                    await asyncio.to_thread(traffic.observers.close)
                for task in following:
                    task.cancel()
    finally:
        watch.close()
        if log is not None:
            log.close()


def _open_log(where: str, key: bytes) -> AccessLog | None:
    match where:
        case "off":
            return None
        case "-":
            return AccessLog(_STDOUT, key)
        case path:
            return AccessLog(path, key)


def main() -> None:
    """Run the worker that the supervisor started."""
    assignment = Assignment.decode(sys.argv[1])
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until there is a log to reopen
    log_to_stderr(f"worker {assignment.slot}")
    try:
        uvloop.run(work(assignment))
    except* NothingToRun:
        sys.exit(1)  # it has said why; the supervisor starts another, ever later


if __name__ == "__main__":
    main()
