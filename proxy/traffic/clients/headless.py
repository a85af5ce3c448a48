"""Clients that are answered though there is no request: its head can't be read, or didn't come, or wasn't waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core.http.badmessage import BadMessage, TooLarge
from proxy.core.limits import Limit
from proxy.core.telling.faults import Fault, Kind, Party, Stage
from proxy.traffic.clients.crowd import Admission
from proxy.traffic.exchanges.refusal import refusal

if TYPE_CHECKING:
    from proxy.traffic.clients.clientends import ClientEnds
    from proxy.traffic.server import Traffic

_MALFORMED: Final = Fault(Party.CLIENT, Stage.HEAD, Kind.MALFORMED)
_TOO_LARGE: Final = Fault(Party.CLIENT, Stage.HEAD, Kind.TOO_LARGE)
_LATE: Final = Fault(Party.CLIENT, Stage.HEAD, Kind.TIMEOUT)
_TOO_MANY: Final = Fault(Party.CLIENT, Stage.CONNECT, Kind.BUSY)


def refuse_head(traffic: Traffic, client: ClientEnds, bad: BadMessage, received: int) -> None:
    """Its head can't be read."""
    if isinstance(bad, TooLarge):
        traffic.telemetry.limit_reached(bad.limit)
        _refuse(traffic, client, _TOO_LARGE, bad.status, bad.why, received)
    else:
        _refuse(traffic, client, _MALFORMED, bad.status, bad.why, received)


def refuse_late(traffic: Traffic, client: ClientEnds, received: int) -> None:
    """Its head didn't come whole in time."""
    traffic.telemetry.limit_reached(Limit.HEAD_TIMEOUT)
    _refuse(traffic, client, _LATE, _LATE.status, "the head did not come in time", received)


def turn_away(traffic: Traffic, client: ClientEnds, admission: Admission) -> None:
    """It is one connection too many of its address."""
    traffic.telemetry.limit_reached(Limit.CONNECTIONS_PER_CLIENT)
    if admission is Admission.RESET:
        traffic.telemetry.fault(_TOO_MANY, None)
        client.cut(reset=True)
    else:
        _refuse(traffic, client, _TOO_MANY, _TOO_MANY.status, "too many connections from one address", 0)


def _refuse(traffic: Traffic, client: ClientEnds, fault: Fault, status: int, why: str, received: int) -> None:
    request_id = traffic.new_request_id()
    page = traffic.wiring.generation.error_page(status)
    answer = refusal(fault, status, request_id=request_id, why=why, close=True, page=page)
    traffic.head_refused(fault, status, request_id, received=received, sent=len(answer))
    client.end(answer)
