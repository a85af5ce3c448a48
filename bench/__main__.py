"""Run the comparison: `python -m bench [--rounds N] [--seconds N] [--connections N]`.

Every proxy is pinned to the first core, the origin and wrk to the last; each round starts every proxy afresh, warms it
up and loads it, one after the other, so that a noisy minute of the machine hits them all. Medians of rounds; on a
shared machine differences under 15 % mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import nginx
from bench.load import SCRIPT, Round, drive
from bench.node import LOOPBACK, end_on_signals, free_port, node
from bench.tables import beside, show

_BODY = "x" * 1024
_WARM_UP_S = 1
_AIM_TIMES_NGINX = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The proxy with something left out, to see what it costs."""

    name: str
    routes: str = '{path: "/orders/**"}'
    identity: str = 'identity: {account: ["cookie:acct"]}'
    cookies: str = "cookies: {legacy: [LEGACYSESSION], new: [sid]}"
    access_log: str = "access.log"


VARIANTS = (
    Variant(name="strangler, everything on"),
    Variant(name="  without the access log", access_log="off"),
    Variant(name="  without a flag (to: new)", routes='{path: "/orders/**", to: new}'),
    Variant(
        name="  routing only",
        routes='{path: "/orders/**", to: new}',
        identity="identity: {}",
        cookies="",
        access_log="off",
    ),
)

_ROUTES = """\
version: 1
backends:
  legacy: {{url: "http://{loopback}:{origin}"}}
  new: {{url: "http://{loopback}:{origin}"}}
{identity}
segments:
  pilots: {{accounts: pilots.txt}}
{cookies}
areas:
  orders:
    routes: [{routes}]
otherwise: legacy
"""
_FLAG = """\
flags:
  orders:
    state: ENABLED
    variants: {new: new, legacy: legacy}
    defaultVariant: legacy
    targeting:
      if:
        - {in: [pilots, {var: segments}]}
        - new
        - fractional: [[new, 25], [legacy, 75]]
"""


def main() -> int:
    options = _options()
    end_on_signals()
    missing = [name for name, found in (("nginx", nginx.find_nginx()), ("wrk", shutil.which("wrk"))) if not found]
    if missing or not sys.platform.startswith("linux"):
        print(f"Skipped: the comparison needs Linux, nginx and wrk; missing: {', '.join(missing) or 'Linux'}.")
        print("On Debian and Ubuntu: apt install nginx wrk")
        return 0
    if shutil.which("taskset") is None or len(os.sched_getaffinity(0)) < 2:
        print("Skipped: the comparison needs taskset (util-linux) and two cores.")
        return 0
    cores = sorted(os.sched_getaffinity(0))
    on_first, on_last = ["taskset", "-c", str(cores[0])], ["taskset", "-c", str(cores[-1])]
    names = ["nginx", *(variant.name for variant in VARIANTS)]
    rounds: dict[str, list[Round]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="strangler-bench-") as scratch:
        here = Path(scratch)
        script = here / "load.lua"
        script.write_text(SCRIPT)
        origin = free_port()
        with nginx.nginx(here / "origin", nginx.ORIGIN, wrap=on_last, port=origin, body=_BODY):
            for number in range(options.rounds):
                for name in names:
                    with _proxy(name, here / f"{number}-{names.index(name)}", origin, on_first) as (url, pids):
                        drive(url, pids, script, seconds=_WARM_UP_S, connections=options.connections, wrap=on_last)
                        measured = drive(
                            url, pids, script, seconds=options.seconds, connections=options.connections, wrap=on_last
                        )
                    rounds[name].append(measured)
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    _tell(rounds, options.connections)
    return 0


@contextlib.contextmanager
def _proxy(name: str, directory: Path, origin: int, wrap: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    directory.mkdir()
    if name == "nginx":
        port = free_port()
        with nginx.nginx(directory, nginx.RIVAL, wrap=wrap, port=port, origin=origin) as pids:
            yield f"http://{LOOPBACK}:{port}", pids
        return
    (variant,) = (one for one in VARIANTS if one.name == name)
    (directory / "flags").mkdir()
    (directory / "flags" / "orders.flagd.yaml").write_text(_FLAG)
    (directory / "pilots.txt").write_text("acct-1\nacct-2\nacct-3\n")
    (directory / "routes.yaml").write_text(
        _ROUTES.format(
            loopback=LOOPBACK,
            origin=origin,
            identity=variant.identity,
            cookies=variant.cookies,
            routes=variant.routes,
        )
    )
    with node(directory, access_log=variant.access_log, wrap=wrap) as running:
        yield running.url, running.pids


def _tell(rounds: dict[str, list[Round]], connections: int) -> None:
    cpu = {name: statistics.median(one.cpu_us for one in all_of) for name, all_of in rounds.items()}
    rate = {name: statistics.median(one.requests_per_s for one in all_of) for name, all_of in rounds.items()}
    show(
        f"{connections} keep-alive connections, 1 KiB answers, one core, access log on; medians",
        ["", "CPU µs/request", f"× nginx (aim ≤ {_AIM_TIMES_NGINX})", "requests/s"],
        [
            [name, f"{cpu[name]:.1f}", beside(cpu[name] / cpu["nginx"], _AIM_TIMES_NGINX, 2), f"{rate[name]:,.0f}"]
            for name in rounds
        ],
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load, each proxy, each round")
    parser.add_argument("--connections", type=int, default=32)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
