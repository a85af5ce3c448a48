"""The access log: one JSON line for each exchange, written by a thread, dropped and counted rather than waited for.

The traffic path only formats a line and leaves it in a bounded queue. The thread takes what is there, at most
every `_BATCH_S`, and writes whole lines: to a file in one write, to a pipe in pieces that the kernel keeps together
(PIPE_BUF), so that several workers may share either.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import threading
import time
from collections import deque
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.decision import Decision

LINES_WAITING: Final = 16_384
"""Lines that may wait for the disk, about a second of a busy worker; what comes beyond is dropped and counted."""

PATH_CHARS: Final = 1024
"""How much of a path is logged; a longer one ends in `…`."""

_METHOD_CHARS: Final = 32
_BATCH_S: Final = 0.05
_BATCH_BYTES: Final = 256 * 1024
_CLOSING_S: Final = 2.0
_ACCOUNTS_KEPT: Final = 8192


class AccessLog:
    """A log to a file, by path, or to an open descriptor.

    Args:
        target: a path, opened for appending, or a descriptor, which stays its owner's.
        key: for the hash that stands in for the account: the same account gives the same hash under one key.

    Raises:
        OSError: the file can't be opened.
    """

    def __init__(self, target: str | os.PathLike[str] | int, key: bytes) -> None:
        self._path = None if isinstance(target, int) else Path(target)
        self._fd = target if isinstance(target, int) else _open(target)
        self._key = key[:64]
        self._hashes: dict[str, str] = {}
        self._second = 0
        self._second_text = ""
        self._lines: deque[str] = deque()
        self._work = threading.Event()
        self._ending = threading.Event()
        self._reopening = False
        self.dropped = 0  # by the traffic path: the queue was full
        self.lost = 0  # by the thread: the disk refused them
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def exchange(
        self,
        *,
        request_id: str,
        method: bytes,
        path: bytes,
        status: int,
        decision: Decision | None,
        fault: str | None,
        generation: int,
        received: int,
        sent: int,
        duration_us: int,
        head_us: int | None,
    ) -> None:
        """Take note of one exchange.

        Args:
            request_id: well-formed, so nothing in it needs escaping.
            method: as the client wrote it, a token; `-` when there was none.
            path: raw, without query.
            status: what the client was told, or 499.
            decision: None when the request was refused before it was decided.
            fault: the name of what broke it.
            generation: the one it lived in.
            received: bytes from the client.
            sent: bytes to the client.
            duration_us: all of it.
            head_us: until the backend's head was there.
        """
        lines = self._lines
        if len(lines) >= LINES_WAITING:
            self.dropped += 1
            return
        now_s = time.time()
        second = int(now_s)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        plain = path.isascii() and len(path) <= PATH_CHARS and b'"' not in path and b"\\" not in path
        text = path.decode("ascii") if plain else _escaped(path)
        name = method[:_METHOD_CHARS].decode("ascii")
        broken = "null" if fault is None else f'"{fault}"'
        if decision is None:
            where = '"area":null,"route":null,"backend":null,"reason":null,"account":null,"bucket":null'
        else:
            area, route, account, bucket = decision.area, decision.route_id, decision.account, decision.bucket
            where = (
                f'"area":{"null" if area is None else _quoted(area)},"route":{"null" if route is None else _quoted(route)},'
                f'"backend":"{decision.backend}","reason":"{decision.reason}",'
                f'"account":{"null" if account is None else self._hash(account)},'
                f'"bucket":{"null" if bucket is None else bucket}'
            )
        lines.append(
            f'{{"time":"{self._second_text}.{int((now_s - second) * 1000):03d}Z","id":"{request_id}","method":"{name}",'
            f'"path":"{text}","status":{status},{where},"fault":{broken},'
            f'"generation":{generation},"received":{received},"sent":{sent},"duration_us":{duration_us},'
            f'"head_us":{"null" if head_us is None else head_us}}}\n'
        )
        if len(lines) == 1:
            self._work.set()

    def reopen(self) -> None:
        """Open the path again, for what was rotated away; a descriptor stays as it is."""
        self._reopening = True
        self._work.set()

    def close(self) -> None:
        """Write what waits, for at most two seconds, and end."""
        self._ending.set()
        self._work.set()
        self._thread.join(_CLOSING_S)
        if self._path is not None and not self._thread.is_alive():
            os.close(self._fd)

    def _hash(self, account: str) -> str:
        known = self._hashes.get(account)
        if known is None:
            if len(self._hashes) >= _ACCOUNTS_KEPT:
                self._hashes.clear()
            digest = blake2b(account.encode("utf-8", "surrogateescape"), digest_size=8, key=self._key).hexdigest()
            known = self._hashes[account] = f'"{digest}"'
        return known

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            ending = self._ending.is_set() or self._ending.wait(_BATCH_S)  # let a batch gather
            if self._reopening:
                self._reopening = False
                self._reopen()
            while self._lines:
                self._write_batch()
            if ending:
                return

    def _write_batch(self) -> None:
        lines: list[bytes] = []
        size = 0
        while self._lines and size < _BATCH_BYTES:
            line = self._lines.popleft().encode()
            lines.append(line)
            size += len(line)
        try:
            piece_bytes = select.PIPE_BUF if stat.S_ISFIFO(os.fstat(self._fd).st_mode) else _BATCH_BYTES * 2
            for piece in _pieces(lines, piece_bytes):
                _write_all(self._fd, piece)
        except OSError:
            self.lost += len(lines)

    def _reopen(self) -> None:
        if self._path is None:
            return
        try:
            fresh = _open(self._path)
        except OSError:
            return  # the old file is better than none; the next reopen tries again
        old, self._fd = self._fd, fresh
        os.close(old)


def _open(path: str | os.PathLike[str]) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _pieces(lines: list[bytes], piece_bytes: int) -> list[bytes]:
    """Whole lines, joined to pieces of at most so many bytes (a longer line stands alone)."""
    pieces: list[bytes] = []
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        if gathered and size + len(line) > piece_bytes:
            pieces.append(b"".join(gathered))
            gathered, size = [], 0
        gathered.append(line)
        size += len(line)
    if gathered:
        pieces.append(b"".join(gathered))
    return pieces


def _write_all(fd: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            select.select([], [fd], [])  # somebody made the shared descriptor non-blocking


def _quoted(text: str) -> str:
    """A name from the plan as JSON."""
    known = _quoted_names.get(text)
    if known is None:
        known = f'"{_escaped(text.encode(), len(text))}"'
        if len(_quoted_names) < _ACCOUNTS_KEPT:
            _quoted_names[text] = known
    return known


_quoted_names: dict[str, str] = {}


def _escaped(path: bytes, longest: int = PATH_CHARS) -> str:
    r"""JSON text, without quotes, of bytes that may be anything: what isn't UTF-8 shows as \xNN."""
    cut = path[:longest]
    text = cut.decode("utf-8", "backslashreplace").replace("\\", "\\\\").replace('"', '\\"')
    text = "".join(char if char >= " " and char not in "\x7f\u2028\u2029" else f"\\u{ord(char):04x}" for char in text)
    return text + "…" if len(path) > longest else text
