"""Ours, with everything on, and with one feature after the other taken out.

On: a thousand routes in two hundred areas, each area with its own flag (a segment, then a share) and its pins, the account
from a cookie or else a visitor's signed id, both systems' cookies kept apart, metrics, access log, limits, timeouts, forwarding headers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.job import PILOTS, SHARE, SIGNING_KEY, Job, Running
from bench.node import LOOPBACK, Node, node
from proxy.config.routes.shapes import MAIN

ROUTES_AN_AREA: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is on.

    Attributes:
        routes: how many, five to an area.
        accounts: how many lines the pilots' list has, the pilots first.
        flags: whether flags decide; else every route is `to: new`.
        clauses: what a flag's targeting asks: the segment, the share, or both.
        identity: whether the account is read.
        visitors: whether who has no account is known again by a signed id.
        pins: whether areas pin whom their share sent somewhere.
        isolation: whether each system's cookies are kept from the other.
        access_log: whether there is one.
    """

    routes: int = 1_000
    accounts: int = len(PILOTS)
    flags: bool = True
    clauses: tuple[str, ...] = ("segment", "share")
    identity: bool = True
    visitors: bool = True
    pins: bool = True
    isolation: bool = True
    access_log: bool = True


EVERYTHING: Final = Setup()


def missing() -> str | None:
    return None


def version() -> str:
    return "this one"


@contextlib.contextmanager
def run(job: Job, setup: Setup = EVERYTHING, *, workers: int = 1) -> Iterator[Running]:
    with serving(job, setup, workers=workers) as running:
        yield Running(port=port_of(running), pids=running.pids, worker=workers_of(running)[0])


@contextlib.contextmanager
def serving(job: Job, setup: Setup = EVERYTHING, *, workers: int = 1) -> Iterator[Node]:
    """The same, with what a part needs that edits files or gives commands."""
    write(job.directory, job, setup)
    options = ("--workers", str(workers))
    with node(
        job.directory, access_log="access.log" if setup.access_log else "off", wrap=job.wrap, options=options
    ) as running:
        yield running


def speaks_tls() -> bool:
    """Whether routes.yaml knows a listener with TLS."""
    return any(key.name == "listener" for key in MAIN.keys)


def port_of(running: Node) -> int:
    return int(running.url.rpartition(":")[2])


def workers_of(running: Node) -> list[int]:
    """The processes that carry traffic."""
    return [pid for pid in running.pids if b"proxy.app.worker" in _command(pid)]


def write(directory: Path, job: Job, setup: Setup) -> None:
    """The configuration's files, as teams would write them."""
    (directory / "flags").mkdir(parents=True, exist_ok=True)
    write_pilots(directory, setup.accounts)
    areas = max(1, setup.routes // ROUTES_AN_AREA)
    text = [
        "version: 1",
        "backends:",
        f'  legacy: {{url: "http://{LOOPBACK}:{job.legacy}", timeout: 20s}}',
        f'  new: {{url: "http://{LOOPBACK}:{job.new}", timeout: 8s}}',
        _identity(setup),
        *(["signing: {keys: ['file:signing.key']}"] if setup.visitors or setup.pins else []),
        *(
            [f"listener: {{tls: {{certificates: [{{certificate: {job.tls.chain}, key: {job.tls.key}}}]}}}}"]
            if job.tls
            else []
        ),
        "segments: {pilots: {accounts: pilots.txt}}",
        *(["cookies: {legacy: [LEGACYSESSION], new: [sid]}"] if setup.isolation else []),
        "areas:",
    ]
    for area in range(areas):
        text += [f"  area-{area}:", *(["    pin: 30m"] if setup.pins else []), "    routes:"]
        fixed = "" if setup.flags else ", to: new"
        text += [f'      - {{path: "{path}"{fixed}}}' for path in patterns_of(area)]
        if setup.flags:
            replace(directory / "flags" / f"area-{area}.flagd.yaml", flag(f"area-{area}", SHARE, setup.clauses))
    replace(directory / "signing.key", SIGNING_KEY)
    replace(directory / "routes.yaml", "\n".join([*text, "otherwise: legacy", ""]))


def _identity(setup: Setup) -> str:
    sources = ['account: ["cookie:account"]'] if setup.identity else []
    return f"identity: {{{', '.join([*sources, *(['visitors: cookie'] if setup.visitors else [])])}}}"


def flag(key: str, share: int, clauses: Sequence[str] = ("segment", "share")) -> str:
    """A flag in the managed shape."""
    targeting = []
    if "segment" in clauses:
        targeting += ["        - {in: [pilots, {var: segments}]}", "        - new"]
    if "share" in clauses:
        targeting.append(f"        - fractional: [[new, {share}], [legacy, {100 - share}]]")
    else:
        targeting.append("        - legacy")
    return "\n".join(
        [
            *("flags:", f"  {key}:", "    state: ENABLED", "    variants: {new: new, legacy: legacy}"),
            *("    defaultVariant: legacy", "    targeting:", "      if:", *targeting, ""),
        ]
    )


def write_pilots(directory: Path, accounts: int, *more: str) -> None:
    """The segment's list: the pilots, accounts that never ask to make up the number, and whoever else is named."""
    others = (f"customer-{number}" for number in range(accounts - len(PILOTS)))
    replace(directory / "pilots.txt", "\n".join([*PILOTS, *others, *more]) + "\n")


def patterns_of(area: int) -> Iterable[str]:
    """An area's routes, as they stand in routes.yaml."""
    at = f"/area-{area}"
    return (at, f"{at}/{{id}}", f"{at}/{{id}}/lines/{{line}}", f"/api{at}/**", f"{at}/new")


def paths(routes: int) -> list[str]:
    """A path for each of the first routes."""
    return [
        pattern.replace("{id}", "4711").replace("{line}", "3").replace("**", "orders/4711")
        for area in range(max(1, routes // ROUTES_AN_AREA))
        for pattern in patterns_of(area)
    ]


def replace(path: Path, text: str) -> None:
    """Write a file and move it into place, as an editor or a deployment does."""
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_text(text)
    fresh.replace(path)


def variant(setup: Setup) -> Callable[[Job], contextlib.AbstractContextManager[Running]]:
    """Ours with another setup, started like any peer."""
    return partial(run, setup=setup)


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
