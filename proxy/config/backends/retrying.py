"""How many retries a backend gets: the keys of `backends.*.retries`, and what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.config.kinds import Key, Shape
from proxy.config.quantities import Duration, Whole
from proxy.core.care.reaching import Retries

if TYPE_CHECKING:
    from proxy.config.kinds import Fields

PERCENT = Key(
    name="percent",
    kind=Whole(0, 100),
    default="`20`",
    meaning="Retries of a hundred requests, on each worker. Finagle, Linkerd, Envoy 20.",
)
PER_SECOND = Key(
    name="per_second",
    kind=Whole(0, 10_000),
    default="`10`",
    meaning="Retries a second that there may be besides. Finagle, Linkerd 10.",
)
OVER = Key(
    name="over",
    kind=Duration(),
    default="`10s`",
    meaning="The time over which both are counted, the last so many seconds. Finagle, Linkerd 10 s.",
)
RETRIES: Final = Shape("backends.*.retries", (PERCENT, PER_SECOND, OVER))
RETRIES_KEY = Key(
    name="retries",
    kind=RETRIES,
    default="as its keys say",
    meaning="How many requests may be sent to another endpoint because one couldn't be reached; more fail at once.",
)


def draft_retries(fields: Fields | None) -> Retries:
    """What was written, and the defaults for the rest."""
    default = Retries()
    if fields is None:
        return default
    return Retries(
        percent=fields.get(PERCENT, default.percent),
        per_second=fields.get(PER_SECOND, default.per_second),
        over_s=fields.get(OVER, default.over_s),
    )
