"""Ids of requests."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from proxy.core.http.forwarding import well_formed_request_id

if TYPE_CHECKING:
    from proxy.core.http.message import RequestHead

_LAST_OF_PAGE: Final = 0xFFF
_OF_PAGE: Final = tuple(
    b"%03x" % i for i in range(_LAST_OF_PAGE + 1)
)  # the last digits of ids: a format for each costs ten times as much


class RequestIds:
    """What `Traffic` names requests by. Ids needn't be secret, only different between workers and restarts: half random, half counted."""

    def __init__(self) -> None:
        self._id_prefix = b"%016x" % random.SystemRandom().getrandbits(64)
        self._id = 0
        self._id_page = b""

    def new_request_id(self) -> bytes:
        """An id no other request has."""
        low = self._id & _LAST_OF_PAGE
        if low == 0:
            self._id_page = b"%b%013x" % (self._id_prefix, self._id >> 12)
        self._id += 1
        return self._id_page + _OF_PAGE[low]

    def request_id(self, head: RequestHead, *, trusted: bool) -> bytes:
        """The id of a request: as a trusted peer gave it, else a new one."""
        if trusted:
            given = head.values.get(b"x-request-id")
            if given is not None and well_formed_request_id(given) and len(head.all(b"x-request-id")) == 1:
                return given
        return self.new_request_id()
