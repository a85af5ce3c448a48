"""The header by which a load balancer tells who connected to it: PROXY protocol, versions 1 and 2, read strictly.

Source: "The PROXY protocol, versions 1 & 2", W. Tarreau, §2.1 (text) and §2.2 (binary). A receiver never guesses whether the
header is there: peers that are configured to send it must, and nobody else's bytes are looked at (§2, last paragraphs).
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Final, NamedTuple

LONGEST_BYTES: Final = 4096
"""Of a version 2 header with its TLVs (nginx's bound); the format would allow 64 KiB."""

_LONGEST_TEXT_BYTES: Final = 107  # §2.1: "the worst case", CRLF included
_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_TEXT: Final = b"PROXY "
_PORT: Final = r"(?:0|[1-9][0-9]{0,4})"
_TOLD: Final = re.compile(rf"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) ({_PORT}) ({_PORT})")
_HIGHEST_PORT: Final = 65535
_FIXED_BYTES: Final = 16
_LOCAL, _PROXY = 0x20, 0x21  # version 2 in the upper half
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESS_BYTES: Final = {_UNSPECIFIED: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}


class BadHeader(Exception):
    """What came is no PROXY header. The text says why."""


class Told(NamedTuple):
    """A whole header.

    Attributes:
        length: its bytes; what follows them is the connection's.
        source: the address of the client as text; None: whoever sent the header speaks for itself (LOCAL, UNKNOWN, a Unix socket).
    """

    length: int
    source: str | None


def read_told(data: bytes) -> Told | None:
    """Read the header at the beginning of a connection.

    Args:
        data: what has come so far.

    Returns:
        The header; None when more of it must come.

    Raises:
        BadHeader: this can't become a header any more.
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _read_binary(data)
    if data[: len(_TEXT)] == _TEXT[: len(data)]:
        return _read_text(data)
    raise BadHeader("it doesn't begin as one does")


def _read_text(data: bytes) -> Told | None:
    end = data.find(b"\r\n", 0, _LONGEST_TEXT_BYTES)
    if end < 0:
        if len(data) >= _LONGEST_TEXT_BYTES:
            raise BadHeader(f"no line end within {_LONGEST_TEXT_BYTES} bytes")
        return None
    line = data[:end].decode("latin-1")
    if line == "PROXY UNKNOWN" or line.startswith("PROXY UNKNOWN "):
        return Told(end + 2, None)
    found = _TOLD.fullmatch(line)
    if found is None or int(found[4]) > _HIGHEST_PORT or int(found[5]) > _HIGHEST_PORT:
        raise BadHeader("the line isn't PROXY TCP4|TCP6 source destination port port")
    kind = ipaddress.IPv4Address if found[1] == "4" else ipaddress.IPv6Address
    try:
        source, _ = kind(found[2]), kind(found[3])
    except ValueError as error:
        raise BadHeader("an address of the line can't be read") from error
    return Told(end + 2, str(source))


def _read_binary(data: bytes) -> Told | None:
    if len(data) < _FIXED_BYTES:
        return None
    command, family, length = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    whole = _FIXED_BYTES + length
    if command not in (_LOCAL, _PROXY):
        raise BadHeader(f"version and command are 0x{command:02x}; known: 0x20, 0x21")
    if whole > LONGEST_BYTES:
        raise BadHeader(f"it has {whole} bytes; at most {LONGEST_BYTES}")
    if command == _PROXY:
        if family not in _ADDRESS_BYTES:
            raise BadHeader(f"family and transport are 0x{family:02x}; known: TCP over IPv4 or IPv6, Unix, unspecified")
        if length < _ADDRESS_BYTES[family]:
            raise BadHeader("it is too short for its addresses")
    if len(data) < whole:
        return None
    if command == _PROXY and family == _TCP4:
        return Told(whole, str(ipaddress.IPv4Address(data[_FIXED_BYTES : _FIXED_BYTES + 4])))
    if command == _PROXY and family == _TCP6:
        return Told(whole, str(ipaddress.IPv6Address(data[_FIXED_BYTES : _FIXED_BYTES + 16])))
    return Told(whole, None)  # TLVs, which stand behind the addresses, tell nothing that is used here
