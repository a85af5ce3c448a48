"""Whether an endpoint can be reached, as people are told: once when it fails, once when it is back; and what it answers wrongly."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from typing import TYPE_CHECKING, Final

from proxy.traffic.limits import ticks

if TYPE_CHECKING:
    from proxy.core.model import Backend

_AT_MOST_EVERY_S: Final = 10.0  # a backend that takes one connection and refuses the next mustn't fill the disk

_ITS_OWN: Final = "if it is its own, or your company's, name the certificate in the backend's tls: {ca: FILE}"
_OTHER_NAME: Final = "if that host is right all the same, name the one in the certificate in tls: {server_name: HOST}"
_REMEDIES: Final = {
    9: "is this machine's clock right?",
    10: "the system behind needs a new one",
    18: _ITS_OWN,
    19: _ITS_OWN,
    20: _ITS_OWN,
    21: _ITS_OWN,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}

_log = logging.getLogger("backend")


class Reach:
    """What was said last about one endpoint.

    `failed` and `made` hear of every attempt to connect; both mostly say nothing. Time comes in as ticks of the worker.
    """

    __slots__ = ("_again_tick", "_broke_again_s", "_flaws_again_tick", "_flaws_untold", "_told", "_who")

    def __init__(self, backend: Backend, url: str) -> None:
        self._who = f"{backend.value} {url}"
        self._told = False
        self._again_tick = 0
        self._broke_again_s = 0.0
        self._flaws_again_tick = 0
        self._flaws_untold = 0

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
        then = f"requests that only it may answer get {status}" if alone else "its other endpoints are asked first"
        _log.error("%s can't be reached (%s); %s", self._who, _why(error, connect_s), then)

    def broke(self, error: ssl.SSLError, now_s: float) -> None:
        """TLS failed on a connection that had been made; such a one may have no exchange, and so no tick.

        Args:
            error: why.
            now_s: of a clock that never goes back.
        """
        if now_s < self._broke_again_s:
            return
        self._broke_again_s = now_s + _AT_MOST_EVERY_S
        _log.error("%s broke the TLS connection (%s)", self._who, tls_words(error))

    def flawed(self, why: str, tick: int) -> None:
        """It answered, but what can't be passed on, or not in time. The access log has the fault of each request."""
        if tick < self._flaws_again_tick:
            self._flaws_untold += 1
            return
        before = f"; and {self._flaws_untold} others since this was said last" if self._flaws_untold else ""
        self._flaws_again_tick = tick + ticks(_AT_MOST_EVERY_S)
        self._flaws_untold = 0
        _log.warning("%s: %s%s", self._who, why, before)

    def made(self) -> None:
        """A connection was made."""
        if self._told:
            self._told = False
            _log.warning("%s is reached again", self._who)


def _why(error: OSError, connect_s: float) -> str:
    """The cause in the words of the system, whichever event loop wrapped it."""
    if isinstance(error, TimeoutError):
        return f"no connection within {connect_s:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't trusted: {_flaw(error)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {tls_words(error)}"
    if isinstance(error, socket.gaierror) or not error.errno:
        return str(error.strerror or error)
    return os.strerror(error.errno).lower()


def _flaw(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a certificate, and what can be done, by OpenSSL's number for it (x509_vfy.h)."""
    told = error.verify_message.rstrip(".")
    remedy = _REMEDIES.get(error.verify_code)
    return f"{told[:1].lower()}{told[1:]}" + (f"; {remedy}" if remedy else "")


def tls_words(error: ssl.SSLError) -> str:
    """OpenSSL's reason, without the numbers around it."""
    return (error.reason or str(error)).lower().replace("_", " ")
