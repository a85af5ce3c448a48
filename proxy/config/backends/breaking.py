"""When a backend is left alone: the keys of `backends.*.breaker`, and what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.config.kinds import Fields, JsonSchema, Key, ListOf, Shape
from proxy.config.percent import Percent
from proxy.config.quantities import Duration, Whole
from proxy.config.text.nodes import Node, Scalar
from proxy.core.care.reaching import BreakerCare

if TYPE_CHECKING:
    from proxy.config.problems import Report

FAILURES = Key(
    name="failures",
    kind=Percent("a percentage such as `50%`"),
    default="`50%`",
    meaning="The share of the requests that ended in `window` that must have failed: no connection, a cut or silence before the answer. Hystrix and resilience4j 50 %.",
)
LEAST = Key(
    name="least",
    kind=Whole(1, 1_000_000),
    default="`20`",
    meaning="Requests that must have ended in `window`, on one worker. Hystrix 20, resilience4j 100.",
)
WINDOW = Key(name="window", kind=Duration(), default="`10s`", meaning="The time that is looked back on. Hystrix 10 s.")
OPEN = Key(
    name="open",
    kind=Duration(),
    default="`1s`",
    meaning="For how long nobody is let through, a quarter more or less; twice as long each time it opens again soon. Hystrix 5 s, resilience4j 60 s, neither growing.",
)
OPEN_LONGEST = Key(
    name="open_longest",
    kind=Duration(),
    default="`30s`",
    meaning="The longest that it becomes. As `endpoints.left_out_longest`.",
)
TRIALS = Key(
    name="trials",
    kind=Whole(1, 1000),
    default="`3`",
    meaning="Requests that are then let through, and that must all be answered. Hystrix 1, resilience4j 10.",
)
STATUSES = Key(
    name="statuses",
    kind=ListOf(Whole(500, 599)),
    default="none: an answer is an answer",
    meaning="Statuses that count as failures, such as `[503]`.",
)
BREAKER: Final = Shape(
    "backends.*.breaker", (FAILURES, LEAST, WINDOW, OPEN, OPEN_LONGEST, TRIALS, STATUSES), or_else=", or off"
)


class _OrOff:
    """What a breaker is, or `off`."""

    words = "a mapping, see below, or `off`"

    def read(self, node: Node, where: str, report: Report) -> Fields | bool | None:
        """The fields; False: off."""
        if isinstance(node, Scalar) and node.value == "off":
            return False
        return BREAKER.read(node, where, report)

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"const": "off"}, BREAKER.schema()]}


BREAKER_KEY: Key[Fields | bool] = Key(
    name="breaker",
    kind=_OrOff(),
    default="as its keys say",
    meaning="When requests are refused at once, because the system leaves too many of them unanswered.",
)


def draft_breaker(written: Fields | bool | None) -> BreakerCare:  # noqa: FBT001  False is what `off` reads as
    """What was written, and the defaults for the rest."""
    default = BreakerCare()
    if written is None or written is True:
        return default
    if written is False:
        return BreakerCare(share_bp=0)
    return BreakerCare(
        share_bp=max(1, written.get(FAILURES, default.share_bp)),
        least=written.get(LEAST, default.least),
        window_s=written.get(WINDOW, default.window_s),
        first_s=written.get(OPEN, default.first_s),
        longest_s=written.get(OPEN_LONGEST, default.longest_s),
        trials=written.get(TRIALS, default.trials),
        statuses=tuple(sorted(set(written.each(STATUSES)))),
    )
