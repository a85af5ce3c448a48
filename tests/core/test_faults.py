"""A fault names who broke what, and says what the client is told."""

from __future__ import annotations

from proxy.core.model import Backend
from proxy.core.telling.faults import Fault, Kind, Party, Stage, party_of


def test_every_fault_has_a_status_of_the_party_that_broke_it() -> None:
    for party in Party:
        for kind in Kind:
            status = Fault(party, Stage.HEAD, kind).status
            if kind in (Kind.MALFORMED, Kind.TOO_LARGE, Kind.TIMEOUT, Kind.BUSY, Kind.LEFT):
                assert (status < 500) == (party is Party.CLIENT or kind is Kind.LEFT)
            elif kind is Kind.CAPPED:  # neither a defect of who asks nor of who would answer
                assert status == 429
            else:
                assert status >= 500


def test_only_what_reached_no_backend_may_be_tried_elsewhere() -> None:
    assert [stage for stage in Stage if Fault(Party.NEW, stage, Kind.UNREACHABLE).retry_safe] == [Stage.CONNECT]


def test_each_backend_is_a_party_of_its_name() -> None:
    assert [party_of(backend).value for backend in Backend] == [backend.value for backend in Backend]
