"""Where a request belongs: who asks, from where, and which route is its own. The first half of every decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.deciding.facts import Facts
from proxy.core.deciding.identity import identify
from proxy.core.deciding.path import split_path
from proxy.core.http.badmessage import BadMessage

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Trace
    from proxy.core.deciding.match import LiveRoute, Trie
    from proxy.core.generation import Generation
    from proxy.core.http.message import RequestHead


def place(
    facts: Facts, generation: Generation, head: RequestHead, *, peer_trusted: bool, trace: Trace | None = None
) -> LiveRoute | None:
    """Fill in what is known of a request, and find its route.

    Args:
        facts: filled.
        generation: whose sources, segments and routes are asked.
        head: the request's head, target in origin form.
        peer_trusted: whether identity headers count.
        trace: hears every step.

    Raises:
        BadMessage: the path can be read as belonging to different areas (400).
    """
    facts.generation = generation
    facts.head = head
    facts.peer_trusted = peer_trusted
    facts.area = facts.route_id = facts.visitor = None
    facts.forget_segments()
    facts.host, tries = generation.host_entry(head.host)
    if head.target == b"*":
        tries = ()  # OPTIONS * asks about the server, not about a path (RFC 9110 §9.3.7)
    path, readings = split_path(head.path)
    facts.path = path
    facts.parts = parts = path[1:].split("/")
    identify(facts, generation.account_sources, generation.region_sources, trace)
    route = None
    for trie in tries:
        route = trie.find(path, parts, facts, trace)
        if route is not None:
            facts.area = route.area.name
            facts.route_id = route.id
            break
    if readings:
        _refuse_confusion(facts, tries, route, readings)
    return route


def _refuse_confusion(facts: Facts, tries: tuple[Trie, ...], route: LiveRoute | None, readings: frozenset[str]) -> None:
    """Refuse a path that some backend would take to another area, another `to:`, or another account or region."""
    generation = facts.generation
    meant = _meaning(facts, route)
    for reading in readings:
        other = Facts()
        other.generation = generation
        other.head = facts.head
        other.peer_trusted = facts.peer_trusted
        other.host = facts.host
        other.area = other.route_id = other.visitor = None
        other.forget_segments()
        other.path = reading
        other.parts = parts = reading[1:].split("/")
        identify(other, generation.account_sources, generation.region_sources, None)
        found = None
        for trie in tries:
            found = trie.find(reading, parts, other, None)
            if found is not None:
                break
        if _meaning(other, found) != meant:
            raise BadMessage("the path can be read in more than one way, and the readings don't mean the same")


def _meaning(facts: Facts, route: LiveRoute | None) -> tuple[object, ...]:
    area, to = (None, None) if route is None else (route.area.name, route.to)
    return area, to, facts.standing, facts.account, facts.region
