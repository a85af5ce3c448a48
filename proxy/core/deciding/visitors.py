"""Visitors: who comes without an account, and is known again by an id that we gave and signed.

A visitor's id stands in for the account in one place alone: as a flag's `targetingKey`, so that a share holds for whoever
has no account too. It is no account: `account`, segments, the register and routes know nothing of it, and no backend is
told. Somebody's first request has no id; its answer brings one (`proxy.traffic.exchanges.ourcookies`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from proxy.core.deciding.signed import Purpose, Signer, SigningKey, Token
from proxy.core.http.cookies import cookie_texts

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Trace
    from proxy.core.deciding.facts import Facts

VISITOR_COOKIE: Final = "strangler-visitor"

_MOST_READ: Final = 2  # of one name: a neighbour's domain may set a cookie too (RFC 6265 §8.6), but not make us work


class Visitor:
    """A visitor who came back; `renew`: the cookie is to be written anew, with the same id."""

    __slots__ = ("id", "renew")

    def __init__(self, id_: str, *, renew: bool) -> None:
        self.id = id_
        self.renew = renew


class Visitors:
    """Knows visitors again.

    Args:
        keys: that ids are signed with.
        lasts_s: how long an id is known; with less than half of it left it is written anew.
    """

    __slots__ = ("_lasts_s", "_signer")

    def __init__(self, keys: Iterable[SigningKey], lasts_s: int) -> None:
        self._signer = Signer(keys, Purpose.VISITOR)
        self._lasts_s = lasts_s

    @property
    def lasts_s(self) -> int:
        """How long an id is known."""
        return self._lasts_s

    def meet(self, facts: Facts, trace: Trace | None) -> None:
        """Fill in the visitor of a request without an account."""
        now_s = facts.generation.now_s()
        told = "none"
        for raw in cookie_texts(facts.head, VISITOR_COOKIE)[:_MOST_READ]:
            found = self._signer.verify(raw, now_s)
            if isinstance(found, Token):
                renew = found.renew or 2 * (found.until_s - now_s) < self._lasts_s
                facts.visitor = Visitor(found.value, renew=renew)
                told = f"{facts.visitor.id} (verified)"
                break
            told = f"not believed: {found}"
        if trace is not None:
            trace.step(None, "visitor", told)

    def token(self, id_: str, now_s: float) -> str:
        """What the cookie of a visitor holds from now on."""
        return self._signer.sign(id_, int(now_s) + self._lasts_s)
