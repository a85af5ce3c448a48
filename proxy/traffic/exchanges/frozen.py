"""What freezes find still in flight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from proxy.core.switches.freeze import freezing, writes
from proxy.traffic.exchanges.tunnel import Tunnel

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.core.switches.freeze import LiveFreeze
    from proxy.traffic.exchanges.ending import Ending
    from proxy.traffic.exchanges.lasting import Lasts


def under_freezes(
    freezes: tuple[LiveFreeze, ...], begun: Iterable[Ending | None], lasting: Iterable[Lasts]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each freeze how many requests in its scope may still change data, since they began before it, and how many tunnels."""
    decisions: list[Decision] = [
        exchange.decision
        for exchange in begun
        if exchange is not None and exchange.decision is not None and writes(exchange.head.method)
    ]
    tunnels = [one.decision for one in lasting if isinstance(one, Tunnel) and one.decision is not None]
    return _counts(freezes, decisions), _counts(freezes, tunnels)


def _counts(freezes: tuple[LiveFreeze, ...], decisions: list[Decision]) -> tuple[int, ...]:
    return tuple(sum(freezing(one, (live,)) is not None for one in decisions) for live in freezes)
