"""What shared caches in front are told of answers that depend on who asks.

A cache that keeps an answer for everybody would give one account the system that another one is decided for, and goes on
doing so after a rollback. So answers of an area with `cache:` are edited (RFC 9111 §5.2.2.7, RFC 9110 §12.5.5):

private  `Cache-Control` gets `private` and loses what would take it back; browsers go on caching
vary     `Vary` gets the names of the fields that a request is decided by

Either is there as long as the area's flag decides, whatever its share: what was kept before the first account moves
would be given to it afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from email.utils import mktime_tz, parsedate_tz
from enum import Enum, unique
from typing import Final

_CONTROL: Final = b"cache-control"
_VARY: Final = b"vary"

# What speaks to shared caches alone, and before Cache-Control: RFC 9213, Akamai, Varnish and Fastly, nginx.
_ASIDE: Final = frozenset({b"surrogate-control", b"edge-control", b"x-accel-expires"})
_TARGETED: Final = b"cdn-cache-control"  # also as `Cloudflare-CDN-Cache-Control`

# A directive of a list; commas inside quotes don't end it.
_DIRECTIVE: Final = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*"?)+')
_NOT_FOR_SHARED: Final = frozenset({b"private", b"no-store"})
_UNDERSTOOD: Final = b"must-understand"
_FOR_SHARED: Final = frozenset({b"public", b"s-maxage", b"proxy-revalidate", _UNDERSTOOD})

Lines = list[bytes]


class Private:
    """Keeps answers out of shared caches."""

    __slots__ = ()

    def edit(self, names: list[bytes], lines: Lines) -> Lines:
        """The lines with `private`.

        Args:
            names: the lower-case name of each line.
            lines: of an answer's head, unchanged by this.
        """
        kept: Lines = []
        directives: list[bytes] = []
        for name, line in zip(names, lines, strict=True):
            if name == _CONTROL:
                directives += _split(line)
            elif name not in _ASIDE and not name.endswith(_TARGETED):
                kept.append(line)
        told = [one.partition(b"=")[0].strip().lower() for one in directives]
        # `must-understand` takes `no-store` back for caches that know it (RFC 9111 §5.2.2.3).
        if _UNDERSTOOD not in told and not _NOT_FOR_SHARED.isdisjoint(one.lower() for one in directives):
            if not any(name in _ASIDE or name.endswith(_TARGETED) for name in names):
                return lines
            said = directives
        else:
            taken_out = _FOR_SHARED | {b"private"}
            said = [one for one, name in zip(directives, told, strict=True) if name not in taken_out]
            said.append(b"private")
        kept.append(b"Cache-Control: " + b", ".join(said))
        return kept


class Varying:
    """Lets shared caches tell requests apart.

    Args:
        names: the fields that requests are decided by.
    """

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(name.encode() for name in names)

    def edit(self, names: list[bytes], lines: Lines) -> Lines:
        """The lines with `Vary`; the arguments are those of `Private.edit`."""
        kept: Lines = []
        said: list[bytes] = []
        for name, line in zip(names, lines, strict=True):
            if name == _VARY:
                said += _split(line)
            else:
                kept.append(line)
        known = {one.lower() for one in said}
        missing = [name for name in self._names if name.lower() not in known]
        if b"*" in known or not missing:
            return lines
        kept.append(b"Vary: " + b", ".join(said + missing))
        return kept


@unique
class Sharing(Enum):
    """What an answer says of shared caches."""

    WANTED = "wanted"  # they are to keep it
    UNSAID = "unsaid"  # some keep it all the same (RFC 9111 §4.2.2)
    FORBIDDEN = "forbidden"


def sharing(names: Sequence[bytes], lines: Sequence[bytes], now_s: float) -> Sharing:
    """What an answer's head says of shared caches.

    `Set-Cookie` keeps none of them from keeping an answer (RFC 9111 §7.3), and then everybody gets that cookie.

    Args:
        names: the lower-case name of each line.
        lines: of the head, as the client gets it.
        now_s: Unix seconds; an answer may say when it ceases to be fresh.
    """
    directives: list[bytes] = []
    fresh = False
    for name, line in zip(names, lines, strict=True):
        if name in _ASIDE or name.endswith(_TARGETED):
            return Sharing.WANTED
        if name == _CONTROL:
            directives += _split(line)
        elif name == b"expires":
            fresh = fresh or _lies_ahead(line.partition(b":")[2].decode("latin-1"), now_s)
    said = {one.partition(b"=")[0].strip().lower(): one.partition(b"=")[2].strip(b' "') for one in directives}
    if _UNDERSTOOD not in said and not _NOT_FOR_SHARED.isdisjoint(said):
        return Sharing.FORBIDDEN
    if b"s-maxage" in said or b"public" in said or said.get(b"max-age", b"0").strip(b"0"):
        return Sharing.WANTED
    return Sharing.WANTED if fresh and not said else Sharing.UNSAID


def _lies_ahead(date: str, now_s: float) -> bool:
    """Whether a date is later than now; one that can't be read is over (RFC 9111 §5.3)."""
    try:
        until = parsedate_tz(date)
        return until is not None and mktime_tz(until) > now_s
    except (ValueError, OverflowError):
        return False  # written as a date is, and in no calendar: a year 99999


def _split(line: bytes) -> list[bytes]:
    found = _DIRECTIVE.findall(line.partition(b":")[2])
    return [directive for one in found if (directive := one.strip())]
