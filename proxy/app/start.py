"""Loads control's or a worker's modules, and runs it: `python -m proxy.app.start HOW MODULE ARGUMENT`.

Loading takes 0.2 to 0.4 s of a core. Beside workers that carry traffic it is done gently, by a thread of control's niceness:
anybody may raise niceness, but only root lower it again (setpriority(2)), and a worker needs all of its share as soon as it
serves. Where niceness is a process's and not a thread's, which is anywhere but on Linux, it is done plainly.

Standard library only: the supervisor shares what stands here.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from typing import Final

from proxy.supervise.children import GENTLY

NICENESS: Final = 10
"""Control's: where it and a worker both want one core, it gets a tenth of the worker's share. Compiling a large plan must not cost requests."""


def give_way() -> None:
    """Take that niceness, unless this thread has a higher one; threads that it starts later have it, too."""
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


def main() -> None:
    """Run the process that the supervisor started."""
    how, module = sys.argv.pop(1), sys.argv.pop(1)
    if how == GENTLY and sys.platform == "linux":
        loading = threading.Thread(target=_load_gently, args=(module,), name="loading")
        loading.start()
        loading.join()
    importlib.import_module(module).main()


def _load_gently(module: str) -> None:
    give_way()
    with contextlib.suppress(Exception):  # the main thread meets the same, and says so
        importlib.import_module(module)


if __name__ == "__main__":
    main()
