"""Signals that a loop waits for as it waits for its tick. Standard library only."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator
from typing import Final

ENDINGS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
"""What ends the proxy; SIGHUP does too where a terminal was closed."""


HEARD: Final = frozenset({*ENDINGS, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD})
"""All that the supervisor listens to."""


class Signals:
    """Signals as bytes in a socket, so that one `select` waits for them and for the tick."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver

    def wait(self, timeout_s: float) -> tuple[bytes, bool]:
        """The signals that came, and whether the whole time passed."""
        ready, _, _ = select.select([self._receiver], [], [], timeout_s)
        return (self._receiver.recv(256), False) if ready else (b"", True)


class Terminal:
    """The terminal that a process was started in, if it was: SIGHUP says that it was closed, and to others to read their files."""

    def __init__(self) -> None:
        self._had = _has_terminal()

    def closed(self) -> bool:
        """Whether there was one and is none any more."""
        return self._had and not _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def signals() -> Iterator[Signals]:
    """Hear signals while the block runs."""
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    former_descriptor = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    former = {number: signal.signal(number, lambda _number, _frame: None) for number in HEARD}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)  # held back while one version of the program replaced another
    try:
        yield Signals(receiver)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(former_descriptor)
        receiver.close()
        sender.close()
