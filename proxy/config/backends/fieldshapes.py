"""Keys of routes.yaml about header fields: what is changed in them, and what they say of the way. Part of `shapes.py`."""

from __future__ import annotations

from typing import Final

from proxy.config.kinds import Key, ListOf, MapOf, OneOf, Shape, Text, YesNo
from proxy.config.quantities import Whole

# -- headers that are set or removed on the way to a backend
HEADERS_SET = Key(
    name="set",
    kind=MapOf(Text("text, `file:PATH` or `env:NAME`"), "header name"),
    meaning="Headers that every request to this backend gets, in place of the client's of that name.",
)
HEADERS_REMOVE = Key(
    name="remove", kind=ListOf(Text("a header name")), meaning="Headers that never reach this backend."
)
HEADERS: Final = Shape("backends.*.headers", (HEADERS_SET, HEADERS_REMOVE), needs_one=True)

# -- and on the way back
ANSWER_HEADERS_SET = Key(
    name="set",
    kind=HEADERS_SET.kind,
    meaning="Headers that every answer of this backend has, in place of its own of that name.",
)
ANSWER_HEADERS_REMOVE = Key(
    name="remove", kind=HEADERS_REMOVE.kind, meaning="Headers of this backend that no client gets."
)
ANSWER_HEADERS: Final = Shape("backends.*.answer_headers", (ANSWER_HEADERS_SET, ANSWER_HEADERS_REMOVE), needs_one=True)

# -- what is told of the way
_TOLD = OneOf(("append", "replace", "off"))


def _told(name: str, default: str, meaning: str) -> Key[str]:
    return Key(name=name, kind=_TOLD, default=f"`{default}`", meaning=meaning)


BELIEVED_FROM = Key(
    name="trusted_from",
    kind=ListOf(Text("an address range such as `10.1.2.3/32`"), may_be_empty=True),
    default="those of `identity`",
    meaning="Peers that are believed when they say where a request came from: balancers, gateways, CDNs.",
)
HOPS = Key(
    name="hops",
    kind=Whole(1, 100),
    default="all",
    meaning="How many of the last addresses that a believed peer lists are kept: as many as there are proxies of yours in front.",
)
X_FOR = _told("x_forwarded_for", "append", "How `X-Forwarded-For` is written.")
X_PROTO = _told("x_forwarded_proto", "append", "How `X-Forwarded-Proto` is written.")
X_HOST = _told("x_forwarded_host", "append", "How `X-Forwarded-Host` is written.")
X_PORT = _told("x_forwarded_port", "off", "How `X-Forwarded-Port` is written: the port that the client asked for.")
FORWARDED = _told("forwarded", "off", "How `Forwarded` (RFC 7239) is written: `for`, `host` and `proto`.")
VIA = Key(
    name="via",
    kind=Text("`off`, or a name"),
    default="`strangler`",
    meaning="The name of this proxy in `Via`; a request that has it already has gone round in a circle, and is 508.",
)
VIA_ANSWERS = Key(name="via_answers", kind=YesNo(), default="`false`", meaning="Whether answers are given a `Via` too.")
FORWARDING: Final = Shape(
    "forwarding", (BELIEVED_FROM, HOPS, X_FOR, X_PROTO, X_HOST, X_PORT, FORWARDED, VIA, VIA_ANSWERS)
)
