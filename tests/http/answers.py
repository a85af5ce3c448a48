"""What a client makes of the bytes that come to it, read apart from the proxy's own reader."""

from __future__ import annotations

import contextlib
import re
from typing import Final

from tests.traffic.wire import Wire

_CUT: Final = "cut"
_JUNK: Final = "junk"


def everything(client: Wire) -> bytes:
    """All that comes until the connection ends, however it ends."""
    with contextlib.suppress(ConnectionResetError):
        while data := client.sock.recv(65536):
            client.buffer += data
    return client.buffer


def told(raw: bytes, methods: list[bytes]) -> list[str]:
    """Each answer as `STATUS BODY`, interim ones too; `cut` stands last when the bytes end within one, `junk` where none begins.

    Args:
        raw: everything that came until the connection ended.
        methods: of the requests, in order; an answer to HEAD has no body.
    """
    found: list[str] = []
    asked = iter(methods)
    while raw:
        head, end, raw = raw.partition(b"\r\n\r\n")
        if not end:
            return [*found, _CUT]
        if not head.startswith(b"HTTP/1.1 ") or not head[9:12].isdigit():
            return [*found, _JUNK]
        status = int(head[9:12])
        if 100 <= status < 200:
            found.append(str(status))
            continue
        method = next(asked, b"GET")
        body, raw = _body(head + b"\r\n", raw, bodiless=method == b"HEAD" or status in (204, 304))
        if body is None:
            return [*found, str(status), _CUT]
        found.append(f"{status} {body.decode('latin-1')}".strip())
    return found


def _body(head: bytes, raw: bytes, *, bodiless: bool) -> tuple[bytes | None, bytes]:
    if bodiless:
        return b"", raw
    if re.search(rb"(?i)\r\ntransfer-encoding: chunked\r\n", head):
        return _chunks(raw)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+) *\r\n", head)
    if length is None:
        return raw, b""
    count = int(length[1])
    return (raw[:count], raw[count:]) if len(raw) >= count else (None, b"")


def _chunks(raw: bytes) -> tuple[bytes | None, bytes]:
    body = b""
    while True:
        size, end, raw = raw.partition(b"\r\n")
        if not end:
            return None, b""
        count = int(size.partition(b";")[0], 16)
        if not count:
            break
        body += raw[:count]
        if raw[count : count + 2] != b"\r\n":
            return None, b""
        raw = raw[count + 2 :]
    while True:
        line, end, raw = raw.partition(b"\r\n")
        if not end:
            return None, b""
        if not line:
            return body, raw
