"""What traffic feels while 10 000 routes and a list of 1 000 000 accounts are loaded again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.events import HEAD, METHOD, Felt, felt, state_of
from bench.field import Ground, scratch
from bench.machine import proxy_core
from bench.node import Node
from bench.options import Options
from bench.origin import origin
from bench.peers.strangler import Setup, flag, replace, serving, write_pilots
from bench.section import Section, Table
from proxy.control.asking import ask
from proxy.core.layout import StateDir

LARGE: Final = Setup(routes=10_000, accounts=1_000_000)
_TIMES: Final = 3


def run(options: Options) -> Section:
    times = options.rounds or _TIMES
    with scratch() as here, origin(here / "origin") as systems:
        found = _felt(Ground(here, systems), options, times)
    return Section(
        title="While it reloads",
        method=(
            f"`python -m bench reload`: {LARGE.routes:,} routes with {LARGE.routes // 5:,} flags, a segment of {LARGE.accounts:,} accounts; "
            "each time all three kinds of file change at once, and `reload` says when every worker serves them. "
            f"{METHOD} Everything of the proxy is on one core, so what compiles shares it with what serves."
        ),
        tables=[Table(title="traffic meanwhile", head=HEAD, rows=[found.row(f"{found.rate:,} requests/s")])],
    )


def _felt(ground: Ground, options: Options, times: int) -> Felt:
    with serving(ground.job(proxy_core()), LARGE) as running:
        # Written beforehand: a million lines take time that the load, which shares a core with this program, would feel.
        edits = list(_edits(running, times))
        return felt(
            running, options, lambda running, number: _reload(running, edits[number]), times, routes=LARGE.routes
        )


def _edits(running: Node, times: int) -> Iterator[dict[Path, Path]]:
    """Before each reload a line more in the list, another share, another route: files, and where they go."""
    here = running.directory
    routes = (here / "routes.yaml").read_text()
    for number in range(times):
        fresh = here / f"edit-{number}"
        fresh.mkdir()
        write_pilots(fresh, LARGE.accounts, f"newcomer-{number}")
        routes = routes.replace(
            "otherwise:", f'  more-{number}:\n    routes: [{{path: "/more-{number}", to: legacy}}]\notherwise:'
        )
        replace(fresh / "routes.yaml", routes)
        replace(fresh / "area-7.flagd.yaml", flag("area-7", 30 + number))
        places = {"pilots.txt": here, "routes.yaml": here, "area-7.flagd.yaml": here / "flags"}
        yield {fresh / name: place / name for name, place in places.items()}


def _reload(running: Node, edit: dict[Path, Path]) -> None:
    """One change of three files, in force when `strangler reload` says so. Nothing polls: the load would feel it."""
    for fresh, place in edit.items():
        fresh.replace(place)
    said = ask(StateDir(state_of(running)).control_socket, "reload", {})
    if said["code"] or not said["changed"]:
        raise RuntimeError(f"the edit is not in force: {said['trouble'] or said['complaints'] or said['workers']}")
