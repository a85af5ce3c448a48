"""Who is compared: the table of proxies, chosen by name, and rounds in which each has its turn."""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import httpx

from bench.asking import cookies
from bench.job import PILOTS, Certificate, Job, Running
from bench.machine import proxy_core
from bench.node import LOOPBACK
from bench.options import Options, Skipped
from bench.origin import SYSTEM_HEADER, Origin
from bench.peers import caddy, envoy, haproxy, naive, nginx, strangler

T = TypeVar("T")
Start = Callable[[Job], AbstractContextManager[Running]]

_ASKED: Final = 300
_NEW_AT_LEAST, _NEW_AT_MOST = 0.15, 0.35  # of so many accounts, where a quarter is meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One proxy in the comparison.

    Attributes:
        title: as tables name it.
        start: runs it for a job.
        missing: what to install where it can't be run.
        version: of it.
        full: whether it is a proxy in earnest; half of the slowest of these is the load at which latency is measured.
    """

    title: str
    start: Start
    missing: Callable[[], str | None]
    version: Callable[[], str]
    full: bool = True


PEERS: Final[Mapping[str, Peer]] = {
    "nginx": Peer(title="nginx", start=nginx.run, missing=nginx.missing, version=nginx.version),
    "haproxy": Peer(title="HAProxy", start=haproxy.run, missing=haproxy.missing, version=haproxy.version),
    "envoy": Peer(title="Envoy", start=envoy.run, missing=envoy.missing, version=envoy.version),
    "caddy": Peer(title="Caddy", start=caddy.run, missing=caddy.missing, version=caddy.version),
    "naive": Peer(title="Starlette + httpx", start=naive.run, missing=naive.missing, version=naive.version, full=False),
    "strangler": Peer(title="strangler", start=strangler.run, missing=strangler.missing, version=strangler.version),
}


def chosen(options: Options, names: Sequence[str] = tuple(PEERS)) -> dict[str, Peer]:
    """The proxies of a part that were asked for and are installed; what is missing is told on standard error.

    Raises:
        Skipped: none is left.
    """
    found = {}
    for name in names:
        if options.only and name not in options.only:
            continue
        if lacks := PEERS[name].missing():
            print(f"{PEERS[name].title} is left out: {lacks}", file=sys.stderr)
        else:
            found[name] = PEERS[name]
    if not found:
        raise Skipped("none of the proxies that this part compares is chosen and installed")
    return found


def versions() -> str:
    """The peers that are installed, with their versions."""
    return ", ".join(
        f"{peer.title} {peer.version()}" for name, peer in PEERS.items() if name != "strangler" and not peer.missing()
    )


class Ground:
    """Where the proxies of one part run: the origin they ask, and a fresh directory for each start."""

    def __init__(self, here: Path, origin: Origin, tls: Certificate | None = None) -> None:
        self.here = here
        self.origin = origin
        self.tls = tls
        self._numbers = itertools.count(1)

    def job(self, wrap: Sequence[str] | None = None) -> Job:
        """The next proxy's job; pinned to the first core unless something else is given."""
        directory = self.here / str(next(self._numbers))
        directory.mkdir()
        return Job(
            directory=directory,
            legacy=self.origin.legacy,
            new=self.origin.new,
            wrap=proxy_core() if wrap is None else wrap,
            tls=self.tls,
        )

    def rounds(
        self, proxies: Mapping[str, Start], count: int, measure: Callable[[Running, str], T]
    ) -> dict[str, list[T]]:
        """Measure every proxy so often, started afresh each time, one after the other: a noisy minute hits them all."""
        measured: dict[str, list[T]] = {name: [] for name in proxies}
        for number in range(1, count + 1):
            for name, start in proxies.items():
                with start(self.job()) as running:
                    measured[name].append(measure(running, name))
            print(f"round {number} of {count}", file=sys.stderr, flush=True)
        return measured


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="strangler-bench-") as made:
        Path(made).chmod(0o755)  # started by root, nginx reads and writes as somebody else
        yield Path(made)


def must_do_the_job(running: Running, path: str) -> None:
    """Hold a proxy to the split before it is measured.

    Raises:
        RuntimeError: pilots don't get new, or not about a quarter of the others, or not the same ones each time.
    """
    with httpx.Client(base_url=f"http://{LOOPBACK}:{running.port}", trust_env=False) as client:

        def system(number: int) -> str:
            return str(client.get(path, headers={"Cookie": cookies(number)}).headers.get(SYSTEM_HEADER))

        pilots = [system(number) for number in range(1, len(PILOTS) + 1)]
        first, again = ([system(number) for number in range(10, 10 + _ASKED)] for _ in range(2))
    share = first.count("new") / _ASKED
    if set(pilots) != {"new"} or not _NEW_AT_LEAST <= share <= _NEW_AT_MOST or first != again:
        raise RuntimeError(
            f"this is another job: pilots got {pilots}, new got {share:.0%}, same again: {first == again}"
        )
