"""Inner hosts in answers, as people are told: counted each time, and said once an hour for each system and header."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.core.model import Backend
    from proxy.traffic.telling.telemetry import Telemetry

_AT_MOST_EVERY_S: Final = 3600.0  # it lasts until somebody mends the system, which takes days

_log = logging.getLogger("backend")


class Leaks:
    """What one worker has said; outlives its wirings."""

    __slots__ = ("_said_s", "_telemetry")

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._said_s: dict[tuple[Backend, str], float] = {}

    def found(self, backend: Backend, leaks: Iterable[tuple[str, str]]) -> None:
        """An answer named inner hosts: (header, host) for each line."""
        for header, host in leaks:
            self._telemetry.leaked(backend, header)
            now_s = time.monotonic()
            said_s = self._said_s.get((backend, header))
            if said_s is None or now_s - said_s >= _AT_MOST_EVERY_S:
                self._said_s[backend, header] = now_s
                where = f"in {header}" if header != "other" else "in another header"
                _log.warning("%s tells clients of the inner host %s, %s (docs/production.md)", backend, host, where)
