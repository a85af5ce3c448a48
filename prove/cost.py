"""What a look-up, a flag and a whole decision cost, at 10, 1 000 and 10 000 routes.

One thread's processor time, garbage collection as in a worker (everything frozen), the best of rounds over thousands of
different requests: what the code costs when the machine leaves it alone. Twice: over the same few areas at every size,
which shows whether the algorithm grows; and over all areas in turn, which no traffic does, and which adds what the
processor pays for memory it has not seen lately.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.tables import beside, show
from prove.plans import ROUTES_AN_AREA, generation_of, heads, plan_of
from proxy.core.deciding.decision import Decision, decide
from proxy.core.generation import Generation
from proxy.core.http.message import RequestHead
from proxy.core.switches.covering import NOTHING_ROLLED_BACK

T = TypeVar("T")

_ROUNDS = 15
_REQUESTS = 4_000
_ACCOUNTS = 10_000
_FEW_AREAS = 2
_AIM_US = {"look-up": 2.5, "flag": 4.0, "decision": 8.0}


def main() -> None:
    rows = []
    for routes in (10, 1_000, 10_000):
        generation = generation_of(*plan_of(routes, _ACCOUNTS))
        gc.collect()
        gc.freeze()
        areas = routes // ROUTES_AN_AREA
        for asked, over in (("few", _FEW_AREAS), ("all", areas)):
            if asked == "few" or areas > _FEW_AREAS:
                costs = _costs_us(generation, heads(over, _ACCOUNTS, _REQUESTS))
                rows.append(
                    [
                        f"{routes:,}",
                        asked,
                        *(beside(cost, aim, 2) for cost, aim in zip(costs, _AIM_US.values(), strict=True)),
                    ]
                )
    rows.append(["aim", "", *(f"≤ {aim}" for aim in _AIM_US.values())])
    show("Cost of one request's decision, µs", ["routes", "areas asked", *_AIM_US], rows)


def _costs_us(generation: Generation, requests: list[RequestHead]) -> tuple[float, float, float]:
    """The cost of finding the route, of asking the flag, and of the whole decision."""

    def decision_of(head: RequestHead) -> Decision:
        return decide(generation, head, peer_trusted=True, latch=NOTHING_ROLLED_BACK)

    def look_up(decision: Decision) -> object:
        _, tries = generation.host_entry(decision.head.host)
        return tries[0].find(decision.path, decision.parts, decision, None)

    def ask_flag(decision: Decision) -> object:
        decision._segments.clear()  # noqa: SLF001  else every round would find the first one's answers
        assert decision.route is not None
        assert decision.route.flag is not None
        return decision.route.flag.answer(decision, None)

    decisions = [decision_of(head) for head in requests]
    return _cost_us(look_up, decisions), _cost_us(ask_flag, decisions), _cost_us(decision_of, requests)


def _cost_us(call: Callable[[T], object], over: Sequence[T]) -> float:
    """The best round's time of one call, less the loop's own."""
    rounds = []
    for _ in range(_ROUNDS):
        began_ns = time.thread_time_ns()
        for one in over:
            call(one)
        took_ns = time.thread_time_ns() - began_ns
        began_ns = time.thread_time_ns()
        for one in over:
            _nothing(one)
        took_ns -= time.thread_time_ns() - began_ns
        rounds.append(took_ns / len(over) / 1_000)
    return min(rounds)


def _nothing(_: object) -> None:
    return None


if __name__ == "__main__":
    main()
