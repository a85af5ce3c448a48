"""The head that is sent on: which of a request's lines pass, which are edited, which are added.

Everything passes in its order, spelling and number, except:

1. hop-by-hop fields, and those that `Connection` names (RFC 9110 §7.6.1); a WebSocket is asked for anew
2. what only a trusted peer may say: identity headers, `Forwarded`, `X-Forwarded-*`, `X-Request-ID`
3. cookies that belong to the other backend
4. what the backend's `headers: set, remove` name, and `Host` where its `host:` says another
5. `Max-Forwards` of OPTIONS and TRACE: one less
6. added: where the request came from (`proxy.core.http.provenance`), `Via`, `X-Request-ID`, and the framing

Names are compared as CGI and WSGI read them, where `_` and `-` are one: to such a backend `X_Account_Id` is
`X-Account-Id`. Some make `_` of every other character too (Apache's CGI did), so all of those count as `-`.

What happens to the lines depends on their names alone, and clients repeat themselves: the way through is
worked out once for each sequence of names (a *shape*), and looked up after that (0.3 µs).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from proxy.core.footprint import SHAPES_BYTES
from proxy.core.http import lasthop
from proxy.core.http.badmessage import BadMessage
from proxy.core.http.cookies import crumbs_of, cut, octets_as_text, without_cookies
from proxy.core.http.framing import CHUNKED
from proxy.core.http.message import Head, RequestHead
from proxy.core.http.provenance import FORWARDED, X_FORWARDED, Provenance
from proxy.core.http.websocket import SWITCH_LINES, websocket_key
from proxy.core.plan import ENDPOINTS_OWN, KEEP, Forwarding

_W = TypeVar("_W")

LONGEST_SHAPE_BYTES: Final = 2048
"""Of names, in a shape that is remembered: browsers behind proxies come to a fifth of it."""

HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade", b"http2-settings"}
)

LOOP_DETECTED: Final = 508
"""The status for a request that has come through here before (RFC 5842 §7.2; Squid refuses one likewise)."""

_SAID_BY_PROXIES: Final = frozenset({FORWARDED, b"x-request-id"})
_NEVER_EDITED: Final = HOP_BY_HOP | {b"content-length"}

# Connection takes fields away that the backend must get, or that decide: RFC 9110 §7.6.1 forbids to name those.
_END_TO_END: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"cookie", b"via", b"expect"}
    | {lasthop.FIELD}
)
KNOWN_OPTIONS: Final = frozenset({b"close", b"keep-alive"})

_NO_FORWARDING: Final = Forwarding()

# Of the characters that a field's name may have (RFC 9110 §5.6.2), all but letters and digits.
_AS_CGI: Final = bytes.maketrans(b"!#$%&'*+.^_`|~", b"-" * 14)

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")


def plain_name(name: bytes) -> bytes:
    """A field's lower-case name as CGI and WSGI read it."""
    return name.translate(_AS_CGI)


_A_SHAPE_BYTES: Final = 500  # with nothing in it: its places in a mapping, the tuple of names, the way
_A_NAME_BYTES: Final = 33 + 3 * 8  # beside its letters: a bytes object, its places in the tuple and in the way


def keep_way(ways: dict[tuple[bytes, ...], _W], names: tuple[bytes, ...], way: _W, kept_bytes: int) -> int:
    """Remember how the lines of a shape pass, within `SHAPES_BYTES`.

    Full, an editor starts anew: so a hostile client neither fills it nor spoils it for good.

    Returns:
        What is remembered now takes, as the next call is to be told by `kept_bytes`.
    """
    letters = sum(map(len, names))
    if letters > LONGEST_SHAPE_BYTES:
        return kept_bytes
    shape_bytes = _A_SHAPE_BYTES + letters + len(names) * _A_NAME_BYTES
    if kept_bytes + shape_bytes > SHAPES_BYTES:
        ways.clear()
        kept_bytes = 0
    ways[names] = way
    return kept_bytes + shape_bytes


