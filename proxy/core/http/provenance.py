"""Where a request came from, as a backend is told: `X-Forwarded-*`, and `Forwarded` (RFC 7239).

Each field is written in one of three ways:

=======  =====================================================================================
append   what a believed peer says is kept and continued; what anybody else says is replaced
replace  what this proxy saw itself, alone
off      nothing is written; what a believed peer says passes, what anybody else says doesn't
=======  =====================================================================================

So whoever isn't believed says nothing, whatever the setting. A believed peer may itself have taken over what its
own clients claim (most balancers append): `hops` keeps only so many of the last addresses, as Envoy's
`xff_num_trusted_hops` does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from proxy.core.http.message import TOKEN
from proxy.core.http.ports import DEFAULT_PORT_BYTES

if TYPE_CHECKING:
    from proxy.core.http.message import RequestHead
    from proxy.core.plan import Forwarding

X_FORWARDED: Final = b"x-forwarded-"
FORWARDED: Final = b"forwarded"

_KNOWN_LINES: Final = 1024  # of (address, host): clients repeat themselves
_LONGEST_KNOWN_BYTES: Final = 255  # a name that DNS holds is no longer (RFC 1035 §2.3.4)

# One element of a Forwarded list: commas inside quotes don't end it (RFC 7239 §4).
_ELEMENT: Final = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_LIST: Final = re.compile(rb'(?:[^"]|"(?:[^"\\]|\\.)*")*')
_PORT: Final = re.compile(rb":([0-9]+)\Z")


class Provenance:
    """Writes the lines that say where requests came from, for peers of one kind.

    Args:
        settings: how each field is written.
        believed: whether the peer may say where its requests came from.
        scheme: of the peer's connection, `http` or `https`.
    """

    __slots__ = ("_believed", "_known", "_scheme", "_settings", "_written")

    def __init__(self, settings: Forwarding, *, believed: bool, scheme: bytes = b"http") -> None:
        self._settings = settings
        self._believed = believed
        self._scheme = scheme
        ways = (
            (b"x-forwarded-for", settings.x_for),
            (b"x-forwarded-proto", settings.x_proto),
            (b"x-forwarded-host", settings.x_host),
            (b"x-forwarded-port", settings.x_port),
            (FORWARDED, settings.forwarded),
        )
        self._written = {name: way for name, way in ways if way != "off"}
        self._known: dict[tuple[bytes, bytes], bytes] = {}

    def drops(self, name: bytes) -> bool:
        """Whether a line of this lower-case name, `_` read as `-`, doesn't pass as it is."""
        if name.startswith(X_FORWARDED) or name == FORWARDED:
            return not self._believed or name in self._written
        return False

    def continues(self, name: bytes) -> bool:
        """Whether what a line of this lower-case name says is taken up into what is written."""
        return self._believed and self._written.get(name) == "append"

    def lines(self, address: bytes, host: bytes) -> bytes:
        """What is told when the peer says nothing.

        Args:
            address: the peer's.
            host: the request's Host; empty when an HTTP/1.0 client sent none.

        Returns:
            Lines, each with its CRLF.
        """
        known = self._known.get((address, host))
        if known is None:
            known = self._write(address, host, {})
            if len(host) <= _LONGEST_KNOWN_BYTES:
                if len(self._known) >= _KNOWN_LINES:
                    self._known.clear()
                self._known[address, host] = known
        return known

    def lines_after(self, head: RequestHead, address: bytes) -> bytes:
        """What is told when the peer says something itself, and is believed."""
        said = {name: b", ".join(head.all(name)) for name in self._written if self.continues(name)}
        return self._write(address, head.host, said)

    def _write(self, address: bytes, host: bytes, said: dict[bytes, bytes]) -> bytes:
        address = address.partition(b"%")[0]  # a zone means nothing on another machine
        lines = []
        for name in self._written:
            before = said.get(name, b"")
            match name:
                case b"x-forwarded-for":
                    lines.append(b"X-Forwarded-For: " + b", ".join([*self._last(before), address]))
                case b"x-forwarded-proto":
                    lines.append(b"X-Forwarded-Proto: " + (before or self._scheme))
                case b"x-forwarded-host":
                    if before or host:
                        lines.append(b"X-Forwarded-Host: " + (before or host))
                case b"x-forwarded-port":
                    lines.append(b"X-Forwarded-Port: " + (before or self._port(host)))
                case _:
                    elements = [*self._last_elements(before), self._element(address, host)]
                    lines.append(b"Forwarded: " + b", ".join(elements))
        return b"".join(line + b"\r\n" for line in lines)

    def _last(self, before: bytes) -> list[bytes]:
        if self._settings.hops is None:
            return [before] if before else []
        entries = [entry for part in before.split(b",") if (entry := part.strip())]
        return entries[-self._settings.hops :]

    def _last_elements(self, before: bytes) -> list[bytes]:
        if _LIST.fullmatch(before) is None:
            return []  # a quote that isn't closed would swallow what this proxy says
        if self._settings.hops is None:
            return [before] if before else []
        elements = [element for found in _ELEMENT.findall(before) if (element := found.strip())]
        return elements[-self._settings.hops :]

    def _element(self, address: bytes, host: bytes) -> bytes:
        node = b'"[%b]"' % address if b":" in address else address or b"unknown"
        if not host:
            return b"for=%b;proto=%b" % (node, self._scheme)
        quoted = host if TOKEN.fullmatch(host) else b'"%b"' % host
        return b"for=%b;host=%b;proto=%b" % (node, quoted, self._scheme)

    def _port(self, host: bytes) -> bytes:
        """The port that the client asked for, which behind a published container isn't the one that listens."""
        found = _PORT.search(host)
        return found[1] if found is not None else DEFAULT_PORT_BYTES[self._scheme]
