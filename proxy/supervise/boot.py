"""Which run of the machine this is: monotonic clocks of two runs can't be compared. Standard library only."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

_LINUX: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Text that is the same until the machine starts again.

    Where the system doesn't tell, every call gives another: whoever compares takes the wall clock then, which is right
    as long as nobody sets it.
    """
    try:
        return _LINUX.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return secrets.token_hex(16)
