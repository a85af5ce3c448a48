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
from proxy.core.counters import Counters
from proxy.core.covering import NOTHING_ROLLED_BACK
from proxy.core.generation import Generation
from proxy.core.pages import Confirmed, Page, Posted
from proxy.supervise.assignment import Assignment
from proxy.supervise.follow import Follower
from proxy.supervise.mapped import map_page
from proxy.traffic.log import AccessLog
from proxy.traffic.server import Traffic

_STDOUT: Final = 1


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

    def adopt(generation: Generation) -> None:
        nonlocal traffic
        if traffic is None:
            traffic = Traffic(
                generation,
                counters=counters,
                log=log,
                latch=lambda: NOTHING_ROLLED_BACK,
                share_of_node=settings.workers,
            )
            adopted.set()
        else:
            traffic.swap(generation)

    follower = Follower(
        state=state,
        board=Page(map_page(state.board, writable=False), Posted),
        page=Page(map_page(state.worker(assignment.slot), writable=True), Confirmed),
        start_id=secrets.token_hex(8),
        adopt=adopt,
    )
    try:
        with ending(assignment.life) as end:
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(follower.run())
                await either(adopted, end)
                if traffic is not None:
                    await traffic.listen(socket.socket(fileno=assignment.listener))
                    await end.wait()
                    await traffic.drain(settings.drain_s)
                following.cancel()
    finally:
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
    uvloop.run(work(assignment))


if __name__ == "__main__":
    main()
