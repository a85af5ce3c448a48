"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Write a file beside its place, bring it to the disk, and put it there by rename; private to the user.

    Written by root, it is the directory's owner's.

    Readers that have the former file mapped keep it: it is replaced, never truncated.

    Raises:
        OSError: it could not be written; the former file stands as it was.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:32]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if (
                os.geteuid() == 0
            ):  # a rollback by root, say, while control is dead: the service must still be able to read it
                about = path.parent.stat()
                with contextlib.suppress(OSError):
                    os.fchown(file.fileno(), about.st_uid, about.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - the name is a string already
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108 - the same
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def ensure_file(path: Path, content: bytes) -> None:
    """Like `write_file`, for a file named by its content: one that already holds it is left alone.

    Raises:
        OSError: it could not be written.
    """
    try:
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return
    except FileNotFoundError:
        pass
    write_file(path, content)
