"""The head of an answer as the client gets it: what a backend said, less what concerned only its connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.core.http.forwarding import HOP_BY_HOP, KNOWN_OPTIONS, keep_way
from proxy.core.http.mapback import MAPPED, MapBack
from proxy.core.http.message import AnswerHead

if TYPE_CHECKING:
    from proxy.core.deciding.match import LiveRoute
    from proxy.core.http.leaks import InnerHosts

_NO_CONTENT: Final = 204
_OURS: Final = frozenset(
    {b"x-strangler", b"x-strangler-drill", b"x-strangler-error"}
)  # only the proxy says who decided, and why
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class _Way(NamedTuple):
    """How the lines of one shape pass (see `proxy.core.http.forwarding`)."""

    keep: tuple[int, ...] | None  # None: all of them
    mapped: bool  # one of them may be mapped back


class AnswerEditor:
    """Writes the heads of answers from one backend.

    Args:
        back: maps its places to the public ones.
        set_headers: fields the client is told instead of what the backend sent.
        remove_headers: fields the client isn't told.
        via: this proxy's name, where answers are given a `Via`.
        inner: finds inner hosts; None: they aren't looked for.
        leaked: hears of those that are found, as `InnerHosts.found` has them.
    """

    __slots__ = ("_added", "_back", "_inner", "_leaked", "_removed", "_ways", "_ways_bytes")

    def __init__(
        self,
        back: MapBack,
        *,
        set_headers: Iterable[tuple[str, str]] = (),
        remove_headers: Iterable[str] = (),
        via: str | None = None,
        inner: InnerHosts | None = None,
        leaked: Callable[[list[tuple[str, str]]], None] | None = None,
    ) -> None:
        self._back = back
        self._inner = inner if leaked is not None else None
        self._leaked = leaked
        set_headers = tuple(set_headers)
        edited = {name.lower().encode() for name in (*remove_headers, *(name for name, _ in set_headers))}
        self._removed = (edited - _FRAMING) | HOP_BY_HOP | _OURS
        own = "".join(f"{name}: {value}\r\n" for name, value in set_headers)
        # By the version of HTTP that the backend answered in, which Via tells.
        self._added = tuple(((f"Via: 1.{minor} {via}\r\n" if via else "") + own).encode() for minor in (0, 1))
        self._ways: dict[tuple[bytes, ...], _Way] = {}
        self._ways_bytes = 0

    def withholds(self, name: bytes) -> bool:
        """Whether a trailer field of this lower-case name doesn't pass."""
        return name in self._removed or name in _FRAMING or name in MAPPED

    def write(self, head: AnswerHead, added: bytes, *, route: LiveRoute | None, host: bytes) -> bytes:
        """The head as the client gets it, final CRLF CRLF included.

        Args:
            head: the backend's.
            added: further lines, each with its CRLF: framing, Connection, markers.
            route: the request's route, for what is mapped back.
            host: the request's Host, likewise.
        """
        names = tuple(head.names)
        way = self._ways.get(names) or self._learn(names)
        status_line = head.status_line if head.minor else b"HTTP/1.1" + head.status_line[8:]
        keep = way.keep
        own = self._added[head.minor]
        if head.status < 200 or head.status == _NO_CONTENT:
            if head.status < 200:
                own = b""
            kept = range(len(names)) if keep is None else keep
            keep = tuple(i for i in kept if names[i] not in _FRAMING)  # RFC 9110 §8.6
        if head.connection and not head.connection <= KNOWN_OPTIONS:
            kept = range(len(names)) if keep is None else keep
            keep = tuple(i for i in kept if names[i] in _FRAMING or names[i] not in head.connection)
        lines = head.lines if keep is None else [head.lines[i] for i in keep]
        if way.mapped and self._back.concerns(route):
            kept = range(len(names)) if keep is None else keep
            lines = self._mapped(lines, [names[i] for i in kept], route, host)
        if route is not None and route.caching is not None and head.status >= 200:
            lines = route.caching.edit([_name_of(line) for line in lines], lines)
        if not lines:
            return b"%b\r\n%b%b\r\n" % (status_line, added, own)
        message = b"".join((status_line, b"\r\n", b"\r\n".join(lines), b"\r\n", added, own, b"\r\n"))
        inner = self._inner
        if (
            inner is not None
            and self._leaked is not None
            and inner.suspected(message)
            and (found := inner.found(message))
        ):
            self._leaked(found)
        return message

    def _learn(self, names: tuple[bytes, ...]) -> _Way:
        keep = tuple(i for i, name in enumerate(names) if name not in self._removed)
        way = _Way(None if len(keep) == len(names) else keep, not MAPPED.isdisjoint(names))
        self._ways_bytes = keep_way(self._ways, names, way, self._ways_bytes)
        return way

    def _mapped(self, lines: list[bytes], names: list[bytes], route: LiveRoute | None, host: bytes) -> list[bytes]:
        passing = []
        for name, line in zip(names, lines, strict=True):
            mapped = self._back.line(name, line, route, host) if name in MAPPED else line
            if mapped is not None:
                passing.append(mapped)
        return passing


def _name_of(line: bytes) -> bytes:
    return line.partition(b":")[0].lower()
