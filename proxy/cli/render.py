"""Answers as people read them in a terminal. Scripts take `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from proxy.cli.drilltext import drill_text
from proxy.cli.scopes import scope_text
from proxy.cli.warm import warm_text

_SAID = {
    "retired": "the area no longer exists on legacy",
    "rolled_back": "a rollback covers the request",
    "fixed": "the route says so",
    "otherwise": "no route matches",
    "clause": "a clause of the flag says so",
    "share": "by its share",
    "pinned": "it began there, and stays for a while",
    "default": "the flag's default",
    "disabled": "the flag is switched off",
    "no_flag": "the area's flag doesn't exist",
    "no_default": "no clause answers, and the flag has no default",
    "flag_error": "the flag failed",
    "fallback": "new can't be reached at all",
    "identity_invalid": "who asks can't be read",
}


def explanation_text(one: dict[str, Any]) -> str:
    """A whole decision."""
    return "\n".join(_explanation_lines(one))


def explanation_line(one: dict[str, Any]) -> str:
    """A decision in one line: account, backend, reason, bucket."""
    if one["refused"] is not None:
        return f"{one['account'] or '-'}\trefused\t{one['refused']}"
    bucket = "" if one["bucket"] is None else f"\tbucket {one['bucket']}"
    return f"{one['account'] or '-'}\t{one['backend']}\t{one['reason']}{bucket}"


def _explanation_lines(one: dict[str, Any]) -> Iterator[str]:
    from proxy.core.targeting.flags import (
        bucket_text,  # not at the top: `rollback` takes words from here, and must start fast
    )

    yield _of_what(one)
    yield ""
    yield f"{one['method']} {one['target']}  Host: {one['host'] or '-'}"
    for note in one["notes"]:
        yield f"  {note}"
    yield ""
    width = max((len(step.get("place") or "") for step in one["steps"]), default=0)
    for step in one["steps"]:
        yield f"  {step.get('place') or '':{width}}  {step['what']}: {step['result']}"
    yield ""
    if one["frozen"] is not None:
        yield f"→ 503 for now: {one['frozen']}; without it:"
    if one["drilled"] is not None:
        yield f"→ for now {one['drilled']}; without it:"
    if one["unavailable"] is not None:
        yield f"→ {one['unavailable']}; elsewhere:"
    if one["refused"] is not None:
        yield f"→ refused with {one['refused']}; no backend sees it"
        return
    why = _SAID.get(one["reason"], one["reason"])
    at = one["clause_place"] or (one["route_place"] if one["reason"] in {"fixed", "no_flag"} else None)
    supposed = "" if one["what_if"] is None else "what if: "
    yield f"→ {supposed}{one['backend']}: {why}" + (f" ({at})" if at else "")
    if one["detail"]:
        yield f"  {one['detail']}"
    yield from _facts(
        ("area", one["area"]),
        ("route", one["route"] and f"{one['route']}  {one['route_place']}"),
        ("flag", one["flag"]),
        ("bucket", None if one["bucket"] is None else bucket_text(one["bucket"], one["ramp"])),
        ("account", one["account"] and f"{one['account']} ({one['grade']})"),
        ("visitor", one["visitor"]),
        ("in the log", one["account_in_log"]),
        ("region", one["region"]),
        ("segments", ", ".join(one["segments"])),
        ("fallback", "legacy, if new can't be reached at all" if one["fallback"] else None),
        ("rate", "; ".join(one["rates"])),
        ("sent as", one["sent_target"] if one["sent_target"] != one["target"] else None),
        ("waits", _waits(one["waits"])),
        ("owner", one["owner"]),
        ("runbook", one["runbook"]),
    )


def _waits(waits: dict[str, Any]) -> str:
    """For how long, and whose word it is where it isn't the backend's."""
    silence = f"{waits['timeout_s']:g} s of silence{_of(waits['timeout_of'])}"
    total = "any time" if waits["total_s"] is None else f"{waits['total_s']:g} s"
    return f"{waits['connect_s']:g} s to connect, {silence}, {total} in all{_of(waits['total_of'])}"


def _of(whose: str) -> str:
    return "" if whose == "backend" else f" (as its {whose} says)"


def _of_what(one: dict[str, Any]) -> str:
    """The first line: whose decision it is, or would be."""
    running, plan = one["source"] == "running", f"plan {one['plan'][:12]}"
    what_if = one["what_if"]
    if what_if is None:
        return f"of the running proxy (generation {one['generation']}, {plan})" if running else f"of the files ({plan})"
    return (
        f"what if {what_if['area']} gave {what_if['percent']:g} % to new? (it gives {what_if['now_percent']:g} %; "
        f"nothing is changed) — {'generation ' + str(one['generation']) if running else 'the files'}, {plan}"
    )


def _facts(*facts: tuple[str, str | None]) -> Iterator[str]:
    for name, value in facts:
        if value:
            yield f"  {name:10} {value}"


def status_text(report: dict[str, Any]) -> str:
    """Everything that `status` shows."""
    return "\n".join(_status_lines(report))


def _freeze_lines(freezes: list[dict[str, Any]]) -> Iterator[str]:
    for one in freezes:
        scope = ", ".join(f"{key} {value}" for key, value in one["scope"].items())
        yield f"FROZEN: {scope}, {one['left_s']:g} s left, by {one['by']}: {one['reason']} ({one['id']})"
        if one["writes"] or one["tunnels"] or one["unseen"]:
            unseen = f", not obeyed yet by worker {', '.join(map(str, one['unseen']))}" if one["unseen"] else ""
            yield f"  still in flight: {one['writes']} that may change data, {one['tunnels']} WebSockets{unseen}"


def _latch_lines(latch: dict[str, Any]) -> Iterator[str]:
    """The rollbacks, before anything else: whoever looks during an incident looks for these."""
    for one in latch["rollbacks"]:
        yield f"ROLLED BACK  {one['id']}  {scope_text(one['scope'])}: {one['reason']}, by {one['by']} at {one['at']}"
        if one["plan_lost"]:
            yield "             the plan it was thrown under is lost: it covers everything until it is released"
    if latch["unreadable"]:
        yield f"latch.json can't be read: {latch['unreadable']}"
    if latch["rollbacks"] and latch["rollback_file"]:
        yield "the file ROLLBACK is there; strangler release deletes it"
    if not latch["on_disk"]:
        yield f"the latch is in force, but not on the disk: {latch['trouble']}"


def _status_lines(report: dict[str, Any]) -> Iterator[str]:
    yield from _latch_lines(report["latch"])
    yield from _freeze_lines(report["freezes"])
    if report["drills"]:
        yield from map(drill_text, report["drills"])
    yield f"latch: epoch {report['latch']['epoch']}" + (
        "" if report["latch"]["rollbacks"] else ", nothing is rolled back"
    )
    if report["legacy_warm"] is not None:
        yield warm_text(report["legacy_warm"])
    state = "draining" if report["draining"] else "ready" if report["ready"] else "NOT READY"
    yield (
        f"{state}: traffic on http://{report['listen']}, health and metrics on http://{report['ops']}; "
        f"generation {report['generation']}, plan {report['plan'][:12]}"
    )
    yield ""
    rows = [
        (
            area["name"],
            area["status"],
            _share(area),
            *_requests(area["requests"]),
            _errors(area["errors"]),
            area["owner"] or "",
        )
        for area in report["areas"]
    ]
    counted = (*_requests(report["otherwise_requests"]), _errors(report["otherwise_errors"]))
    rows.append(("otherwise", report["otherwise"], "", *counted, ""))
    yield from _table(("AREA", "STATUS", "SHARE", "LEGACY", "NEW", "ERRORS", "OWNER"), rows, right={2, 3, 4, 5})
    yield ""
    yield from _table(
        ("WORKER", "PID", "GENERATION", "EPOCH", "STARTS"),
        [
            (
                str(worker["slot"]),
                str(worker["pid"] or "-"),
                str(worker["generation"]),
                str(worker["epoch"]),
                str(worker["starts"]),
            )
            for worker in report["workers"]
        ],
        right={1, 2, 3, 4},
    )
    if report["memory_told"]:
        yield report["memory_told"]
    yield ""
    yield from _table(
        ("BACKEND", "IN FLIGHT", "AT MOST", "WAITING", "NO PLACE", "BREAKER"),
        [
            (
                one["name"],
                str(one["in_flight"]),
                str(one["max_in_flight"] or "any"),
                str(one["waiting"]),
                str(one["no_place"]),
                breaker_told(one["breakers"], one["half_open_s"]),
            )
            for one in report["backends"]
        ],
        right={1, 2, 3, 4},
    )
    yield ""
    yield from _table(
        ("BACKEND", "ENDPOINT", "ADDRESS", "PROBES", "WORKERS"),
        [
            (one["backend"], one["url"], one["address"] or "-", one["probes"], _beliefs(one["held_off"]))
            for one in report["endpoints"]
        ],
        right=set(),
    )
    for one in report["backends"]:
        if one["no_retry"]:
            yield f"{one['name']}: {one['no_retry']} requests that couldn't be delivered weren't tried again, for its retries were used up"
    urls = {(one["backend"], one["url"]): one for one in report["endpoints"]}  # of several addresses one will do
    for one in urls.values():
        if one["stale"]:
            then = "its last addresses are kept" if one["address"] else "workers ask the system"
            yield f"{one['backend']} {one['url']}: its host can't be looked up ({one['stale']}); {then}"
    for one in report["endpoints"]:
        if one["why"]:
            where = f"{one['url']} {one['address']}".rstrip()
            yield f"{one['backend']} {where} failed its last probe: {one['why']}"
    for worker in report["workers"]:
        if worker["late"]:
            yield f"ALARM: worker {worker['slot']} has not run what it is told to for over 5 s"
    for worker in report["workers"]:
        if worker["trouble"]:
            yield f"worker {worker['slot']} can't run generation {worker['refused']}: {worker['trouble']}"
    if report["trouble"]:
        yield f"\n{report['trouble']}"
    if report["journal_behind"] is not None:
        behind = report["journal_behind"]
        waiting = "1 event waits" if behind["count"] == 1 else f"{behind['count']} events wait"
        yield f"\nthe journal can't be written, {waiting} in memory: {behind['why']}"
    if report["held_back"]:
        yield "\nheld back, at their last good version:"
        for file in report["held_back"]:
            yield f"  {file}"
    if report["complaints"]:
        yield "\ncomplaints:"
        for one in report["complaints"]:
            place = f"{one['file']}:{one['line']}:{one['column']}" if one["line"] else one["file"]
            where = f"{one['where']}: " if one["where"] else ""
            yield f"  {place}  {where}{'warning: ' if one['severity'] == 'warning' else ''}{one['text']}"
        more = report["complaints_count"] - len(report["complaints"])
        if more:
            yield f"  … and {more} more; see strangler check"


def _beliefs(held_off: dict[str, str]) -> str:
    """What workers believe of an endpoint, those that find nothing wrong left out."""
    return ", ".join(f"{why} (worker {slot})" for slot, why in held_off.items()) or "sound"


def breaker_told(states: dict[str, str], half_open_s: dict[str, int]) -> str:
    """The state of the breaker on workers where it isn't closed; one that is half open waits for requests, however long none comes."""
    waits = {slot: f" for {seconds} s, until requests prove it" for slot, seconds in half_open_s.items()}
    said = (f"{state.replace('_', ' ')}{waits.get(slot, '')} (worker {slot})" for slot, state in states.items())
    return ", ".join(said) or "closed"


def _share(area: dict[str, Any]) -> str:
    return "by hand" if area["share_percent"] is None else f"{area['share_percent']:g} %"


def _requests(by_backend: dict[str, int]) -> tuple[str, str]:
    return str(by_backend.get("legacy", 0)), str(by_backend.get("new", 0))


def _errors(by_backend: dict[str, int]) -> str:
    """Whose they are, unless there are none: `3 of new`."""
    found = [f"{by_backend[backend]} of {backend}" for backend in ("legacy", "new") if by_backend.get(backend)]
    return ", ".join(found) or "0"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: set[int]) -> Iterator[str]:
    lines = [head, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    for line in lines:
        cells = (cell.rjust(widths[at]) if at in right else cell.ljust(widths[at]) for at, cell in enumerate(line))
        yield "  ".join(cells).rstrip()
