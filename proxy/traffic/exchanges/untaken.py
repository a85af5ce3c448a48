"""What one side hasn't taken yet of what was written to it.

The write buffer alone doesn't tell: the kernel holds megabytes behind it, and takes more only when a third of them is free. So a
client that reads 10 KB/s, steadily, seems to stand still for a minute and more, and then to leap.
"""

from __future__ import annotations

import struct
import termios
from fcntl import ioctl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

_INT: Final = struct.Struct("i")


def untaken_bytes(transport: asyncio.Transport) -> int:
    """Bytes that were written and that the peer's kernel hasn't acknowledged; a call into the kernel, so not for every request."""
    waiting = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None or transport.is_closing():
        return waiting
    try:
        (in_kernel,) = _INT.unpack(ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))  # SIOCOUTQ (tcp(7))
    except OSError:
        return waiting  # a system that doesn't tell
    return waiting + int(in_kernel)
