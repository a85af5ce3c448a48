"""A path's normal form, and the other ways in which a backend might read it.

Routes match the normal form; raw bytes are forwarded. Where a strict and a lenient reader could arrive at
different areas the request is refused (`proxy.core.deciding.match`), so that no spelling dodges a route.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from proxy.core.http.badmessage import BadMessage

MOST_PIECES: Final = 1024
"""Slashes, escapes and parameters of a path that can be read in more than one way: each reading costs in proportion to them."""

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_HIGH: Final = re.compile(rb"[\x80-\xff]")
# A path of plain bytes is its own translation.
_PLAIN: Final = bytes(0x3F if i in b"%;\\" or i >= 0x80 else i for i in range(256))
_CONFUSING: Final = re.compile(rb"%2[Ff]|%5[Cc]|%00|\\")
_LENIENT_SLASH: Final = re.compile(rb"%2[Ff]|%5[Cc]|\\")
_SLASH_READINGS: Final = (None, re.compile(rb"%2[Ff]"), re.compile(rb"%5[Cc]|\\"), _LENIENT_SLASH)
_BETWEEN_PIECES: Final = (b"/", b"\\", b"%", b";")
_ONE_READING: Final[frozenset[str]] = frozenset()


def split_path(path: bytes) -> tuple[str, frozenset[str]]:
    """The normal form of a raw path, and the other readings of it where there are any.

    Args:
        path: the raw path, from its first slash to before `?`.

    Returns:
        The normal form (ASCII), and for a path with `%2F`, `%5C`, `%00`, a backslash or dot segments every way in
        which a backend might see it (at most 33); empty for every other path.

    Raises:
        BadMessage: it can be read in more than one way, and in so many pieces that all readings would take too long.
    """
    if path.translate(_PLAIN) == path:
        text = path.decode("ascii")
        if text.find("//") < 0 and text.find("/.") < 0:  # in text, not in bytes: compiled, it costs a fifth
            return text, _ONE_READING
    decoded = _decode_unreserved(path)
    normal = _resolve(decoded)
    if _CONFUSING.search(path) is None and not _has_dot_segments(decoded):
        return normal, _ONE_READING
    if sum(map(path.count, _BETWEEN_PIECES)) > MOST_PIECES:
        raise BadMessage("the path can be read in more than one way, and has too many pieces")
    return normal, frozenset(_readings(path)) - {normal}


def _readings(path: bytes) -> Iterator[str]:
    r"""How backends might read a path, from the strictest to the most lenient.

    The strict one decodes and resolves nothing. Every other one resolves dot segments, and each of the
    following it does or doesn't: cut at `%00`; take `%2F`, and `\` and `%5C`, for a slash; drop parameters;
    read runs of slashes as one. A path may be made to pass any one mixture of these; it is refused unless all agree.
    """
    yield _escape_high(path).decode("ascii")
    for whole in (path, path.partition(b"%00")[0]):
        for slashes in _SLASH_READINGS:
            # Decoding may bring a new dot segment together with a slash that was just made, so decode after replacing.
            decoded = _decode_unreserved(slashes.sub(b"/", whole) if slashes is not None else whole)
            for drop_parameters in (True, False):
                for merge in (True, False):
                    yield _resolve(decoded, drop_parameters=drop_parameters, merge=merge)


def normal_path(text: str) -> str:
    """The normal form of a path written by a person (a pattern's literal part), where UTF-8 is welcome."""
    return _resolve(_decode_unreserved(text.encode()))


def has_dot_segments_or_empty(path: bytes) -> bool:
    """Whether a raw path has dot segments, in anybody's reading, or `//`: a rewrite can't be placed in it."""
    if b"//" in path:
        return True
    return (b"." in path or b"%2" in path) and _has_dot_segments(_decode_unreserved(_LENIENT_SLASH.sub(b"/", path)))


def _decode_unreserved(path: bytes) -> bytes:
    """Decode what needs no escape; keep every other escape, in capitals; escape bytes from 0x80."""

    def one(found: re.Match[bytes]) -> bytes:
        octet = int(found[1], 16)
        return bytes((octet,)) if octet in _UNRESERVED else found[0].upper()

    return _escape_high(_ESCAPE.sub(one, path))


def _escape_high(path: bytes) -> bytes:
    return _HIGH.sub(lambda found: b"%%%02X" % found[0][0], path)


def _has_dot_segments(decoded: bytes) -> bool:
    return any(part.partition(b";")[0] in (b".", b"..") for part in decoded.split(b"/"))


def _resolve(decoded: bytes, *, drop_parameters: bool = True, merge: bool = True) -> str:
    """Drop parameters, read runs of slashes as one, resolve dot segments (RFC 3986 §5.2.4), in this order."""
    pieces = decoded.split(b"/")[1:]
    if drop_parameters:
        pieces = [piece.partition(b";")[0] for piece in pieces]
    if merge:
        pieces = [*filter(None, pieces[:-1]), *pieces[-1:]]
    kept: list[bytes] = []
    for i, piece in enumerate(pieces):
        last = i == len(pieces) - 1
        if piece == b".":
            if last:
                kept.append(b"")
        elif piece == b"..":
            if kept:
                kept.pop()
            if last:
                kept.append(b"")
        else:
            kept.append(piece)
    return "/" + b"/".join(kept).decode("ascii")
