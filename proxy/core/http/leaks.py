"""Names of inner hosts in answers: what mapping back didn't know, and clients can't reach or shouldn't hear of.

Looked for in the whole head at once, as bytes: three hosts in half a kilobyte cost 0.3 µs. Only where one is found are the
lines looked at. A name without a dot (`shop`) is a word that stands in many a header, so it counts as a host only behind
`//` or before its port.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from proxy.core.http.ports import port_of

TOLD_AS: Final = (
    *("location", "content-location", "refresh", "link", "set-cookie"),
    *("access-control-allow-origin", "content-security-policy", "via", "server"),
)
"""Headers that are told by name; every other is `other`, for names of headers are a backend's to choose."""

OTHER: Final = "other"
_NAMES: Final = {name.encode(): name for name in TOLD_AS}


class InnerHosts:
    """Finds the hosts of both systems in the heads of answers.

    Args:
        origins: of every endpoint, as `http://host:port`.
        public_origin: whose host is nobody's secret.
    """

    __slots__ = ("_exactly", "_roughly")

    def __init__(self, origins: Iterable[str], public_origin: str) -> None:
        public = urlsplit(public_origin).hostname
        needles: set[bytes] = set()
        exactly: set[bytes] = set()
        for part in map(urlsplit, origins):
            host = (part.hostname or "").encode()
            if not host or part.hostname == public:
                continue
            name = re.escape(host)
            if b"." in host or b":" in host:
                needles.add(host)
                exactly.add(rb"(?<![\w.-])%b(?![\w-]|\.\w)" % name)
            else:
                port = b":%d" % port_of(part)
                needles |= {b"//" + host, host + port}
                exactly |= {rb"//%b(?![\w.-])" % name, rb"(?<![\w.-])%b%b(?!\d)" % (name, port)}
        self._roughly = tuple(sorted(needles))
        self._exactly = re.compile(b"|".join(sorted(exactly)) or rb"(?!)")

    def suspected(self, head: bytes) -> bool:
        """Whether a head may name one; asked of every answer."""
        for needle in self._roughly:  # noqa: SIM110  a generator for `any` costs more than all the searches
            if head.find(needle) >= 0:  # not `in`: for bytes it raises and drops an exception first (0.3 µs)
                return True
        return False

    def found(self, head: bytes) -> list[tuple[str, str]]:
        """(header as in `TOLD_AS`, the host as it is written there) for every line that names one, status line aside."""
        told = []
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            found = self._exactly.search(value)
            if found is not None:
                told.append((_NAMES.get(name.lower(), OTHER), found[0].removeprefix(b"//").decode("latin-1")))
        return told
