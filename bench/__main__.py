"""Run the comparison, or parts of it: `python -m bench [PART…] [--only NAMES] [--rounds N] [--seconds N] [--write]`.

Every proxy has the first core; load and origin share the others. Medians of interleaved rounds; on a shared machine
differences under 15 % mean nothing. What can't be measured here is skipped, with the reason.

Exit codes: 0 measured or skipped, 1 a part failed (requests failed, a proxy did not start), 2 usage. A figure that misses its
mark is told so in its table and changes no exit code: figures depend on the machine.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from typing import Final

from bench.field import PEERS, versions
from bench.machine import describe, must_fit
from bench.node import end_on_signals
from bench.options import Options, Skipped
from bench.section import keep, keep_machine, tell

PARTS: Final = {
    "cpu": "CPU per request and requests a second, beside every peer",
    "latency": "how long answers take at half load, beside every peer",
    "bodies": "CPU per MiB, down and up, beside every peer",
    "streams": "memory while 100 MB pass a slow reader",
    "idle": "memory of an idle connection",
    "websocket": "WebSocket messages",
    "tls": "what TLS adds to a request, and what a handshake costs",
    "reload": "what traffic feels while 10 000 routes and 1 000 000 accounts are loaded again",
    "restart": "what traffic feels while a worker is replaced",
    "rollback": "what traffic feels while a rollback is thrown",
    "workers": "one worker and two",
    "memory": "what a worker holds at rest",
    "prices": "what each feature costs",
}


def main() -> int:
    wanted, options = _arguments()
    end_on_signals()
    try:
        must_fit()
    except Skipped as why:
        print(f"Skipped: {why}.")
        return 0
    measured_with = f"{describe()}; {versions()}; wrk."
    print(measured_with)
    if options.write:
        keep_machine(f"Measured on {measured_with}")
    failed = [name for name in wanted if not _measure(name, options)]
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measure(name: str, options: Options) -> bool:
    began_s = time.monotonic()
    try:
        section = importlib.import_module(f"bench.parts.{name}").run(options)
    except Skipped as why:
        print(f"{name} is skipped: {why}.")
        return True
    except Exception:  # noqa: BLE001  one part's defect doesn't cost the others' figures; the exit code tells
        traceback.print_exc()
        return False
    tell(section)
    if options.write:
        keep(name, section)
    print(f"({name}: {time.monotonic() - began_s:.0f} s)\n", flush=True)
    return True


def _arguments() -> tuple[list[str], Options]:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the proxy beside its peers.",
        epilog="parts:\n" + "\n".join(f"  {name:10} {says}" for name, says in PARTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of them when none is named")
    parser.add_argument("--only", default="", metavar="NAMES", help=f"with commas between; of: {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of load, each proxy, each round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=int, help="requests a second, where load comes at a constant rate")
    parser.add_argument("--write", action="store_true", help="replace the parts' sections and charts in bench/")
    given = parser.parse_args()
    only = tuple(name for name in given.only.split(",") if name)
    for name in given.parts:
        if name not in PARTS:
            parser.error(f"unknown part {name!r}; known: {', '.join(PARTS)}")
    for name in only:
        if name not in PEERS:
            parser.error(f"unknown proxy {name!r}; known: {', '.join(PEERS)}")
    options = Options(
        rounds=given.rounds,
        seconds=given.seconds,
        connections=given.connections,
        only=only,
        rate=given.rate,
        write=given.write,
    )
    return given.parts or list(PARTS), options


if __name__ == "__main__":
    sys.exit(main())
