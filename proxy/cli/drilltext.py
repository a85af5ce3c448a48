"""Drills, as people read them in a terminal. Scripts take `--json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.cli.scopes import scope_text

_NOTICED = {
    "errors": "over 5 % of the area's requests fail (StranglerAreaFailsOnNew counts from here)",
    "slower": "its slowest twentieth takes twice as long (StranglerNewSlower counts from here)",
    "ejected": "an endpoint would have been left out, for requests it left unanswered",
    "unreachable": "its endpoints would have been held off, as unreachable",
    "breaker": "the breaker would have opened",
}


def drill_text(one: dict[str, Any], thrown: dict[str, Any] | None = None) -> str:
    """A drill, as it stands or as it ended; `thrown` is what its rollback said."""
    return "\n".join(_lines(one, thrown))


def drill_news(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What has happened since it was looked at last."""
    if before["first_hit_s"] is None and now["first_hit_s"] is not None:
        yield f"  {now['first_hit_s']:g} s  the first request met the fault"
    for what, at_s in now["noticed"].items():
        if what not in before["noticed"]:
            yield f"  {at_s:g} s  {_NOTICED.get(what, what)}"
    was, taken = before["rollback"], now["rollback"]
    if taken is not None and (was is None or was["id"] != taken["id"]) and now["fault"] != "rollback":
        yield f"  {taken['at_s']:g} s  {_taken(taken)}"


def _lines(one: dict[str, Any], thrown: dict[str, Any] | None) -> Iterator[str]:
    rehearses = one["fault"] == "rollback"
    what = (
        "a rollback is rehearsed"
        if rehearses
        else f"{one['fault']} of {one['backend']}, {one['share_percent']:g} % of the accounts"
    )
    if one["without_account"]:
        what += ", and requests without one"
    if one["over"]:
        by = "by itself" if one["ended_by"] is None else f"ended by {one['ended_by']}"
        yield f"DRILL OVER {one['id']}  {scope_text(one['scope'])}: {what}; {by}, at {one['until']}"
    else:
        yield f"DRILL {one['id']}  {scope_text(one['scope'])}: {what}; {one['left_s']:g} s left, until {one['until']}"
    for note in one["notes"]:
        yield f"  note: {note}"
    for slot in one["unseen"]:
        yield f"  NOT SEEN by worker {slot}"
    if thrown is not None:
        confirmed = [worker["ms"] for worker in thrown["workers"] if worker["ms"] is not None]
        yield (
            f"  thrown as {thrown['entry']['id']}, confirmed by {len(confirmed)} of {_count(len(thrown['workers']), 'worker')}"
            + (f" in {max(confirmed):g} ms" if confirmed else "")
        )
    yield from _rehearsed(one) if rehearses else _hit(one)
    if not one["over"]:
        yield f"  to end it early: strangler drill --end {one['id']}"


def _hit(one: dict[str, Any]) -> Iterator[str]:
    first_s = one["first_hit_s"]
    if first_s is None:
        yield "  no request has met the fault" + (" yet" if not one["over"] else "")
    else:
        yield f"  {_count(one['hits'], 'request')} met the fault, the first after {first_s:g} s, the last after {one['last_hit_s']:g} s"
    if one["spared"]:
        yield f"  {_count(one['spared'], 'request')} were spared, as too many waited"
    for what, at_s in sorted(one["noticed"].items(), key=lambda item: item[1]):
        yield f"  noticed after {_since(at_s, first_s)}: {_NOTICED.get(what, what)}"
    taken = one["rollback"]
    if one["over"] and not one["noticed"]:
        yield "  no instrument of the proxy's noticed"
    if taken is not None:
        yield f"  after {_since(taken['at_s'], first_s)}: {_taken(taken)}"
    elif one["over"]:
        yield "  nobody rolled back"


def _rehearsed(one: dict[str, Any]) -> Iterator[str]:
    taken = one["rollback"]
    if taken is not None and taken["confirmed_s"] is not None:
        yield f"  every worker obeyed {max(0.0, taken['confirmed_s']):g} s after the drill began"
    if one["answered_by_legacy_s"] is not None:
        yield f"  the first answer of legacy's that it decided: after {one['answered_by_legacy_s']:g} s"
    elif one["over"]:
        yield "  no request came that it decided"
    if one["last_of_new_s"] is not None:
        yield f"  the last answer of new's, to a request that had begun before: after {one['last_of_new_s']:g} s"


def _taken(taken: dict[str, Any]) -> str:
    part = "" if taken["whole"] else " (a part of the scope)"
    obeyed = "not obeyed by every worker yet"
    if taken["confirmed_s"] is not None:
        obeyed = f"obeyed by every worker {max(0.0, taken['confirmed_s'] - taken['at_s']):.3g} s later"
    return f"{taken['by']} rolled back{part}, {taken['id']}, {obeyed}"


def _since(at_s: float, first_s: float | None) -> str:
    return f"{at_s:g} s" if first_s is None else f"{max(0.0, at_s - first_s):.3g} s of it"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
