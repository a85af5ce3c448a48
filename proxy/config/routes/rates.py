"""Rate caps: `rate:` of routes.yaml and of its areas. Part of `shapes.py`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.config.kinds import Fields, JsonSchema, Key, Shape, tell_kind
from proxy.config.problems import quoted
from proxy.config.quantities import OFF, Whole
from proxy.config.routes.drafts import Mentioned
from proxy.config.text.nodes import Node, Scalar
from proxy.core.limits import Rate

if TYPE_CHECKING:
    from proxy.config.problems import Report

_RATE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)/(s|m|h)")
_UNIT_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_PER_S: Final = 1_000_000.0
_MOST: Final = 1_000_000


@dataclass(frozen=True)
class PerTime:
    """A rate such as `50/s` or `300/m`, a second; `off` (0) where `may_be_off`."""

    may_be_off: bool = False

    @property
    def words(self) -> str:
        return "a rate such as `50/s`, `300/m`, `1000/h`" + (", or `off`" if self.may_be_off else "")

    def read(self, node: Node, where: str, report: Report) -> float | None:
        if not isinstance(node, Scalar):
            tell_kind(node, where, report, "a rate such as 50/s")
            return None
        if self.may_be_off and node.text == "off":
            return OFF
        or_off = ", or off" if self.may_be_off else ""
        found = _RATE.fullmatch(node.text)
        if found is None:
            hint = (
                f'; did you mean "{node.text}/s"?' if node.text.isdecimal() else f" such as 50/s, 300/m, 1000/h{or_off}"
            )
            report.tell("bad-rate", node, where, f"{quoted(node.text)} is no rate{hint}")
            return None
        per_s = float(found[1]) / _UNIT_S[found[2]]
        if not 0 < per_s <= _MOST_PER_S:
            report.tell("bad-rate", node, where, f"{quoted(node.text)} is out of range: above 0, to {_MOST}/s{or_off}")
            return None
        return per_s

    def schema(self) -> JsonSchema:
        off = "off|" if self.may_be_off else ""
        return {"type": "string", "pattern": rf"^(?:{off}[0-9]{{1,9}}(?:\.[0-9]{{1,3}})?/(?:s|m|h))$"}


_BURST: Final = Whole(1, _MOST)
_ONE_SECOND: Final = "what comes in a second"

BURST = Key(
    name="burst",
    kind=_BURST,
    default=_ONE_SECOND,
    meaning="Requests that an account may make at once, before `account` counts.",
)
ACCOUNT_RATE = Key(
    name="account",
    kind=PerTime(),
    required=True,
    meaning="Requests of one account, wherever no area says something else: 429 beyond it.",
)
RATE: Final = Shape("rate", (ACCOUNT_RATE, BURST))
RATE_KEY = Key(
    name="rate",
    kind=RATE,
    default="no cap",
    meaning="How many requests an account may make, per node (a worker allows its part).",
)

AREA_ACCOUNT_RATE = Key(
    name="account",
    kind=PerTime(may_be_off=True),
    default="the file's `rate`",
    meaning="Requests of one account to this area: 429 beyond it. Counted apart from those to other areas.",
)
TOTAL_RATE = Key(
    name="total", kind=PerTime(), default="no cap", meaning="Requests to this area, whoever asks: 429 beyond it."
)
TOTAL_BURST = Key(
    name="total_burst", kind=_BURST, default=_ONE_SECOND, meaning="Requests to it at once, before `total` counts."
)
AREA_RATES: Final = Shape("areas.*.rate", (AREA_ACCOUNT_RATE, BURST, TOTAL_RATE, TOTAL_BURST), needs_one=True)
AREA_RATE_KEY = Key(
    name="rate",
    kind=AREA_RATES,
    default="the file's `rate`",
    meaning="How many requests may come to it, of an account and in all, per node (a worker allows its part).",
)


def draft_rate(fields: Fields | None) -> Rate | None:
    """What the file allows an account; None: anything."""
    return None if fields is None else _rate(fields[ACCOUNT_RATE], fields[BURST])


def draft_area_rates(fields: Fields | None, report: Report) -> tuple[Rate | None, Rate | None]:
    """What an area allows an account, and everybody together; None: it doesn't say."""
    if fields is None:
        return None, None
    for burst, rate in ((BURST, AREA_ACCOUNT_RATE), (TOTAL_BURST, TOTAL_RATE)):
        if fields[burst] is not None and not fields.has(rate):
            told = f"the key {quoted(rate.name)} is missing: {burst.name} needs it; write {rate.name}: 50/s beside it"
            report.tell("missing-key", fields.mark, fields.where, told)
    return _rate(fields[AREA_ACCOUNT_RATE], fields[BURST]), _rate(fields[TOTAL_RATE], fields[TOTAL_BURST])


def rated(fields: Fields | None) -> Mentioned | None:
    """Where accounts are capped, in the file or an area; None: they aren't there."""
    if fields is None or not fields[ACCOUNT_RATE]:
        return None
    return Mentioned(name=ACCOUNT_RATE.name, mark=fields.node(ACCOUNT_RATE), where=fields.at(ACCOUNT_RATE))


def _rate(per_s: float | None, burst: int | None) -> Rate | None:
    if per_s is None:
        return None
    return Rate(per_s, burst or max(math.ceil(per_s), 1))