def nominated(head: Head, withholds: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """`withholds` for the trailer fields of a message: those that its `Connection` names stay here too (RFC 9110 §7.6.1)."""
    options = head.connection
    if options <= KNOWN_OPTIONS:
        return withholds
    return lambda name: name in options or withholds(name)


def well_formed_request_id(value: bytes | None) -> bool:
    """Whether a trusted peer's request id may be kept: it goes into logs, and on to other systems."""
    return value is not None and _REQUEST_ID.fullmatch(value) is not None


class _Way(NamedTuple):
    """How the lines of one shape pass."""

    keep: tuple[int, ...] | None  # None: all of them
    cookies: tuple[int, ...]  # where, among the kept lines, a Cookie stands
    has_host: bool
    said: bool  # the peer says where the request came from, and that is continued
    limited: bool  # there is a Max-Forwards
    passed: bool  # there is a Via


class RequestEditor:
    """Writes the heads of requests to one backend, from peers of one kind.

    Args:
        trusted: whether the peer may say who the client is.
        believed: whether it may say where its requests came from; None: if it is trusted.
        scheme: of its connection, `http` or `https`.
        identity_headers: lower-case names of headers that tell an account or region.
        isolated_cookies: names of cookies that belong to the other backend.
        set_headers: fields the backend is told instead of what the client sent.
        remove_headers: fields the backend isn't told.
        host: what the backend is told as Host: `keep`, `backend` (the authority that `write` is given), or this.
        forwarding: what it is told of the way.
    """

    __slots__ = (
        "_added",
        "_host",
        "_isolated",
        "_name",
        "_provenance",
        "_removed",
        "_trusted",
        "_untold",
        "_via",
        "_ways",
        "_ways_bytes",
    )

    def __init__(
        self,
        *,
        trusted: bool,
        identity_headers: Iterable[bytes],
        believed: bool | None = None,
        scheme: bytes = b"http",
        isolated_cookies: Iterable[str] = (),
        set_headers: Iterable[tuple[str, str]] = (),
        remove_headers: Iterable[str] = (),
        host: str = KEEP,
        forwarding: Forwarding = _NO_FORWARDING,
    ) -> None:
        self._trusted = trusted
        added = [(name.encode(), value.encode()) for name, value in set_headers]
        added = [(name, value) for name, value in added if plain_name(name.lower()) not in _NEVER_EDITED]
        told = [value for name, value in added if name.lower() == b"host"]
        self._host = told[-1] if told else None if host in (KEEP, ENDPOINTS_OWN) else host.encode()
        self._added = b"".join(b"%b: %b\r\n" % line for line in added if line[0].lower() != b"host")
        edited = {plain_name(name.lower()) for name, _ in added}
        if host != KEEP:
            edited.add(b"host")
        edited |= {plain_name(name.lower().encode()) for name in remove_headers} - _NEVER_EDITED
        self._untold = frozenset(plain_name(name) for name in identity_headers)
        self._removed = frozenset(edited)
        self._isolated = frozenset(octets_as_text(name) for name in isolated_cookies)
        self._provenance = Provenance(forwarding, believed=trusted if believed is None else believed, scheme=scheme)
        name = forwarding.via
        self._name = None if name is None else name.lower().encode()
        via = tuple(b"" if name is None else b"Via: 1.%d %b\r\n" % (minor, name.encode()) for minor in (0, 1))
        self._via = tuple(line + b"X-Request-ID: " for line in via)
        self._ways: dict[tuple[bytes, ...], _Way] = {}
        self._ways_bytes = 0

    def withholds(self, name: bytes) -> bool:
        """Whether a trailer field of this lower-case name stays here: whatever steers a request stands in its head."""
        plain = plain_name(name)
        return self._drops(name) or plain in self._untold or plain.startswith(X_FORWARDED) or plain in _END_TO_END

    def write(self, head: RequestHead, target: bytes, *, address: bytes, authority: bytes, request_id: bytes) -> bytes:
        """The head as the backend gets it, final CRLF CRLF included.

        Args:
            head: the request's head.
            target: the target to ask for; differs from the head's when the route rewrites.
            address: the peer's IP address.
            authority: the endpoint's, for the Host that an HTTP/1.0 client left out, or that isn't kept.
            request_id: the exchange's.

        Raises:
            BadMessage: `Connection` names a field that isn't the connection's business (400), or the request has come
                through here before (508).
            LastHop: it may go no further (`Max-Forwards`).
        """
        names = tuple(head.names)
        way = self._ways.get(names)
        if way is None:
            way = self._learn(names)
        lines = head.lines if way.keep is None else [head.lines[i] for i in way.keep]
        if way.cookies and self._isolated:
            lines = self._without_isolated(head, lines, way.cookies)
        if head.connection and not head.connection <= KNOWN_OPTIONS:
            lines = self._without_nominated(head, lines)
            if websocket_key(head) is not None:
                lines += SWITCH_LINES
        if way.passed and self._name is not None:
            self._check_loop(head, self._name)
        if way.limited and head.method in lasthop.LIMITED:
            less = lasthop.one_hop_less(head)
            lines = [less if line.partition(b":")[0].lower() == lasthop.FIELD else line for line in lines]
        provenance = self._provenance
        address_lines = provenance.lines_after(head, address) if way.said else provenance.lines(address, head.host)
        parts = [head.method, b" ", target, b" HTTP/1.1\r\n"]
        if not way.has_host:
            parts.append(b"Host: %b\r\n" % (self._host or authority))  # first of all (RFC 9110 §7.2)
        if lines:
            parts.append(b"\r\n".join(lines))
            parts.append(b"\r\n")
        if self._added:
            parts.append(self._added)
        values = head.values
        if b"te" in values and b"trailers" in values[b"te"].lower():
            parts.append(b"TE: trailers\r\nConnection: TE\r\n")
        if head.body == CHUNKED:
            parts.append(b"Transfer-Encoding: chunked\r\n")
        parts += (address_lines, self._via[head.minor], request_id, b"\r\n\r\n")
        return b"".join(parts)

    def _learn(self, names: tuple[bytes, ...]) -> _Way:
        keep = tuple(i for i, name in enumerate(names) if not self._drops(name))
        kept = [names[i] for i in keep]
        cookies = tuple(i for i, name in enumerate(kept) if name == b"cookie")
        way = _Way(
            None if len(keep) == len(names) else keep,
            cookies,
            b"host" in kept,
            any(self._provenance.continues(name) for name in names),
            lasthop.FIELD in kept,
            b"via" in names,
        )
        self._ways_bytes = keep_way(self._ways, names, way, self._ways_bytes)
        return way

    def _drops(self, name: bytes) -> bool:
        plain = plain_name(name)
        if plain in HOP_BY_HOP or plain in self._removed:
            return True
        if plain == b"x-request-id" or self._provenance.drops(plain):
            return True  # written anew, or not for this peer to say
        if plain != name and (plain in _END_TO_END or plain in self._untold or plain.startswith(X_FORWARDED)):
            return True  # `Content_Length` is no field that anybody means
        return not self._trusted and plain in self._untold

    @staticmethod
    def _check_loop(head: RequestHead, name: bytes) -> None:
        for value in head.all(b"via"):
            for entry in value.lower().split(b","):
                if name in entry.split()[1:2]:
                    raise BadMessage(
                        "this proxy has passed the request on before: a backend, or Via's name, leads back",
                        LOOP_DETECTED,
                    )

    def _without_nominated(self, head: RequestHead, lines: list[bytes]) -> list[bytes]:
        for option in head.connection:
            plain = plain_name(option)
            if plain in _END_TO_END or plain in self._untold or plain in _SAID_BY_PROXIES or X_FORWARDED in plain:
                raise BadMessage("Connection names a field that is not the connection's")
        return [line for line in lines if line.partition(b":")[0].lower() not in head.connection]

    def _without_isolated(self, head: RequestHead, lines: list[bytes], at: tuple[int, ...]) -> list[bytes]:
        emptied = False
        for i in at:
            name, _, value = lines[i].partition(b":")
            rest = without_cookies(crumbs_of(head) if len(at) == 1 else cut(value), self._isolated)
            if rest is not None:
                if not emptied:
                    lines = lines.copy()  # the head's own stay as they came
                    emptied = True
                lines[i] = name + b": " + rest.encode("latin-1") if rest else b""
        return [line for line in lines if line] if emptied else lines
