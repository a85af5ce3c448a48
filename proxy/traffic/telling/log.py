"""The access log: one JSON line for each exchange, written by a thread, dropped and counted rather than waited for.

The traffic path only formats a line and leaves it in a bounded queue. The thread takes what is there, at most
every `_BATCH_S`, and writes whole lines: to a file in one write, to a pipe in pieces that the kernel keeps together
(PIPE_BUF), so that several workers may share either.
"""

from __future__ import annotations

import errno
import json
import os
import select
import stat
import threading
import time
from collections import deque
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.core.footprint import LOG_BYTES

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.core.model import Backend, Reason

PATH_CHARS: Final = 1024
"""How much of a path is logged; a longer one ends in `…`."""

_METHOD_CHARS: Final = 32
_BATCH_S: Final = 0.05
_LINES_AT_ONCE: Final = 512  # to a file: some 200 KiB a write
_A_LINE_BYTES: Final = 64  # beside its characters, each of which is one byte: nothing but ASCII stands in a line
_CLOSING_S: Final = 2.0
_KEPT: Final = 8192
_MILLISECONDS: Final = tuple(f"{ms:03d}" for ms in range(1_000))
# A path of plain octets is its own JSON text and its own translation.
_PLAIN: Final = bytes(i if 0x20 <= i < 0x7F and i not in b'"\\' else 0x3F for i in range(256))
_NOWHERE: Final = '"area":null,"route":null,"backend":null,"reason":null'


