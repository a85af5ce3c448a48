"""Run the proofs, or some of them: `python -m prove [NAME…]`.

Exit codes: 0 everything that must be kept was, 1 not (the tables say FAILED), 2 usage. An aim that is missed is marked so in its table and
changes no exit code: figures depend on the machine.
"""

from __future__ import annotations

import importlib
import sys
import time

from bench.node import end_on_signals

_PROOFS = {
    "shares": "accounts on new while a flag is edited",
    "cost": "look-up, flag and decision by number of routes",
    "blocked": "the longest turn of a worker's loop while it takes a new plan",
    "reloads": "load while the configuration changes and processes die",
    "kills": "what traffic, operator and journal see when processes and disks fail",
    "endpoints": "how soon a dead endpoint is noticed and used again, and who felt it",
    "rollbacks": "from a rollback to the last request that begins at new, by every way to throw it",
    "canary": "requests after a share was changed by command, against explain",
    "overload": "four times more than a worker can serve: what is served, memory, health and rollback meanwhile",
    "sizes": "how long an edit takes to be in force, and what traffic feels of it",
}


def main() -> int:
    wanted = sys.argv[1:] or list(_PROOFS)
    unknown = [name for name in wanted if name not in _PROOFS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known:", file=sys.stderr)
        for name, says in _PROOFS.items():
            print(f"  {name:9} {says}", file=sys.stderr)
        return 2
    end_on_signals()
    failed: list[str] = []
    for name in wanted:
        began_s = time.monotonic()
        if importlib.import_module(f"prove.{name}").main() is False:
            failed.append(name)
        print(f"({name}: {time.monotonic() - began_s:.0f} s)")
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
