"""When to read the files again: what the disk says about them, and how long it has said so.

Only the content's hash decides whether something changed (`proxy.control.plans.reload`). This decides when to look: a
signature of device, inode, size and both times sees an edit in place, a rename over the file, a symlink that
is swapped (stat follows it) and an older file moved into place. Times are compared for being different, never for being newer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

POLL_S: Final = 0.1
QUIET_S: Final = 0.2
"""Files are read once nothing has changed for so long: an editor or a checkout writes more than one."""
STEADY_S: Final = 2.0
"""Or after so long of steady change."""
ANYWAY_S: Final = 5.0
"""Contents are read so often even if the disk says that nothing changed: some file systems' times are coarse."""
_ANYWAY_SHARE: Final = 100  # but at most this part of the time is spent on it

Signature = tuple[tuple[int, int, int, int, int] | None, ...]


def look(paths: Iterable[str]) -> Signature:
    """The signature of files and directories; None for one that isn't there."""
    return tuple(_one(path) for path in paths)


def _one(path: str) -> tuple[int, int, int, int, int] | None:
    try:
        about = os.stat(path)  # noqa: PTH116 - ten times a second for every file: no objects in between
    except (OSError, ValueError):  # a path with a NUL character is a ValueError, and nothing is there
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


class Patience:
    """Waits until it is time to read.

    Between `read` and the next time that `due` says yes, signatures come in; time comes in as `now_s`, monotonic.
    """

    def __init__(self) -> None:
        self._read: Signature | None = None
        self._last: Signature | None = None
        self._changed_at_s = 0.0
        self._first_change_at_s: float | None = None
        self._anyway_at_s = 0.0

    def due(self, seen: Signature, now_s: float) -> bool:
        """Whether the files shall be read now."""
        if seen != self._last:
            self._last = seen
            self._changed_at_s = now_s
        if seen != self._read and self._first_change_at_s is None:
            self._first_change_at_s = self._changed_at_s
        if self._first_change_at_s is None:
            return now_s >= self._anyway_at_s
        return now_s - self._changed_at_s >= QUIET_S or now_s - self._first_change_at_s >= STEADY_S

    def rest(self, now_s: float) -> None:
        """Reading came to nothing: look again when the disk says something else, or after a while."""
        self._read = self._last
        self._first_change_at_s = None
        self._anyway_at_s = now_s + ANYWAY_S

    def read(self, before: Signature, now_s: float, took_s: float) -> None:
        """Take note that the files were read.

        Args:
            before: the signature just before they were read: whatever changed since then is seen next time.
            now_s: when reading ended.
            took_s: how long it took.
        """
        self._read = self._last = before
        self._first_change_at_s = None
        self._anyway_at_s = now_s + max(ANYWAY_S, _ANYWAY_SHARE * took_s)
