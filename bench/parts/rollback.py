"""What traffic feels while a rollback is thrown and released."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from bench.events import HEAD, METHOD, felt, state_of
from bench.field import Ground, scratch
from bench.node import Node
from bench.options import Options
from bench.origin import origin
from bench.peers.strangler import serving
from bench.section import Section, Table
from proxy.control.asking import ask
from proxy.core.layout import StateDir

_TIMES: Final = 10
_STANDS_S: Final = 0.3


def run(options: Options) -> Section:
    times = options.rounds or _TIMES
    rows = []
    with scratch() as here, origin(here / "origin") as systems:
        ground = Ground(here, systems)
        for name, scope in (("of everything", {}), ("of one area", {"area": "area-7"})):
            with serving(ground.job()) as running:
                found = felt(running, options, partial(_throw, scope=scope), times)
            rows.append(found.row(f"{name}, {found.rate:,} requests/s"))
    return Section(
        title="While a rollback is thrown",
        method=(
            f"`python -m bench rollback`: a rollback is thrown at the control socket, stands for {_STANDS_S:g} s, and is released; "
            f"its own time, and whether anything begins at new afterwards, is `python -m prove rollbacks`. {METHOD}"
        ),
        tables=[Table(title="traffic meanwhile, one core", head=HEAD, rows=rows)],
    )


def _throw(running: Node, _: int, scope: dict[str, str]) -> None:
    socket = StateDir(state_of(running)).control_socket
    ask(socket, "rollback", {"scope": scope, "reason": "bench"})
    time.sleep(_STANDS_S)
    ask(socket, "release", {"scope": scope, "reason": "bench"})
