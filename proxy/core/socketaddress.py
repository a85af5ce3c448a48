"""Where a Unix socket is: its address has room for a short path only, and a state directory may stand deep."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LONGEST_BYTES: Final = 103  # sun_path on macOS; Linux has 107


def socket_address(path: Path, directory: Path) -> str:
    """The shorter of the two ways to write a path.

    Args:
        path: the socket's.
        directory: the working directory, absolute.

    Raises:
        OSError: neither fits.
    """
    absolute = directory / path
    address = min(str(absolute), os.path.relpath(absolute, directory), key=lambda text: len(os.fsencode(text)))
    if len(os.fsencode(address)) > _LONGEST_BYTES:
        told = f"the path of a Unix socket has {_LONGEST_BYTES} bytes at most: choose a shorter --state"
        raise OSError(None, told, str(path))
    return address
