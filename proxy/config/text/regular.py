"""Opening what people and other programs put into place: only a regular file is read, whatever stands there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading.

    A FIFO in its place would hold the reader up for ever, a device might never end.

    Raises:
        OSError: it can't be opened, or is no regular file.
        ValueError: the path has a NUL character.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(descriptor, "rb")