class AccessLog:
    """A log to a file, by path, or to an open descriptor.

    Args:
        target: a path, opened for appending, or a descriptor, which stays its owner's.
        key: for the hash that stands in for the account: the same account gives the same hash under one key.
        waiting_bytes: of lines that may wait for the disk; what comes beyond is dropped and counted.

    Raises:
        OSError: the file can't be opened.
    """

    def __init__(self, target: str | os.PathLike[str] | int, key: bytes, waiting_bytes: int = LOG_BYTES) -> None:
        self._path = None if isinstance(target, int) else Path(target)
        self._fd = target if isinstance(target, int) else _open(target)
        self._key = key
        self._hashes: dict[str, str] = {}  # account → JSON text
        self._where: dict[tuple[str | None, Backend, Reason], str] = {}  # a route belongs to one area
        self._second = 0
        self._second_text = ""
        self._lines: deque[str] = deque()
        # Of all lines ever, each written by one thread alone: a single count that both change would go wrong in time.
        self._gathered_bytes = 0
        self._written_bytes = 0
        self._most_bytes = waiting_bytes
        self._work = threading.Event()
        self._ending = threading.Event()
        self._reopening = False
        self.dropped = 0  # by the traffic path: the queue was full
        self.lost = 0  # by the thread: the disk refused them
        self._writer = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._writer.start()

    def exchange(
        self,
        decision: Decision | None,
        status: int,
        *,
        request_id: bytes,
        method: bytes,
        path: bytes,
        fault: str | None,
        generation: int,
        received: int,
        sent: int,
        duration_us: int,
        head_us: int | None,
        closed_by: str | None = None,
        trace: bytes | None = None,
        drill: str | None = None,
    ) -> None:
        """Take note of one exchange.

        Args:
            decision: None when the request was refused before it was decided.
            status: what the client was told, or 499.
            request_id: well-formed, so nothing in it needs escaping.
            method: as the client wrote it, a token; `-` when there was none.
            path: raw, without query.
            fault: the name of what broke it.
            generation: the one it lived in.
            received: bytes from the client.
            sent: bytes to the client.
            duration_us: all of it.
            head_us: until the backend's head was there.
            closed_by: who ended a tunnel first; None: it was none, and the line doesn't mention it.
            trace: the id of its trace, hexadecimal digits; None: it belongs to none, and the line doesn't mention it.
            drill: the id of the drill whose fault it met; None: it met none, and the line doesn't mention it.
        """
        lines = self._lines
        if self._gathered_bytes - self._written_bytes >= self._most_bytes:
            self.dropped += 1
            return
        now_s = time.time()
        second = int(now_s)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        plain = len(path) <= PATH_CHARS and path.translate(_PLAIN) == path
        broken = "null" if fault is None else f'"{fault}"'
        if decision is None:
            where, account, bucket = _NOWHERE, "null", "null"
        else:
            chosen = decision.route_id, decision.backend, decision.reason
            where = self._where.get(chosen) or self._learn_where(decision)
            text, place = decision.account, decision.bucket
            account = "null" if text is None else self._hashes.get(text) or self._hash(text)
            bucket = "null" if place is None else str(place)
        # One string put together from parts: as a format with fifteen places it takes twice as long.
        line = (
            f'{{"time":"{self._second_text}.{_MILLISECONDS[int((now_s - second) * 1000)]}Z","id":"{request_id.decode()}",'
            f'"method":"{method[:_METHOD_CHARS].decode()}","path":"{path.decode() if plain else _escaped(path)}",'
            f'"status":{status},{where},"account":{account},"bucket":{bucket},"fault":{broken},"generation":{generation},'
            f'"received":{received},"sent":{sent},"duration_us":{duration_us},'
            f'"head_us":{"null" if head_us is None else str(head_us)}}}\n'
        )
        if closed_by is not None:
            line = f'{line[:-2]},"closed_by":"{closed_by}"}}\n'
        if trace is not None:
            line = f'{line[:-2]},"trace":"{trace.decode()}"}}\n'
        if drill is not None:
            line = f'{line[:-2]},"drill":"{drill}"}}\n'
        lines.append(line)
        self._gathered_bytes += len(line) + _A_LINE_BYTES
        if len(lines) == 1:  # else the thread knows already
            self._work.set()

    def reopen(self) -> None:
        """Open the path again, for what was rotated away; a descriptor stays as it is."""
        self._reopening = True
        self._work.set()

    def close(self) -> None:
        """Write what waits, for at most two seconds, and end."""
        self._ending.set()
        self._work.set()
        self._writer.join(_CLOSING_S)
        if self._path is not None and not self._writer.is_alive():
            os.close(self._fd)

    def _learn_where(self, decision: Decision) -> str:
        area, route = decision.area, decision.route_id
        where = (
            f'"area":{_quoted(area)},"route":{_quoted(route)},'
            f'"backend":"{decision.backend}","reason":"{decision.reason}"'
        )
        if len(self._where) < _KEPT:
            self._where[route, decision.backend, decision.reason] = where
        return where

    def _hash(self, account: str) -> str:
        if len(self._hashes) >= _KEPT:
            self._hashes.clear()
        known = self._hashes[account] = f'"{account_in_log(account, self._key)}"'
        return known

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            ending = self._ending.is_set() or self._ending.wait(_BATCH_S)  # let a batch gather
            if self._reopening:
                self._reopening = False
                self._reopen()
            # What is there now, not what comes meanwhile: a batch of one line costs the traffic path 20 µs a request.
            for left in range(len(self._lines), 0, -_LINES_AT_ONCE):
                lines = [self._lines.popleft() for _ in range(min(left, _LINES_AT_ONCE))]
                self._write(lines)
                self._written_bytes += sum(map(len, lines)) + len(lines) * _A_LINE_BYTES
            if self._lines:
                self._work.set()
            elif ending:
                return

    def _write(self, lines: list[str]) -> None:
        try:
            if stat.S_ISFIFO(os.fstat(self._fd).st_mode):
                for piece in _pieces([line.encode() for line in lines], select.PIPE_BUF):
                    _write_all(self._fd, piece)
            else:
                _write_all(self._fd, "".join(lines).encode())
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


def account_in_log(account: str, key: bytes) -> str:
    """What stands for an account in the log: 16 hex digits, BLAKE2b under the key of the state directory."""
    return blake2b(account.encode("utf-8", "surrogateescape"), digest_size=8, key=key[:64]).hexdigest()


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
            written = os.write(fd, rest)
            rest = rest[written:]  # not in one line: mypyc evaluates what stands in a slice twice
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            # Somebody made the shared descriptor non-blocking. Not `select`, which takes no descriptor above 1023.
            ready = select.poll()
            ready.register(fd, select.POLLOUT)
            ready.poll()


def _quoted(text: str | None) -> str:
    """A name from the plan as JSON."""
    return "null" if text is None else f'"{_escaped(text.encode(), len(text.encode()))}"'


def _escaped(path: bytes, longest: int = PATH_CHARS) -> str:
    r"""JSON text, without quotes, of bytes that may be anything: what isn't UTF-8 shows as \xNN."""
    cut = path[:longest]
    text = json.dumps(cut.decode("utf-8", "backslashreplace"))[1:-1]
    return text + "\\u2026" if len(path) > longest else text  # as JSON has …, which would make each character two bytes
