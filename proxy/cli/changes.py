"""What `canary` and `freeze` did, as people read it in a terminal. Scripts take `--json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def canary_text(done: dict[str, Any]) -> str:
    """A change that was made: the diff, then what it means."""
    return "\n".join(line for line in (done["diff"], canary_notes(done)) if line)


def canary_notes(done: dict[str, Any]) -> str:
    """What a change means, and who has confirmed it."""
    return "\n".join(_notes(done))


def _notes(done: dict[str, Any]) -> Iterator[str]:
    yield f"{done['area']}: {_says(done['before'])} → {_says(done['after'])}"
    moves = done["moves"]
    if moves is not None:
        about = "" if moves["counted"] else "about "
        yield (
            f"of the register's {moves['accounts']} accounts {about}{moves['to_new']} move to new, "
            f"{about}{moves['to_legacy']} to legacy; new then answers {about}{moves['new']}"
        )
    for note in done["notes"]:
        yield f"note: {note}"
    if done["why_read_only"] is not None:
        yield f"nothing was changed: {done['why_read_only']}; this is the patch, for `patch -p1` beside routes.yaml"
        return
    if done["trouble"]:
        yield f"written, but NOT in force: {done['trouble']}"
        return
    yield from _workers(done)


def reload_text(done: dict[str, Any]) -> str:
    """What came of reading the files."""
    return "\n".join(_reloaded(done))


def _reloaded(done: dict[str, Any]) -> Iterator[str]:
    yield from done["complaints"]
    if done["trouble"]:
        yield f"NOT in force: {done['trouble']}"
        return
    if done["held_back"]:
        yield f"held back, at their last good version: {', '.join(sorted(done['held_back']))}"
    elif done["code"] == 1:
        yield "NOT in force: no plan can be made of the files"
        return
    if not done["changed"]:
        yield (
            "the other files say what was in force already"
            if done["held_back"]
            else "the files say what was in force already"
        )
    yield from _workers(done | {"within_ms": max((one["after_ms"] or 0 for one in done["workers"]), default=0)})


def _workers(done: dict[str, Any]) -> Iterator[str]:
    workers = done["workers"]
    missing = [one for one in workers if not one["confirmed"]]
    serves = f"generation {done['generation']} (plan {done['plan'][:12]})"
    if missing:
        yield f"NOT confirmed: {len(missing)} of {len(workers)} workers don't serve {serves}"
    else:
        yield f"confirmed: {_count(len(workers), 'worker')} {'serves' if len(workers) == 1 else 'serve'} {serves}, after {done['within_ms']:g} ms"
    for one in workers:
        pid = f"pid {one['pid']}" if one["pid"] else "not running"
        said = f"after {one['after_ms']:g} ms" if one["confirmed"] else one["trouble"] or "no answer"
        yield f"  worker {one['slot']} ({pid}): {said}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _says(says: dict[str, Any] | None) -> str:
    if says is None:
        return "legacy (no flag)"
    parts = [f"{says['share_percent']:g} %"]
    if says["everyone"]:
        parts.append("and without an account")
    if says["new"]:
        parts.append(f"and {', '.join(says['new'])}")
    if says["legacy"]:
        parts.append(f"but not {', '.join(says['legacy'])}")
    return ", ".join(parts)


def freeze_text(done: dict[str, Any]) -> str:
    """A freeze, or its end."""
    return "\n".join(_freeze_lines(done))


def _freeze_lines(done: dict[str, Any]) -> Iterator[str]:
    scope = done["area"] if done["segment"] is None else f"{done['area']}, segment {done['segment']}"
    unseen = [one for one in done["workers"] if not one["seen"]]
    count = _count(len(done["workers"]), "worker")
    if done["ended"]:
        yield f"{scope} is no longer frozen ({done['id']})"
    else:
        yield f"{scope} is frozen for {done['left_s']:g} s, until {done['until']} ({done['id']})"
    if done["code"] == 0:
        yield f"confirmed by {count} within {done['within_ms']:g} ms" + (
            "" if done["ended"] else "; no request that may change data is in flight"
        )
    if done["writes"]:
        yield f"NOT still yet: {_count(done['writes'], 'request')} that may change data began before, and go on"
    for one in unseen:
        yield f"NOT confirmed by worker {one['slot']} (pid {one['pid']})"
    if done["tunnels"]:
        yield f"open WebSockets in scope: {done['tunnels']}; they stay open, and what they carry isn't looked at"
    if not done["ended"]:
        end = f"strangler freeze {done['area']}" + ("" if done["segment"] is None else f" --segment {done['segment']}")
        yield f"to end it early: {end} --end --reason …"
