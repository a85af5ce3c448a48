"""The journal as people read it: one event a paragraph, in the order in which it was written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from proxy.control.history.event import Action, Event, Line

_HASH_SHOWN = 12
# What a canary changed, in the words of its options; scripts read the keys (`as_data`).
_FLAG_SAYS = {
    "share_percent": "share",
    "new": "segments to new",
    "legacy": "segments to legacy",
    "everyone": "without an account too",
}


def story(line: Line, *, zone: dt.tzinfo | None = None) -> str:
    """One event.

    Args:
        line: as it stands in the journal.
        zone: times are shown in it; None: the machine's.
    """
    return "\n".join(_lines(line, zone))


def as_data(line: Line) -> dict[str, Any]:
    """One event for scripts; the keys stay."""
    event = line.event
    return {
        "seq": line.seq,
        "id": event.id,
        "time": _time(event.at_s),
        "action": event.action.value,
        "by": event.by,
        "uid": event.uid,
        "reason": event.reason,
        "scope": event.scope,
        "before": event.before,
        "after": event.after,
        "generation": event.generation,
        "epoch": event.epoch,
        "plan": event.plan,
        "workers": {str(worker): _time(at_s) for worker, at_s in sorted(line.workers.items())},
    }


def _time(at_s: float) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="milliseconds")


def _lines(line: Line, zone: dt.tzinfo | None) -> Iterator[str]:
    event = line.event
    at = dt.datetime.fromtimestamp(event.at_s, dt.UTC).astimezone(zone)
    pending = "" if line.seq else "  (not on the disk yet)"
    yield f"{at:%Y-%m-%d %H:%M:%S %z}  {_what(event)}, by {event.by}{_uid(event)}{pending}"
    if event.reason:
        first, *rest = event.reason.splitlines()
        yield f"    “{first}”" if not rest else f"    {first}"
        yield from (f"    {one}" for one in rest)
    yield from (f"    {one}" for one in _changes(event))
    if (force := _in_force(line)) is not None:
        yield f"    {force}"


def _what(event: Event) -> str:
    scope = event.scope
    match event.action:
        case Action.START:
            return "the proxy started" if scope.get("process") == "proxy" else "control was started again"
        case Action.STOP:
            return "the proxy ended"
        case Action.RELOAD:
            return f"edited: {_listed(scope.get('files', []))}"
        case Action.ROLLBACK:
            return f"rolled back: {_scope(scope)}"
        case Action.RELEASE:
            return f"released: {_scope(scope)}"
        case Action.CANARY:
            return f"canary: {_scope(scope)}"
        case Action.FREEZE:
            return f"frozen: {_scope(scope)}"
        case Action.THAW:
            return f"no longer frozen: {_scope(scope)}"
        case Action.DRILL:
            return f"drill: {_scope(scope)}"
        case Action.DRILLED:
            return f"drill over: {_scope(scope)}"
        case Action.WORKER:
            return f"worker {scope.get('worker')} is another process"
        case Action.REFUSED:
            return f"refused: {_refused(scope)}"


def _refused(scope: dict[str, Any]) -> str:
    if scope.get("process") == "proxy":
        return "to start"
    if "files" in scope:
        return f"the edit of {_listed(scope['files'])}; the last good version stays"
    command = scope.get("command")
    rest = {key: value for key, value in scope.items() if key != "command"}
    return _scope(rest) if command is None else f"{command} {_scope(rest)}"


def _scope(scope: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_shown(value)}" for key, value in scope.items() if value is not None) or "everything"


def _changes(event: Event) -> Iterator[str]:
    """Before → after: areas first, whatever else was written after."""
    before, after = event.before, event.after
    if isinstance(before, dict) and isinstance(after, dict):
        was, now = before.get("areas"), after.get("areas")
        if isinstance(was, dict) and isinstance(now, dict):
            for area in {**was, **now}:
                yield f"{area}: {_from_to(was.get(area), now.get(area))}"
        for key in {**before, **after}:
            if key not in {"areas", "plan", "generation"} and before.get(key) != after.get(key):
                yield f"{_FLAG_SAYS.get(key, key)}: {_from_to(_percent(key, before.get(key)), _percent(key, after.get(key)))}"
    elif isinstance(after, dict):
        facts = [_fact(key, value) for key, value in after.items() if value not in (None, "", [], {})]
        if facts:
            yield ", ".join(facts)
    elif event.action in {Action.ROLLBACK, Action.RELEASE}:
        yield f"in force: {_from_to(before, after)}"
    elif before is not None or after is not None:
        yield _from_to(before, after)


def _fact(key: str, value: Any) -> str:
    return f"{_FLAG_SAYS[key]}: {_shown(_percent(key, value))}" if key in _FLAG_SAYS else f"{key} {_shown(value)}"


def _percent(key: str, value: Any) -> Any:
    return f"{value:g} %" if key == "share_percent" and isinstance(value, float | int) else value


def _from_to(was: Any, now: Any) -> str:
    if was == now:
        return f"{_shown(now)}, changed otherwise"
    return f"{_shown(was)} → {_shown(now)}"


def _shown(value: Any) -> str:
    match value:
        case None:
            return "not there"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return _listed(value)
        case dict():
            return ", ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
        case _:
            return str(value)


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values) or "none"


def _uid(event: Event) -> str:
    return "" if event.uid is None or event.by == f"uid {event.uid}" else f" (uid {event.uid})"


def _in_force(line: Line) -> str | None:
    """Under which number, and when each worker had it."""
    event = line.event
    numbers = [
        *([] if event.generation is None else [f"generation {event.generation}"]),
        *([] if event.plan is None else [f"plan {event.plan[:_HASH_SHOWN]}"]),
        *([] if event.epoch is None else [f"epoch {event.epoch}"]),
    ]
    if not numbers:
        return None
    workers = [f"worker {worker} {_after(at_s - event.at_s)}" for worker, at_s in sorted(line.workers.items())]
    said = "; ".join(workers) if workers else "no worker has confirmed it"
    return f"{', '.join(numbers)}: {said}"


def _after(seconds: float) -> str:
    if seconds < 0:
        return "before it was written down"
    return f"after {seconds * 1000:.0f} ms" if seconds < 10 else f"after {seconds:.0f} s"
