"""The port that a URL means when it names none (RFC 9110 §4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from urllib.parse import SplitResult

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
DEFAULT_PORT_BYTES: Final = {scheme.encode(): b"%d" % port for scheme, port in DEFAULT_PORTS.items()}


def port_of(url: SplitResult) -> int:
    """The port of an `http` or `https` URL, told or meant."""
    return url.port or DEFAULT_PORTS[url.scheme]
