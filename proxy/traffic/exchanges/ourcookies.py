"""The cookies that this proxy gives: which answers get one, and what then stands in their heads.

An answer that shared caches are told to keep gets none, or everybody would get one client's cookie from there; another
answer will come. One that says nothing of them is told to be `private` together with the cookie, which no cache that
follows RFC 9111 shares. A 304 gets none either: its fields go into answers that are kept (RFC 9111 §3.2).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from proxy.core.deciding.pins import PIN_COOKIE
from proxy.core.deciding.visitors import VISITOR_COOKIE
from proxy.core.http.caching import Private, Sharing, sharing
from proxy.core.model import Reason, Standing

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.core.generation import Generation
    from proxy.core.http.message import AnswerHead
    from proxy.core.model import Backend

OUR_COOKIES: Final = (VISITOR_COOKIE, PIN_COOKIE)
"""Names that no backend hears, and none may use."""

_NOT_MODIFIED: Final = 304
_ID_BYTES: Final = 16
_ASKED: Final = frozenset({Reason.SHARE, Reason.PINNED, Reason.CLAUSE, Reason.DEFAULT})
"""Reasons of those that an area's flag was asked for: nobody else needs to be known again."""


def our_cookies(generation: Generation) -> OurCookies | None:
    """What gives cookies in a generation; None: nothing does, and no answer needs to be looked at."""
    return None if generation.visitors is None and generation.pins is None else OurCookies(generation)


class OurCookies:
    """Gives cookies in one generation."""

    __slots__ = ("_edited", "_now_s", "_pins", "_said", "_secure", "_visitors")

    def __init__(self, generation: Generation) -> None:
        self._visitors = generation.visitors
        self._pins = generation.pins
        self._now_s = generation.now_s
        # The edge in front ends TLS, where there is one: what people see says whether there is.
        self._secure = (generation.settings.public_origin or "").startswith("https:")
        self._edited: dict[Backend, frozenset[bytes]] = {}  # fields that the operator sets or removes
        self._said: dict[Backend, list[tuple[bytes, bytes]]] = {}  # (name, line), those that are set
        for backend, spec in generation.backends.items():
            names = [*spec.answer_headers_remove, *(name for name, _ in spec.answer_headers_set)]
            self._edited[backend] = frozenset(name.lower().encode() for name in names)
            self._said[backend] = [
                (name.lower().encode(), f"{name}: {value}".encode()) for name, value in spec.answer_headers_set
            ]

    def lines(self, decision: Decision, head: AnswerHead, *, secure: bool) -> bytes:
        """The header lines, each with its CRLF, that an answer gets; none, for most.

        Args:
            decision: of its request.
            head: the backend's.
            secure: whether the client's connection is TLS.
        """
        visitor, pin = self._visitor(decision), self._pin(decision)
        if (visitor is None and pin is None) or head.status == _NOT_MODIFIED:
            return b""
        route = decision.route
        said = Sharing.FORBIDDEN
        if route is None or not isinstance(route.caching, Private):
            said = self._sharing(decision, head)
        if said is Sharing.WANTED:
            return b""
        lines = b"".join([self._line(*one, secure=secure) for one in (visitor, pin) if one is not None])
        return lines + b"Cache-Control: private\r\n" if said is Sharing.UNSAID else lines

    def _visitor(self, decision: Decision) -> tuple[str, str, int] | None:
        """Name, value and seconds of a visitor's cookie, if it is to be given."""
        visitors, visitor = self._visitors, decision.visitor
        if visitors is None or decision.standing is not Standing.ABSENT or decision.reason not in _ASKED:
            return None
        if visitor is not None and not visitor.renew:
            return None
        id_ = secrets.token_hex(_ID_BYTES) if visitor is None else visitor.id
        return VISITOR_COOKIE, visitors.token(id_, self._now_s()), visitors.lasts_s

    def _pin(self, decision: Decision) -> tuple[str, str, int] | None:
        """The same of a pin's."""
        pins, pinning = self._pins, decision.pinning
        if pins is None or pinning is None or pinning.held:
            return None
        if pinning.backend is not decision.backend:
            return None  # a fallback answered: nothing began where the share says
        return PIN_COOKIE, *pins.token(pinning, self._now_s())

    def _sharing(self, decision: Decision, head: AnswerHead) -> Sharing:
        edited, said = self._edited[decision.backend], self._said[decision.backend]
        pairs = [pair for pair in zip(head.names, head.lines, strict=True) if pair[0] not in edited] + said
        return sharing([name for name, _ in pairs], [line for _, line in pairs], self._now_s())

    def _line(self, name: str, value: str, lasts_s: int, *, secure: bool) -> bytes:
        # Lax, not Strict: who follows a link from elsewhere is the same visitor, and must meet the same system.
        ends = "; Secure\r\n" if secure or self._secure else "\r\n"
        return f"Set-Cookie: {name}={value}; Max-Age={lasts_s}; Path=/; HttpOnly; SameSite=Lax{ends}".encode()
