"""Who is asking, and where the request belongs: the first source that is present decides.

What isn't there is absent, and the next source is tried. What is there but can't be read is invalid, and the
search ends: falling through to a weaker source would let a client choose who it is by breaking the stronger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, assert_never
from urllib.parse import unquote_to_bytes

from proxy.core.deciding.facts import Facts
from proxy.core.deciding.pattern import Capture, HostPattern, PathPattern, compile_regex, parse_host, parse_path
from proxy.core.http.cookies import cookie_values, octets_as_text
from proxy.core.model import Grade, Standing
from proxy.core.plan import Source

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Trace

LONGEST_IDENTITY_BYTES: Final = 256
"""An identity longer than this is a client playing games, or a token that was put in the wrong place."""


# Kept: with CPython 3.11 asking an enum for a member by name runs Python code, 500 instructions each time.
_ABSENT: Final = Standing.ABSENT
_KNOWN: Final = Standing.KNOWN


class Unreadable(Exception):
    """An identity was claimed that can't be read; says why."""


Read = Callable[[Facts], "str | None"]


class LiveSource:
    """One source, ready to read."""

    __slots__ = ("grade", "read", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.grade = Grade.VERIFIED if source.source in ("header", "account") else Grade.CLAIMED
        self.read = _reader(source)


def identify(facts: Facts, account: Sequence[LiveSource], region: Sequence[LiveSource], trace: Trace | None) -> None:
    """Fill in who asks and from where."""
    facts.account = facts.region = facts.grade = facts.detail = None
    facts.standing = _ABSENT
    try:
        for source in account:
            value = source.read(facts)
            if value is not None:
                facts.account = value
                facts.grade = source.grade
                facts.standing = _KNOWN
                break
        for source in region:
            value = source.read(facts)
            if value is not None:
                facts.region = value
                break
    except Unreadable as error:
        facts.account = facts.grade = None
        facts.standing = Standing.INVALID
        facts.detail = str(error)
    if trace is not None:
        _tell(facts, trace)


def _tell(facts: Facts, trace: Trace) -> None:
    match facts.standing:
        case Standing.KNOWN:
            trace.step(None, "account", f"{facts.account} ({facts.grade})")
        case Standing.ABSENT:
            trace.step(None, "account", "none")
        case Standing.INVALID:
            trace.step(None, "account", f"unknown: {facts.detail}")
    if facts.region is not None:
        trace.step(None, "region", facts.region)


def read_text(raw: bytes, where: str) -> str | None:
    """An identity's text; None when it is empty.

    Raises:
        Unreadable: over 256 bytes, not UTF-8, or with control characters.
    """
    if not raw:
        return None
    if len(raw) > LONGEST_IDENTITY_BYTES:
        raise Unreadable(f"{where} is longer than {LONGEST_IDENTITY_BYTES} bytes")
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        raise Unreadable(f"{where} is not UTF-8") from None
    if not value.isprintable() and any(char < " " or "\x7f" <= char <= "\x9f" for char in value):
        raise Unreadable(f"{where} has control characters")
    return value


def capture_path(pattern: PathPattern, parts: Sequence[str]) -> dict[str, str] | None:
    """The captures of a pattern in a path's parts; None when it doesn't match."""
    expected = pattern.parts
    if len(parts) != len(expected) and not (pattern.tail and len(parts) > len(expected)):
        return None
    captured: dict[str, str] = {}
    for part, given in zip(expected, parts, strict=False):
        if isinstance(part, Capture):
            if not given:
                return None
            captured[part.name] = given
        elif part != given:
            return None
    return captured


def _reader(source: Source) -> Read:
    match source.source:
        case "header":
            return _from_header(source.name)
        case "cookie":
            return _from_cookie(source.name)
        case "path":
            return _from_path(parse_path(source.name))
        case "host":
            return _from_host(parse_host(source.name))
        case "account":
            name = source.name
            return lambda facts: facts.attributes().get(name)
        case _:
            assert_never(source.source)


def _from_header(name: str) -> Read:
    key = name.lower().encode()
    where = f"header {name}"

    def read(facts: Facts) -> str | None:
        if not facts.peer_trusted:
            return None
        value = facts.head.values.get(key)
        if value is None:
            return None
        if facts.head.repeated is not None and key in facts.head.repeated:
            raise Unreadable(f"{where} stands more than once")
        return read_text(value, where)

    return read


def _from_cookie(name: str) -> Read:
    key = octets_as_text(name)
    where = f"cookie {name}"

    def read(facts: Facts) -> str | None:
        if b"cookie" not in facts.head.values:
            return None
        values = cookie_values(facts.head, key)
        if not values:
            return None
        if len(values) > 1 and values.count(values[0]) != len(values):
            raise Unreadable(f"{where} stands more than once, with different values")
        return read_text(values[0], where)

    return read


def _from_path(pattern: PathPattern) -> Read:
    where = f"path {pattern.text}"
    name = pattern.captures[0]
    expression = None if pattern.regex is None else compile_regex(pattern.regex)

    def read(facts: Facts) -> str | None:
        if expression is not None:
            found = expression.fullmatch(facts.path)
            value = None if found is None else found[name]
        else:
            captured = capture_path(pattern, facts.parts)
            value = None if captured is None else captured[name]
        return None if value is None else read_text(unquote_to_bytes(value), where)

    return read


def _from_host(pattern: HostPattern) -> Read:
    where = f"host {pattern.text}"
    at = next(i for i, label in enumerate(pattern.labels) if isinstance(label, Capture))

    def read(facts: Facts) -> str | None:
        labels = facts.host.split(".")
        if len(labels) != len(pattern.labels):
            return None
        if any(
            expected != label for i, (expected, label) in enumerate(zip(pattern.labels, labels, strict=True)) if i != at
        ):
            return None
        return read_text(labels[at].encode(), where)

    return read
