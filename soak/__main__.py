"""Run a soak: `python -m soak [--minutes M] [--seed TEXT] [--tls] [--keep DIRECTORY]`.

Exit codes: 0 every zero is one, 1 not (each violation is told with the whole story of its request), 2 usage. The same seed draws the same traffic and
faults; when they meet depends on the machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import uvloop

from bench.node import end_on_signals
from bench.tables import show
from soak.oracle import Wrong
from soak.run import Verdict, soak

_MOST_TOLD = 20


def main() -> int:
    wanted = argparse.ArgumentParser(
        prog="python -m soak", description="Everything goes wrong for a while; nothing may be wrong."
    )
    wanted.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    wanted.add_argument("--seed", default="0", help="another one draws other traffic and other faults")
    wanted.add_argument("--tls", action="store_true", help="clients come over TLS (without it: in plain text)")
    wanted.add_argument(
        "--keep", type=Path, help="a directory for configuration, journals and logs, which must not exist yet"
    )
    options = wanted.parse_args()
    end_on_signals()
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.keep or Path(scratch)
        directory.mkdir(exist_ok=options.keep is None)
        print(f"seed {options.seed}, {options.minutes:g} minutes", flush=True)
        verdict = uvloop.run(
            soak(directory, seed=options.seed, seconds=options.minutes * 60, encrypted=options.tls, progress=_say)
        )
    tell(verdict)
    return 0 if verdict.clean else 1


def _say(line: str) -> None:
    print(line, flush=True)


def tell(verdict: Verdict) -> None:
    """Print what came of it."""
    show(
        "What happened",
        ["fault or operation", "times"],
        [[name, f"{count}"] for name, count in sorted(verdict.acts.items())],
    )
    show("Answers", ["", "requests"], [[name, f"{count:,}"] for name, count in verdict.requests.most_common()])
    show("Met besides", ["", "requests"], [[name, f"{count:,}"] for name, count in sorted(verdict.met.items())])
    show("Failed, by cause", ["", "requests"], [[name, f"{count:,}"] for name, count in verdict.failures.most_common()])
    zeros = [[wrong.value, f"{sum(one.wrong is wrong for one in verdict.violations)}"] for wrong in Wrong]
    zeros += [["lost or doubled journal entries", f"{len(verdict.lost_entries)}, of {verdict.commands} commands"]]
    zeros += [["left behind at the end", f"{len(verdict.left)}"], ["other", f"{len(verdict.wrong)}"]]
    show(f"Zeros, of {verdict.requests.total():,} requests", ["must never be", "found"], zeros)
    slopes = [
        [name, "too short" if found is None else f"{found[0]:+.1f} ± {found[1]:.1f}"]
        for name, found in verdict.slopes.items()
    ]
    show("Workers, growth a minute", ["", "slope"], slopes)
    for line in (*verdict.left, *verdict.lost_entries, *verdict.wrong):
        print(f"WRONG: {line}")
    for violation in verdict.violations[:_MOST_TOLD]:
        print(f"VIOLATION: {violation.wrong}: {violation.why}\n{violation.story.told()}")


if __name__ == "__main__":
    sys.exit(main())
