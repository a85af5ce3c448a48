"""What a backend says about its own places, mapped back to the public ones.

`Location`, `Content-Location`, `Refresh` and `Link` that name a backend's own origin come out with the public origin;
a path that a rewrite made comes out as the path a client would ask for. `Set-Cookie` is mapped the same way:
`Domain` of an inner host, `Path` under a rewrite. What belongs to somebody else passes untouched.

A backend's own origins are its endpoints, with either scheme, since who hears of `X-Forwarded-Proto: https` writes that,
and the host that its setting makes it hear of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.core.deciding.pattern import Capture
from proxy.core.http.ports import DEFAULT_PORT_BYTES
from proxy.core.http.rewrite import public_path

if TYPE_CHECKING:
    from proxy.core.deciding.match import LiveRoute
    from proxy.core.model import Backend

MAPPED: Final = frozenset({b"location", b"content-location", b"refresh", b"link", b"set-cookie"})
"""Lower-case names of the fields that `MapBack.line` may change."""

_URL: Final = re.compile(rb"(?i)(?:(https?):)?//([^/?#]*)(.*)", re.DOTALL)
# No value may take long, whatever a backend has put into it: what follows `url=` is cut by hand, as any expression that looks for its end
# begins anew at every blank; and what is never closed in a Link goes to its end, or it would be looked for from every place.
_REFRESH: Final = re.compile(rb"""(?i)[0-9.]+\s*[;,]\s*(?:url\s*=\s*)?['"]?""")
# What stands in a Link (RFC 8288 §3): targets, anchors, and quoted text, in which neither is looked for.
_LINK: Final = re.compile(rb"""(?i)(<)([^>]*)(>)|<[^>]*|(;\s*anchor\s*=\s*")([^"\\]*)(")|"(?:[^"\\]|\\.)*"?""")
_QUOTES: Final = (b"'", b'"')
_ADDRESS: Final = re.compile(rb"[0-9.]+|\[.*\]")
_SLASHES: Final = (b"/", b"\\")


class MapBack:
    """The way back from one backend.

    Args:
        backend: whose answers are mapped.
        origins: its endpoints, as `http://host:port`.
        told_hosts: what it is told as Host, where that isn't the client's.
        public_origin: `scheme://host[:port]`, or None: origins and cookie domains pass untouched.
        isolated_cookies: names that belong to the other backend: not accepted from this one.
    """

    __slots__ = ("_backend", "_hosts", "_isolated", "_origins", "_public", "_public_authority", "_public_host")

    def __init__(
        self,
        backend: Backend,
        *,
        origins: Iterable[str],
        public_origin: str | None,
        told_hosts: Iterable[str] = (),
        isolated_cookies: Iterable[str] = (),
    ) -> None:
        self._backend = backend
        inner = [urlsplit(origin) for origin in (*origins, *(f"//{host}" for host in told_hosts))]
        self._origins = frozenset(
            _authority(scheme, part.netloc.encode()) for part in inner for scheme in DEFAULT_PORT_BYTES
        )
        self._hosts = frozenset((part.hostname or "").encode() for part in inner)
        self._public = None if public_origin is None else public_origin.encode()
        public = urlsplit(public_origin or "")
        self._public_authority = _authority(public.scheme.encode(), public.netloc.encode())
        self._public_host = (public.hostname or "").encode()
        self._isolated = frozenset(name.encode() for name in isolated_cookies)

    def concerns(self, route: LiveRoute | None) -> bool:
        """Whether any answer to a request of this route may need mapping; asked first, since most need none."""
        return self._public is not None or bool(self._isolated) or (route is not None and bool(route.rewrites))

    def line(self, name: bytes, line: bytes, route: LiveRoute | None, host: bytes) -> bytes | None:
        """One header line as the client gets it.

        Args:
            name: its lower-case name, one of `MAPPED`.
            line: as the backend sent it.
            route: the request's route.
            host: the request's Host: a backend that builds URLs from it means the public origin.

        Returns:
            The line, the very same when nothing had to change; None when it must not pass.
        """
        spelled, _, raw = line.partition(b":")
        value = raw.strip()
        if name == b"set-cookie":
            mapped = self._cookie(value, route)
        elif name == b"refresh":
            mapped = self._refresh(value, route, host)
        elif name == b"link":
            mapped = _LINK.sub(lambda found: self._link(found, route, host), value)
        else:
            mapped = self._url(value, route, host)
        if mapped is None:
            return None
        return line if mapped == value else spelled + b": " + mapped

    def _url(self, url: bytes, route: LiveRoute | None, host: bytes) -> bytes:
        found = _URL.fullmatch(url)
        if found is None:
            return self._path(url, route) if url[:1] == b"/" else url
        authority, rest = found[2], found[3]
        schemes = DEFAULT_PORT_BYTES if found[1] is None else (found[1].lower(),)  # `//host/…` has that of the page
        places = {_authority(scheme, authority) for scheme in schemes}
        if self._public is not None and not places.isdisjoint(self._origins):
            return self._public + self._path(rest, route)
        if not places.isdisjoint((self._public_authority, *(_authority(scheme, host) for scheme in schemes))):
            return url[: len(url) - len(rest)] + self._path(rest, route)
        return url

    def _refresh(self, value: bytes, route: LiveRoute | None, host: bytes) -> bytes:
        found = _REFRESH.match(value)
        if found is None:
            return value
        start = found.end()
        end = len(value) - 1 if value[start:][-1:] in _QUOTES else len(value)
        return value[:start] + self._url(value[start:end], route, host) + value[end:]

    def _link(self, found: re.Match[bytes], route: LiveRoute | None, host: bytes) -> bytes:
        before, url, after = found[1] or found[4], found[2] or found[5], found[3] or found[6]
        return found[0] if not url else before + self._url(url, route, host) + after

    def _path(self, rest: bytes, route: LiveRoute | None) -> bytes:
        if route is None or self._backend not in route.rewrites or rest[:1] != b"/":
            return rest
        cut = min((at for at in (rest.find(b"?"), rest.find(b"#")) if at >= 0), default=len(rest))
        public = public_path(route, self._backend, rest[:cut])
        if public is None:
            return rest
        if public[1:2] in _SLASHES:
            # `/v2//evil.example` is a path, `//evil.example` another host, and to browsers `/\evil.example` is too: the
            # dot keeps it a path (WHATWG URL, "URL serializer").
            public = b"/." + public
        return public + rest[cut:]

    def _cookie(self, value: bytes, route: LiveRoute | None) -> bytes | None:
        first, *attributes = value.split(b";")
        # Browsers keep `=sid=1` as a cookie without a name, and send it back as `sid=1`.
        if first.strip(b" \t=").partition(b"=")[0].strip() in self._isolated:
            return None
        kept = [first]
        for attribute in attributes:
            name, _, given = attribute.partition(b"=")
            given = given.strip()
            match name.strip().lower():
                case b"domain":
                    domain = self._domain(given)
                    if domain is None:
                        continue
                    kept.append(attribute if domain == given else name + b"=" + domain)
                case b"path":
                    path = self._cookie_path(given, route)
                    kept.append(attribute if path == given else name + b"=" + path)
                case _:
                    kept.append(attribute)
        return b";".join(kept)

    def _domain(self, domain: bytes) -> bytes | None:
        """The public domain; None when the attribute must go, so that a browser takes the cookie at all."""
        plain = domain.lower().lstrip(b".")
        public = self._public_host
        if self._public is None or not plain or public == plain or public.endswith(b"." + plain):
            return domain
        if plain in self._hosts:
            # Browsers refuse a Domain that is an address or a name without a dot.
            return None if b"." not in public or _ADDRESS.fullmatch(public) else public
        return None if any(host.endswith(b"." + plain) for host in self._hosts) else domain

    def _cookie_path(self, path: bytes, route: LiveRoute | None) -> bytes:
        if route is None or path[:1] != b"/" or path == b"/":
            return path
        template = route.rewrites.get(self._backend)
        if template is None:
            return path
        public = public_path(route, self._backend, path)
        if public is not None:
            return public
        public = public_path(route, self._backend, path.rstrip(b"/"))
        if public is not None:
            return public
        inner, outer = _fixed(template.parts), _fixed(route.pattern.parts)
        # A Path above what the rewrite makes covers the route inside, so it covers the route outside.
        return outer if (inner + b"/").startswith(path.rstrip(b"/") + b"/") else path


def _fixed(parts: Iterable[object]) -> bytes:
    """The literal beginning of a pattern."""
    fixed = b""
    for part in parts:
        if isinstance(part, Capture):
            break
        fixed += b"/" + str(part).encode()
    return fixed or b"/"


def _authority(scheme: bytes, authority: bytes) -> bytes:
    """scheme://host:port, lower-case, the port always told, so that two spellings of one origin are equal."""
    authority = authority.lower()
    host, colon, port = authority.rpartition(b":")
    if not colon or not port.isdigit():
        host, port = authority.rstrip(b":"), DEFAULT_PORT_BYTES.get(scheme, b"")
    return scheme + b"://" + host + b":" + port
