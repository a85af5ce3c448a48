"""Cookies of a request, as the proxy reads them: as text, octets as Latin-1.

Why as text: compiled, a `str` is searched and cut by one call in C, `bytes` by a method that is looked up and reads its arguments,
at five times the price; and most requests carry cookies, several of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.message import RequestHead

_BLANKS: Final = " \t"  # of controls a head has only tabs
_MOST_KEPT: Final = (
    128  # a head of 64 KiB full of the shortest ones takes 1.2 MiB, as long as its exchange or span is kept
)


class Crumb:
    """What stands between two semicolons of a Cookie field: the cookie's name, and all of it as it came."""

    __slots__ = ("name", "text")

    def __init__(self, text: str) -> None:
        self.name = _trimmed(text.partition("=")[0])
        self.text = text


def crumbs_of(head: RequestHead) -> list[Crumb]:
    """A request's cookies; cut once, for account, visitor, pin and what is kept apart ask one after the other."""
    crumbs = head.crumbs
    if crumbs is None:
        crumbs = []
        for value in head.all(b"cookie"):
            crumbs += cut(value)
        if len(crumbs) <= _MOST_KEPT:
            head.crumbs = crumbs
    return crumbs


def cut(value: bytes) -> list[Crumb]:
    """What one Cookie field consists of."""
    return [Crumb(text) for text in value.decode("latin-1").split(";")]


def cookie_values(head: RequestHead, name: str) -> list[bytes]:
    """The octets of `cookie_texts`."""
    return [text.encode("latin-1") for text in cookie_texts(head, name)]


def cookie_texts(head: RequestHead, name: str) -> list[str]:
    """Every value of a cookie, trimmed, surrounding quotes removed (RFC 6265 §4.2.1, read leniently).

    Args:
        head: the request's.
        name: the cookie's, its octets as Latin-1: compiled, text is searched and cut at a fifth of what bytes cost.
    """
    values: list[str] = []
    for crumb in crumbs_of(head):
        if crumb.name == name:
            value = _trimmed(crumb.text.partition("=")[2])
            quoted = len(value) > 1 and value.startswith('"') and value.endswith('"')
            values.append(value[1:-1] if quoted else value)
    return values


def without_cookies(crumbs: Iterable[Crumb], names: frozenset[str]) -> str | None:
    """What is left of a Cookie field without the cookies of these names; None when it has none of them.

    A comma separates cookies too: to readers of RFC 2965 it does, and a name that is kept apart must not pass behind one. A
    comma inside such a cookie's value goes with it: left behind, it would join the cookie before.
    """
    kept: list[str] = []
    found = False
    for crumb in crumbs:
        if crumb.name in names:
            found = True
        elif "," in crumb.text:
            first, *others = crumb.text.split(",")
            if _name_of(first) in names:
                found = True
            else:
                passing = [other for other in others if _name_of(other) not in names]
                found = found or len(passing) < len(others)
                kept.append(",".join([first, *passing]))
        else:
            kept.append(crumb.text)
    return ";".join(kept).strip(_BLANKS) if found else None


def _name_of(crumb: str) -> str:
    return _trimmed(crumb.partition("=")[0])


def _trimmed(text: str) -> str:
    """Without white space around it. Most pieces have one space in front, or none."""
    text = text.removeprefix(" ")
    return text.strip(_BLANKS) if text.startswith(" ") or text.endswith(" ") or "\t" in text else text


def octets_as_text(name: str) -> str:
    """A cookie's name as `cookie_values` wants it."""
    return name.encode().decode("latin-1")
