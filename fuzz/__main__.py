"""Run the fuzzers: `python -m fuzz [requests|answers|parsers]… [--inputs N] [--seconds S] [--seed TEXT] [--keep]`.

Exit codes: 0 nothing was found, 1 something was (each find is told with its number and, with `--keep`, shrunk and written
among the seeds, which the tests try for ever after), 2 usage.
"""

from __future__ import annotations

import argparse
import sys

import uvloop

from fuzz.directions import DIRECTIONS, Direction
from fuzz.parsers import run_parsers
from fuzz.run import Find, Tally, again, run
from fuzz.seeds import KEPT, Case, shrunk, write

_PARTS = (*DIRECTIONS, "parsers")


def main() -> int:
    wanted = argparse.ArgumentParser(prog="python -m fuzz", description="Hostile bytes, in bounds.")
    wanted.add_argument("parts", nargs="*", choices=[*_PARTS, []], help="all of them when none is named")
    wanted.add_argument("--inputs", type=int, default=20_000, help="at most so many for each part")
    wanted.add_argument("--seconds", type=float, default=60.0, help="at most so long for each part")
    wanted.add_argument("--seed", default="0", help="another one makes other inputs")
    wanted.add_argument("--keep", action="store_true", help="write what finds something among the seeds")
    options = wanted.parse_args()
    found = 0
    for part in options.parts or _PARTS:
        if part == "parsers":
            found += run_parsers(seed=options.seed, inputs=options.inputs, seconds=options.seconds)
            continue
        direction = DIRECTIONS[part]
        tally = uvloop.run(run(direction, seed=options.seed, inputs=options.inputs, seconds=options.seconds))
        _tell(part, tally)
        for find in tally.finds:
            _tell_find(find)
            if options.keep:
                uvloop.run(_keep(direction, find))
        found += len(tally.finds)
    return 1 if found else 0


def _tell(part: str, tally: Tally) -> None:
    tried = tally.tried.total()
    print(f"\n{part}: {tried:,} inputs in {tally.seconds:.0f} s")
    print(f"{'kind':10} {'tried':>8} {'passed':>8} {'refused':>8} {'messages':>9}")
    for kind in sorted(tally.tried):
        print(
            f"{kind:10} {tally.tried[kind]:8,} {tally.passed[kind]:8,} {tally.refused[kind]:8,} {tally.messages[kind]:9,}"
        )
    print("broken off: " + ", ".join(f"{name} {count:,}" for name, count in tally.faults.most_common()))
    print(f"finds: {len(tally.finds)}")


def _tell_find(find: Find) -> None:
    print(f"  {find.number}")
    for why in find.says[:5]:
        print(f"    {why[:600]}")


async def _keep(direction: Direction, find: Find) -> None:
    async def finds(case: Case) -> bool:
        return bool(await again(direction, case, plain=False))

    path = KEPT / direction.name / f"{find.number.replace(':', '-')}.json"
    write(path, find.says[0][:200], await shrunk(find.case, finds) if await finds(find.case) else find.case)
    print(f"    kept as {path.relative_to(KEPT.parent.parent)}")


if __name__ == "__main__":
    sys.exit(main())
