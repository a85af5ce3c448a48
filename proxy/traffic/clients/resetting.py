"""Closing that can't be taken for a clean end, whoever closes: this process, or the kernel after it was killed."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


def reset_on_close(transport: asyncio.Transport, *, on: bool) -> None:
    """Whether closing sends RST instead of FIN: SO_LINGER for 0 s (socket(7))."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, 0))
