"""Cookies of a request, as the proxy reads them: as text, octets as Latin-1.

Why as text: compiled, a `str` is searched and cut by one call in C, `bytes` by a method that is looked up and reads its arguments,
at five times the price; and most requests carry cookies, several of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.http.message import RequestHead

_BLANKS: Final = " \t"  # of controls a head has only tabs
_MOST_KEPT: Final = (
    128  # a head of 64 KiB full of the shortest ones takes 1.2 MiB, as long as its exchange or span is kept
)


class Crumbs:
    """What stands between the semicolons of Cookie fields: all of it as it came, and beside it the cookies' names.

    Two lists, because an object for each would cost more than cutting it.
    """

    __slots__ = ("has_commas", "names", "texts")

    def __init__(self, texts: list[str], *, has_commas: bool) -> None:
        self.texts = texts
        self.names = [_name_of(text) for text in texts]
        self.has_commas = has_commas


def crumbs_of(head: RequestHead) -> Crumbs:
    """A request's cookies; cut once, for account, visitor, pin and what is kept apart ask one after the other."""
    crumbs = head.crumbs
    if crumbs is None:
        values = head.all(b"cookie")
        crumbs = cut(values[0]) if len(values) == 1 else _cut_all(values)
        if len(crumbs.texts) <= _MOST_KEPT:
            head.crumbs = crumbs
    return crumbs


def cut(value: bytes) -> Crumbs:
    """What one Cookie field consists of."""
    text = value.decode("latin-1")
    return Crumbs(text.split(";"), has_commas="," in text)


def _cut_all(values: Iterable[bytes]) -> Crumbs:
    texts: list[str] = []
    has_commas = False
    for value in values:
        one = value.decode("latin-1")
        texts += one.split(";")
        has_commas = has_commas or "," in one
    return Crumbs(texts, has_commas=has_commas)


def cookie_values(head: RequestHead, name: str) -> list[bytes]:
    """The octets of `cookie_texts`."""
    return [text.encode("latin-1") for text in cookie_texts(head, name)]


def cookie_texts(head: RequestHead, name: str) -> list[str]:
    """Every value of a cookie, trimmed, surrounding quotes removed (RFC 6265 §4.2.1, read leniently).

    Args:
        head: the request's.
        name: the cookie's, its octets as Latin-1: compiled, text is searched and cut at a fifth of what bytes cost.
    """
    crumbs = crumbs_of(head)
    names = crumbs.names
    if name not in names:
        return []
    return [_value_of(crumbs.texts[i]) for i in range(len(names)) if names[i] == name]


def without_cookies(crumbs: Crumbs, names: frozenset[str]) -> str | None:
    """What is left of Cookie fields without the cookies of these names; None when they have none of them.

    A comma separates cookies too: to readers of RFC 2965 it does, and a name that is kept apart must not pass behind one. A
    comma inside such a cookie's value goes with it: left behind, it would join the cookie before.
    """
    if not crumbs.has_commas and names.isdisjoint(crumbs.names):
        return None
    kept: list[str] = []
    found = False
    for i in range(len(crumbs.texts)):
        text = crumbs.texts[i]
        if crumbs.names[i] in names:
            found = True
        elif crumbs.has_commas and "," in text:
            first, *others = text.split(",")
            if _name_of(first) in names:
                found = True
            else:
                passing = [other for other in others if _name_of(other) not in names]
                found = found or len(passing) < len(others)
                kept.append(",".join([first, *passing]))
        else:
            kept.append(text)
    return ";".join(kept).strip(_BLANKS) if found else None


def _name_of(text: str) -> str:
    at = text.find("=")
    start = 1 if text.startswith(" ") else 0  # most have one in front
    return _trimmed(text[start:] if at < 0 else text[start:at])


def _value_of(text: str) -> str:
    at = text.find("=")
    value = "" if at < 0 else _trimmed(text[at + 1 :])
    return value[1:-1] if len(value) > 1 and value.startswith('"') and value.endswith('"') else value


def _trimmed(text: str) -> str:
    return text.strip(_BLANKS) if " " in text or "\t" in text else text


def octets_as_text(name: str) -> str:
    """A cookie's name as `cookie_values` wants it."""
    return name.encode().decode("latin-1")
