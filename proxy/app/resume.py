"""A new version of the program takes over from a supervisor that has replaced itself by it, or tries whether it could.

Standard library only, down to the last import, but for the trial, which ends before anything depends on it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Final

from proxy.app.messages import log_to_stderr
from proxy.app.start import give_way
from proxy.supervise.handover import CannotTakeOver, Handover, keep_to_ourselves
from proxy.supervise.supervisor import Supervisor

_PARTS: Final = ("proxy.app.serve", "proxy.app.control", "proxy.app.worker")


def resume(handover: Handover) -> int:
    """Go on; returns the exit code at the end of all."""
    keep_to_ourselves(handover)
    supervisor = Supervisor.resumed(handover, say=_say)
    _say("a new version of the program has taken over; control and the workers are replaced, one after another")
    return supervisor.run()


def _say(text: str) -> None:
    sys.stderr.write(f"strangler: {text}\n")
    sys.stderr.flush()


def _try(text: str) -> str:
    """Why this version can't take over; empty: it can."""
    try:
        settings = Handover.decode(text).settings
        for part in _PARTS:
            importlib.import_module(part)
        from proxy.config.compile import compile_files
        from proxy.config.text.files import read_files

        compiled = compile_files(read_files(Path(settings.routes), Path(settings.flags)))
    except CannotTakeOver as error:
        return f"{error}; stop it and start it instead"
    except Exception as error:  # noqa: BLE001 - the top of a process: whatever is broken in this version is told, and harms nobody
        return f"{type(error).__name__}: {error}"
    if compiled.plan is None:
        return "it can't read the files:\n" + "\n".join(str(one) for one in compiled.complaints)
    return ""


def main() -> None:
    """Take over, or try: with the handover as one JSON argument, and `trial` behind it."""
    if sys.argv[2:] == ["trial"]:
        give_way()
        why = _try(sys.argv[1])
        if why:
            _say(f"the version that is installed can't take over: {why}")
        sys.exit(1 if why else 0)
    log_to_stderr("supervisor")
    sys.exit(resume(Handover.decode(sys.argv[1])))


if __name__ == "__main__":
    main()
