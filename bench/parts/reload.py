"""What traffic feels while 10 000 routes and a list of 1 000 000 accounts are loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench.events import HEAD, METHOD, Felt, felt, generation, wait_for
from bench.field import Ground, scratch
from bench.machine import cores, proxy_core
from bench.node import Node
from bench.options import Options
from bench.origin import origin
from bench.peers.strangler import Setup, flag, replace, serving, write_pilots
from bench.section import Section, Table

LARGE: Final = Setup(routes=10_000, accounts=1_000_000)
_TIMES: Final = 3


def run(options: Options) -> Section:
    times = options.rounds or _TIMES
    with scratch() as here, origin(here / "origin") as systems:
        ground = Ground(here, systems)
        rows = []
        for name, wrap in (("everything on one core", proxy_core()), ("free to use both cores", cores(2))):
            found = _felt(ground, wrap, options, times)
            rows.append(found.row(f"{name}, {found.rate:,} requests/s"))
    return Section(
        title="While it reloads",
        method=(
            f"`python -m bench reload`: {LARGE.routes:,} routes with {LARGE.routes // 5:,} flags, a segment of {LARGE.accounts:,} accounts; "
            "each time all three kinds of file change at once, and are in force when every worker serves the new generation. "
            f"{METHOD} On one core, what compiles shares it with what serves; the loader and the origin share the other."
        ),
        tables=[Table(title="traffic meanwhile", head=HEAD, rows=rows)],
    )


def _felt(ground: Ground, wrap: Sequence[str], options: Options, times: int) -> Felt:
    job = ground.job(wrap)
    with serving(job, LARGE) as running:
        return felt(running, options, _reload, times, routes=LARGE.routes)


def _reload(running: Node, number: int) -> None:
    """A line more in the list, another share, another route: one change of three files."""
    before = generation(running)
    here = running.directory
    write_pilots(here, LARGE.accounts, f"newcomer-{number}")
    text = (here / "routes.yaml").read_text()
    replace(
        here / "routes.yaml",
        text.replace(
            "otherwise:", f'  more-{number}:\n    routes: [{{path: "/more-{number}", to: legacy}}]\notherwise:'
        ),
    )
    replace(here / "flags" / "area-7.flagd.yaml", flag("area-7", 30 + number))
    wait_for(lambda: generation(running) > before, "the new configuration in force")
