"""Cookies of a request, as the proxy reads them: as text, octets as Latin-1.

Why as text: compiled, a `str` is searched and cut by one call in C, `bytes` by a method that is looked up and reads its arguments,
at five times the price; and most requests carry cookies, several of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.message import RequestHead

_BLANKS: Final = " \t"  # of controls a head has only tabs
_MOST_KEPT: Final = (
    128  # a head of 64 KiB full of the shortest ones takes 1.2 MiB, as long as its exchange or span is kept
)


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
    for crumb in _crumbs(head):
        if name not in crumb:
            continue
        key, _, value = crumb.partition("=")
        if _trimmed(key) == name:
            value = _trimmed(value)
            quoted = len(value) > 1 and value.startswith('"') and value.endswith('"')
            values.append(value[1:-1] if quoted else value)
    return values


def _crumbs(head: RequestHead) -> list[str]:
    """What stands between the semicolons; cut once, for account, visitor and pin are asked for one after the other."""
    crumbs = head.crumbs
    if crumbs is None:
        crumbs = []
        for line in head.all(b"cookie"):
            crumbs += line.decode("latin-1").split(";")
        if len(crumbs) <= _MOST_KEPT:
            head.crumbs = crumbs
    return crumbs


def without_cookies(value: str, names: Sequence[str]) -> str | None:
    """A Cookie field's value without the cookies of these names; None when it has none of them.

    A comma separates cookies too: to readers of RFC 2965 it does, and a name that is kept apart must not pass behind one. A
    comma inside such a cookie's value goes with it: left behind, it would join the cookie before.
    """
    if not _any_in(names, value):
        return None
    kept = []
    found = False
    for crumb in value.split(";"):
        if _any_in(names, crumb):
            if _name_of(crumb) in names:
                found = True
                continue
            if "," in crumb:
                first, *others = crumb.split(",")
                passing = [other for other in others if _name_of(other) not in names]
                found = found or len(passing) < len(others)
                kept.append(",".join([first, *passing]))
                continue
        kept.append(crumb)
    return ";".join(kept).strip(_BLANKS) if found else None


def _any_in(names: Sequence[str], text: str) -> bool:
    for name in names:  # noqa: SIM110  compiled, `any` costs twice as much
        if name in text:
            return True
    return False


def _name_of(crumb: str) -> str:
    return _trimmed(crumb.partition("=")[0].partition(",")[0])


def _trimmed(text: str) -> str:
    """Without white space around it. Most pieces have one space in front, or none."""
    text = text.removeprefix(" ")
    return text.strip(_BLANKS) if text.startswith(" ") or text.endswith(" ") or "\t" in text else text


def octets_as_text(name: str) -> str:
    """A cookie's name as `cookie_values` wants it."""
    return name.encode().decode("latin-1")
