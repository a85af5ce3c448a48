"""A path's normal form, and the other ways in which a backend might read it.

Routes match the normal form; raw bytes are forwarded. Where a strict and a lenient reader could arrive at
different areas the request is refused (`proxy.core.match`), so that no spelling dodges a route.
"""

from __future__ import annotations

import re
from typing import Final

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_HIGH: Final = re.compile(rb"[\x80-\xff]")
_SLASHES: Final = re.compile(rb"//+")
_SPECIAL: Final = bytes((*b"%;\\", *range(0x80, 0x100)))
_CONFUSING: Final = re.compile(rb"%2[Ff]|%5[Cc]|%00|\\")
_LENIENT_SLASH: Final = re.compile(rb"%2[Ff]|%5[Cc]|\\")


def split_path(path: bytes) -> tuple[str, tuple[str, ...]]:
    """The normal form of a raw path, and the other readings of it where there are any.

    Args:
        path: the raw path, from its first slash to before `?`.

    Returns:
        The normal form (ASCII), and for a path with `%2F`, `%5C`, `%00`, a backslash or dot segments
        how a strict reader (nothing decoded or resolved) and a lenient one (`%2F`, `%5C` and a backslash are `/`, cut at
        `%00`, then normalised) see it; empty for every other path.
    """
    if b"//" not in path and b"/." not in path and len(path.translate(None, _SPECIAL)) == len(path):
        return path.decode("ascii"), ()
    decoded = _decode_unreserved(path)
    normal = _resolve(decoded)
    if _CONFUSING.search(path) is None and not _has_dot_segments(decoded):
        return normal, ()
    lenient = _LENIENT_SLASH.sub(b"/", path)
    cut = lenient.find(b"%00")
    if cut >= 0:
        lenient = lenient[:cut]
    # Decoding may bring a new dot segment together with a slash that was just made, so decode after replacing.
    return normal, (_escape_high(path).decode("ascii"), _resolve(_decode_unreserved(lenient)))


def normal_path(text: str) -> str:
    """The normal form of a path written by a person (a pattern's literal part), where UTF-8 is welcome."""
    return split_path(text.encode())[0]


def has_dot_segments_or_empty(path: bytes) -> bool:
    """Whether a raw path has dot segments, plain or encoded, or `//`: a rewrite can't be placed in it."""
    return b"//" in path or ((b"." in path or b"%2" in path) and _has_dot_segments(_decode_unreserved(path)))


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


def _resolve(decoded: bytes) -> str:
    """Drop parameters, read runs of slashes as one, resolve dot segments (RFC 3986 §5.2.4), in this order."""
    parts = [part.partition(b";")[0] for part in decoded.split(b"/")]
    path = _SLASHES.sub(b"/", b"/".join(parts))
    kept: list[bytes] = []
    pieces = path.split(b"/")[1:]
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
    return ("/" + b"/".join(kept).decode("ascii")) if kept else "/"
