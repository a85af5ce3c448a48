"""Telling systemd how it stands with us: sd_notify(3), plain text in datagrams. Standard library only.

Whoever has set no NOTIFY_SOCKET isn't told anything. Nothing here may hold up or end the supervisor: what can't be told is
logged once. Only the supervisor tells (`NotifyAccess=main`), so children don't inherit the variables.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

VARIABLES: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
"""What children don't inherit."""

_RELOAD_S: Final = 35.0  # control waits for its workers for 30 s
_WAIT_S: Final = 0.5  # for a manager that doesn't read its socket

_log = logging.getLogger("supervisor")


class Notifier:
    """Says what stands; by lines of NAME=VALUE."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Tell nothing yet.

        Args:
            environment: where the manager says whom to tell and how often; None: this process's.
        """
        given = os.environ if environment is None else environment
        self._address = _address(given.get("NOTIFY_SOCKET", ""))
        self._watchdog_s = _watchdog_s(given) if self._address else None
        self._alive_due_at_s = 0.0
        self._status = ""
        self._reloading: tuple[int, float] | None = None  # the board's beats when it was asked for, and until when
        self._complained = False

    @property
    def listened_to(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    def ready(self) -> None:
        """Traffic is carried."""
        self._send("READY=1")

    def reloading(self, beats: int, now_s: float) -> None:
        """The files are being read on request.

        Args:
            beats: of the board; another one when it is over.
            now_s: monotonic.
        """
        self._reloading = beats, now_s + _RELOAD_S
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reader_ended(self, now_s: float) -> None:
        """Control has ended; its successor reads the files as it starts."""
        if self._reloading is not None:
            self._reloading = self._reloading[0], now_s

    def tick(self, beats: int, now_s: float) -> None:
        """Called with every tick: say that a reading is over, and that we live."""
        if self._reloading is not None and (beats != self._reloading[0] or now_s >= self._reloading[1]):
            self._reloading = None
            self.ready()
        self.alive(now_s)

    def stopping(self, within_s: float) -> None:
        """The end has begun.

        Args:
            within_s: it takes so long at most; the manager waits at least that long before it kills.
        """
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(within_s * 1e6)}")

    def status(self, text: str) -> None:
        """One line for people (`systemctl status`); sent when it has changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self, now_s: float) -> None:
        """Tell the watchdog, if there is one, twice in its time; to be called more often."""
        if self._watchdog_s is not None and now_s >= self._alive_due_at_s:
            self._alive_due_at_s = now_s + self._watchdog_s / 2
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_WAIT_S)
                sock.sendto(text.encode(), self._address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("the service manager can't be told (%s): %s", text.partition("\n")[0], error)


def _address(text: str) -> str:
    """A path, or with a leading @ a name in the abstract namespace; empty: nobody, or a kind that isn't spoken here (vsock)."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _watchdog_s(given: Mapping[str, str]) -> float | None:
    if given.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # it watches somebody else, who has left us the variable
    with contextlib.suppress(ValueError):
        seconds = int(given.get("WATCHDOG_USEC", "0")) / 1e6
        return seconds if seconds > 0 else None
    return None
