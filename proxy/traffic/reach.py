"""Whether an endpoint can be reached, as people are told: once when it fails, once when it is back."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Final

from proxy.traffic.limits import ticks

if TYPE_CHECKING:
    from proxy.core.model import Backend

_AT_MOST_EVERY_S: Final = 10.0  # a backend that takes one connection and refuses the next mustn't fill the disk

_log = logging.getLogger("backend")


class Reach:
    """What was said last about one endpoint.

    `failed` and `made` hear of every attempt to connect; both mostly say nothing. Time comes in as ticks of the worker.
    """

    __slots__ = ("_again_tick", "_told", "_who")

    def __init__(self, backend: Backend, url: str) -> None:
        self._who = f"{backend.value} {url}"
        self._told = False
        self._again_tick = 0

    def failed(self, error: OSError, tick: int, *, connect_s: float, alone: bool) -> None:
        """No connection could be made.

        Args:
            error: why.
            tick: the present one.
            connect_s: for how long it was tried at most.
            alone: whether the backend has no other endpoint.
        """
        if self._told or tick < self._again_tick:
            return
        self._told = True
        self._again_tick = tick + ticks(_AT_MOST_EVERY_S)
        status = 504 if isinstance(error, TimeoutError) else 502
        then = f"requests to it are answered {status}" if alone else "its other endpoints are asked first"
        _log.error("%s can't be reached (%s); %s", self._who, _why(error, connect_s), then)

    def made(self) -> None:
        """A connection was made."""
        if self._told:
            self._told = False
            _log.warning("%s is reached again", self._who)


def _why(error: OSError, connect_s: float) -> str:
    """The cause in the words of the system, whichever event loop wrapped it."""
    if isinstance(error, TimeoutError):
        return f"no connection within {connect_s:g} s"
    if isinstance(error, socket.gaierror) or not error.errno:
        return str(error.strerror or error)
    return os.strerror(error.errno).lower()
