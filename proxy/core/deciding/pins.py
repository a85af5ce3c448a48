"""Pins: who began something in an area stays with the system where it began, for as long as the area's `pin` says.

A checkout that changes systems halfway is lost, so raising or lowering a share shall not move those who are in the middle
of one. A pin is kept by the client, in one signed cookie for all areas. It holds against a ramp alone, and only between
its ends: at 0 % nobody is on new and at 100 % everybody is, whatever they carry, or nobody could ever switch a system off.
Whatever else decides (retired, the latch, `to:`, clauses that name a system) never hears of pins.

It isn't prolonged: that would be affinity without an end. And it belongs to an account: one that was made under an
account holds for that account alone, as its users move together; one that was made before anybody signed in goes on
holding afterwards, for that is how a checkout goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.core.deciding.signed import Doubt, Purpose, Signer, SigningKey
from proxy.core.http.cookies import cookie_texts
from proxy.core.model import Backend, Reason
from proxy.core.targeting.ramp import shares_of

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision, Trace
    from proxy.core.plan import Area, Flag

PIN_COOKIE: Final = "strangler-pin"

MOST_PINS: Final = 16
"""In one cookie: those that end first are left out. With names as long as they may be it is 1.3 KiB."""

_MOST_READ: Final = 2  # as `proxy.core.deciding.visitors` has it
_LETTERS: Final = {Backend.NEW: "n", Backend.LEGACY: "l"}
_BACKENDS: Final = {letter: backend for backend, letter in _LETTERS.items()}
_BETWEEN: Final = "~"  # neither it nor a colon stands in a name
_NONE: Final[tuple[tuple[str, str, int], ...]] = ()


class PinnedArea(NamedTuple):
    """An area whose clients are pinned: for how long, and by which clauses' shares."""

    pin_s: int
    ramps: frozenset[str]


class Pinning:
    """What a request that a ramp decides is to be pinned to.

    Attributes:
        area: the area's.
        backend: where the ramp sends it.
        held: it has a pin that holds, so it needs no other.
        others: what else it is pinned to, as (area, backend's letter, Unix seconds).
        subject: whom a pin of it is bound to.
    """

    __slots__ = ("area", "backend", "held", "others", "subject")

    def __init__(self, area: str, backend: Backend, subject: bytes) -> None:
        self.area = area
        self.backend = backend
        self.subject = subject
        self.held = False
        self.others = _NONE


class Pins:
    """The pins of a generation.

    Args:
        keys: that they are signed with.
    """

    __slots__ = ("_areas", "_signer")

    def __init__(self, keys: Iterable[SigningKey]) -> None:
        self._signer = Signer(keys, Purpose.PIN)
        self._areas: dict[str, PinnedArea] = {}

    def watch(self, area: Area, flag: Flag) -> None:
        """Pin clients of an area; only while a generation is built."""
        if area.pin_s is not None and area.name not in self._areas:
            self._areas[area.name] = PinnedArea(max(1, int(area.pin_s)), _ramps_between(flag))

    def hold(self, decision: Decision, trace: Trace | None) -> None:
        """Keep a request that a ramp has decided where it began."""
        area = self._areas.get(decision.area or "")
        if area is None or decision.clause not in area.ramps or decision.area is None:
            return
        subject = b"" if decision.account is None else decision.account.encode()
        decision.pinning = pinning = Pinning(decision.area, decision.backend, subject)
        now_s = decision.generation.now_s()
        doubt = None
        for raw in cookie_texts(decision.head, PIN_COOKIE)[:_MOST_READ]:
            found = self._signer.verify(raw, now_s, subject)
            if isinstance(found, Doubt):
                doubt = found
                continue
            began = _began(pinning, found.value, now_s)
            if began is not None:
                _stay(decision, pinning, *began, trace)
                return
            break
        if trace is not None:
            trace.step(None, f"pin of {decision.area}", "none" if doubt is None else f"not believed: {doubt}")

    def token(self, pinning: Pinning, now_s: float) -> tuple[str, int]:
        """What the cookie holds from now on, and for how many seconds."""
        now = int(now_s)
        own = (pinning.area, _LETTERS[pinning.backend], now + self._areas[pinning.area].pin_s)
        kept = [own, *sorted(pinning.others, key=_until, reverse=True)[: MOST_PINS - 1]]
        until_s = max(map(_until, kept))
        value = _BETWEEN.join([f"{area}:{letter}:{until}" for area, letter, until in kept])
        return self._signer.sign(value, until_s, pinning.subject), until_s - now

    def supposed(self, began: Sequence[tuple[str, Backend]], now_s: float) -> str | None:
        """The cookie of somebody who began there now, by area; None: not all of these areas pin.

        For questions; on the traffic path `hold` and `token` make it.
        """
        (area, backend), *others = began
        if any(name not in self._areas for name, _ in began):
            return None
        pinning = Pinning(area, backend, b"")
        until = [(name, _LETTERS[other], int(now_s) + self._areas[name].pin_s) for name, other in others]
        pinning.others = tuple(until)
        return self.token(pinning, now_s)[0]


def _ramps_between(flag: Flag) -> frozenset[str]:
    """The ids of the clauses whose shares give both systems a part, as far as they are written and not computed."""
    return frozenset(clause.id for clause in flag.clauses if _between(clause.then, flag))


def _between(then: object, flag: Flag) -> bool:
    found = list(shares_of(then))
    for shares in found:
        if shares is None:
            return False
        given = [flag.variants.get(variant) for variant, weight in shares if weight and isinstance(variant, str)]
        if Backend.NEW.value not in given or Backend.LEGACY.value not in given:
            return False
    return bool(found)


def _began(pinning: Pinning, value: str, now_s: float) -> tuple[Backend, int] | None:
    """Where the request's area began, and until when that holds, by a believed cookie; the rest is taken note of."""
    found = None
    others = []
    for one in value.split(_BETWEEN):
        area, letter, text = one.split(":")
        until_s = int(text)
        if until_s <= now_s:
            continue
        if area == pinning.area:
            found = _BACKENDS[letter], until_s
        else:
            others.append((area, letter, until_s))
    pinning.others = tuple(others)
    return found


def _stay(decision: Decision, pinning: Pinning, began: Backend, until_s: int, trace: Trace | None) -> None:
    pinning.held = True
    if trace is not None:
        trace.step(None, f"pin of {decision.area}", f"began at {began}, until {_time(until_s)}: {began}")
    if began is not decision.backend:
        decision.detail = f"began at {began} and stays until {_time(until_s)}; the share says {decision.backend}"
        decision.backend = began
        decision.reason = Reason.PINNED


def _time(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _until(pin: tuple[str, str, int]) -> int:
    return pin[2]
