"""A user's file replaced by another version of itself: whole or not at all, and only if nobody changed it meanwhile."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

_FOREIGN: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class ChangedUnderneath(Exception):
    """The file is not the one that was read. The text says how."""


class ReadOnly(Exception):
    """Files here are not ours to write. The text says why."""


def writable(directory: Path) -> bool:
    """Whether files in a directory can be replaced; asked of the kernel, which knows of read-only mounts too."""
    return os.access(directory, os.W_OK | os.X_OK)


def replace_file(path: Path, content: bytes, *, of_hash: str | None) -> None:
    """Put another version in a file's place.

    Symlinks are followed: the file that they lead to is replaced, and they stay. The new version is on the disk before it
    takes the name; it has the mode of the former one and, where we may, its owner.

    Args:
        path: the file.
        content: the new version.
        of_hash: SHA-256 of the version that was read, in hex; None: there was no file.

    Raises:
        ChangedUnderneath: it has another content, or is there, or isn't.
        ReadOnly: the directory can't be written.
        OSError: it could not be written; the former version stands.
    """
    real = path.resolve()
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{real.name[:32]}.", dir=real.parent)
    except OSError as error:
        if error.errno in _FOREIGN:
            raise ReadOnly(f"{real.parent}: {error.strerror}") from error
        raise
    try:
        with os.fdopen(descriptor, "wb") as file:
            _take_over(real, file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # As late as can be: whoever writes between this look and the next line is the only one who loses.
        if _hash(real) != of_hash:
            raise ChangedUnderneath(f"{path} was changed by somebody else at this moment")
        if of_hash is None:
            os.link(temporary, real)  # fails if the file has come into being
        else:
            os.replace(temporary, real)  # noqa: PTH105 - the name is a string already
            temporary = ""
    except FileExistsError:
        raise ChangedUnderneath(f"{path} was made by somebody else at this moment") from None
    finally:
        if temporary:
            os.unlink(temporary)  # noqa: PTH108 - the same
    directory = os.open(real.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _take_over(real: Path, descriptor: int) -> None:
    """Mode and owner of the former version; a new file can be read by all, as most files that people make."""
    try:
        about = real.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, 0o644)  # the umask can't be asked without setting it, for every thread
        return
    with contextlib.suppress(OSError):  # not ours to give away: it then belongs to us, as with any editor
        os.fchown(descriptor, about.st_uid, about.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(about.st_mode))


def _hash(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
