"""Signals that a loop waits for as it waits for its tick. Standard library only."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from collections.abc import Iterator
from typing import Final

ENDINGS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""What ends the proxy."""


class Signals:
    """Signals as bytes in a socket, so that one `select` waits for them and for the tick."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver

    def wait(self, timeout_s: float) -> tuple[bytes, bool]:
        """The signals that came, and whether the whole time passed."""
        ready, _, _ = select.select([self._receiver], [], [], timeout_s)
        return (self._receiver.recv(256), False) if ready else (b"", True)


@contextlib.contextmanager
def signals() -> Iterator[Signals]:
    """Hear signals while the block runs."""
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    former_descriptor = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    numbers = (*ENDINGS, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
    former = {number: signal.signal(number, lambda _number, _frame: None) for number in numbers}
    try:
        yield Signals(receiver)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(former_descriptor)
        receiver.close()
        sender.close()
