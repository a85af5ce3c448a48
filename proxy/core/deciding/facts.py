"""What is known of one request: what routes, segments and flags may ask about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from proxy.core.model import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.deciding.visitors import Visitor
    from proxy.core.generation import Generation
    from proxy.core.http.message import RequestHead
    from proxy.core.model import Grade

_attributes = msgspec.json.Decoder(dict[str, str])


class Facts:
    """What is known of a request. Identity and region are filled in once, everything else is read on demand."""

    __slots__ = (
        "_segments",
        "account",  # text; None unless standing is KNOWN
        "area",  # the area's name; None: no route matched (yet)
        "detail",  # for people: what can't be read or went wrong
        "generation",
        "grade",
        "head",
        "host",  # lower-case, without port; empty when the client sent none
        "parts",  # the normal form between its slashes
        "path",  # the normal form
        "peer_trusted",
        "region",
        "route_id",  # AREA/ID, or None
        "standing",
        "visitor",  # who has no account, and came back; None until a flag is asked
    )
    account: str | None
    area: str | None
    detail: str | None
    generation: Generation
    grade: Grade | None
    head: RequestHead
    host: str
    parts: list[str]
    path: str
    peer_trusted: bool
    region: str | None
    route_id: str | None
    standing: Standing
    visitor: Visitor | None
    _segments: dict[str, bool]

    def forget_segments(self) -> None:
        """Nothing is known of segments yet."""
        self._segments = {}

    @property
    def key(self) -> str | None:
        """What a share is decided by: the account, or the visitor's id that stands in for it."""
        if self.account is not None or self.visitor is None:
            return self.account
        return self.visitor.id

    def value(self, name: str) -> Any:
        """The value a flag reads under a name (docs/flags.md lists them); None for an unknown name."""
        reader = _READERS.get(name)
        return None if reader is None else reader(self)

    def in_segment(self, name: str) -> bool:
        """Whether the request belongs to a segment; asked once per request, remembered after."""
        known = self._segments.get(name)
        if known is None:
            segment = self.generation.segments.get(name)
            known = self._segments[name] = segment is not None and segment.holds(self)
        return known

    def attributes(self) -> dict[str, str]:
        """The account's attributes in the register; empty when it isn't there."""
        register = self.generation.register
        if register is None or self.account is None:
            return {}
        found = register.get(self.account.encode())
        return {} if found is None else _attributes.decode(found)


_READERS: dict[str, Callable[[Facts], Any]] = {
    "targetingKey": lambda facts: facts.key,
    "account": lambda facts: facts.account,
    "region": lambda facts: facts.region,
    "segments": lambda facts: [name for name in facts.generation.segments if facts.in_segment(name)],
    "area": lambda facts: facts.area,
    "route": lambda facts: facts.route_id,
    "method": lambda facts: facts.head.method.decode("ascii"),
    "host": lambda facts: facts.host,
    "path": lambda facts: facts.path,
    "claims": lambda facts: {},
    "$flagd": lambda facts: {
        "flagKey": facts.generation.areas[facts.area].flag if facts.area is not None else "",
        "timestamp": int(facts.generation.now_s()),
    },
}
_READERS[""] = lambda facts: {name: reader(facts) for name, reader in _READERS.items() if name}

READABLE = frozenset(name for name in _READERS if name)
"""The names that a flag can read with `var`."""
