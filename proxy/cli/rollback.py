"""`strangler rollback` and `strangler release`. Imports nothing it doesn't need: the whole command takes 0.3 s at most."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from proxy.cli.options import Failed, files_options, json_option, state_option
from proxy.cli.scopes import scope_text

_NOT_SURE: Final = 3
_CONTROL_ANSWERS_WITHIN_S: Final = 4.0  # the workers' 2 s, and the disk's
_SAYS_WITHIN_S: Final = 0.25  # what was done is to be told at once
_LONGEST_REASON: Final = 1000

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def _scope_options(function: FunctionT) -> FunctionT:
    area = click.option("--area", metavar="A", help="One area.")
    segment = click.option("--segment", metavar="S", help="One segment.")
    region = click.option("--region", metavar="R", help="One region; free text.")
    return area(segment(region(function)))


def _reason_option(function: FunctionT) -> FunctionT:
    return click.option(
        "--reason", required=True, metavar="TEXT", help="Why; for the journal and for your colleagues."
    )(function)


@click.command()
@_scope_options
@_reason_option
@files_options
@state_option
@json_option
def rollback(
    area: str | None,
    segment: str | None,
    region: str | None,
    reason: str,
    routes: Path,
    flags: Path,
    state: Path,
    *,
    as_json: bool,
) -> None:
    """Send everything, or what the options name, to legacy: from the next request on.

    Options on one command narrow it (this area, and in it this segment); separate commands add. Nothing lifts it but `strangler release`: no
    edit, no restart. It needs no control process; when that is dead, this command writes the latch itself.

    \b
    Examples
      strangler rollback --reason "errors everywhere"
      strangler rollback --area orders --reason "wrong totals"
      strangler rollback --area orders --segment pilots --region DE --reason "slow in Germany"

    \b
    If even this fails:   touch state/ROLLBACK

    \b
    Exit codes: 0 in force, confirmed by every worker, and on disk; 2 unknown area or segment;
    3 in force, but not confirmed by the workers it names, or not yet on disk;
    1 failed: it says what to try.
    """
    from proxy.control.asking import NotRunning, Refused, ask
    from proxy.core.layout import StateDir

    _check_reason(reason)
    arguments = {"scope": _scope(area, segment, region), "reason": reason}
    place = StateDir(state)
    by_control = True
    try:
        answer = ask(place.control_socket, "rollback", arguments, timeout_s=_CONTROL_ANSWERS_WITHIN_S)
    except NotRunning:
        by_control = False
        answer = _without_control(place, arguments, routes, flags)
    except Refused as error:
        raise Failed(_what_to_try(str(error), place) if error.code == 1 else str(error), error.code) from error
    # Only now: nothing that is merely good to know may hold it up, or keep it from being thrown.
    warm = _legacy_warm(place) if by_control else None
    _show({**answer, "legacy_warm": warm}, as_json=as_json, by_control=by_control)


@click.command()
@click.argument("id", required=False)
@_scope_options
@_reason_option
@state_option
@json_option
def release(
    id: str | None,  # noqa: A002 - the name that --help shows
    area: str | None,
    segment: str | None,
    region: str | None,
    reason: str,
    state: Path,
    *,
    as_json: bool,
) -> None:
    """End one rollback, named by its ID or by exactly its scope; no ID and no option: the one of everything.

    Refused while a wider one stands, which it names. Needs the control process.

    \b
    Examples
      strangler status                                  # what stands, with its ID
      strangler release r17 --reason "fixed in 4.2.1"
      strangler release --area orders --reason "fixed in 4.2.1"

    \b
    Exit codes: 0 released, confirmed by every worker;
    1 not released: no such rollback, a wider one stands, ROLLBACK can't be deleted, or no control;
    3 released, but not confirmed, or not yet on disk.
    """
    from proxy.control.asking import NotRunning, Refused, ask_patiently
    from proxy.core.layout import StateDir

    _check_reason(reason)
    scope = _scope(area, segment, region)
    if id is not None and scope:
        raise click.UsageError("an ID and a scope exclude each other")
    arguments = {"scope": scope, "reason": reason, "id": id}
    try:
        answer = ask_patiently(StateDir(state), "release", arguments)
    except NotRunning as error:
        raise Failed(f"a release needs the control process, and none answers: nothing changed ({error})") from error
    except Refused as error:
        raise Failed(str(error), error.code) from error
    _show(answer, as_json=as_json, by_control=True)


def _legacy_warm(place: Any) -> Any:
    """How much legacy could take back, for whoever threw it to know; None: nobody can say so at once."""
    from proxy.control.asking import NotRunning, Refused, ask

    try:
        return ask(place.control_socket, "warm", {}, timeout_s=_SAYS_WITHIN_S)
    except (NotRunning, Refused):
        return None


def _scope(area: str | None, segment: str | None, region: str | None) -> dict[str, str]:
    given = {"area": area, "segment": segment, "region": region}
    return {key: value for key, value in given.items() if value is not None}


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > _LONGEST_REASON:
        raise click.BadParameter(f"1 to {_LONGEST_REASON} characters", param_hint="--reason")


def _without_control(place: Any, arguments: dict[str, Any], routes: Path, flags: Path) -> Any:
    import msgspec

    from proxy.app.latch import throw_without_control
    from proxy.control.switches.latchfile import CannotWrite
    from proxy.control.switches.rollback import Asked
    from proxy.control.switches.scopes import UnknownName

    if not place.lock.exists():
        raise Failed(
            f"NOT rolled back: no proxy has ever run on {place.root.absolute()}; is --state, or STRANGLER_STATE, right?"
        )
    try:
        return throw_without_control(place, msgspec.convert(arguments, Asked), routes, flags)
    except UnknownName as error:
        raise Failed(str(error), 2) from error
    except (CannotWrite, OSError) as error:
        raise Failed(_what_to_try(str(error), place)) from error


def _what_to_try(why: str, place: Any) -> str:
    return (
        f"NOT rolled back: {why}\n"
        f"  Try    touch {place.rollback}      (everything goes to legacy; works without control)\n"
        f"  then   free space on, or remount, the disk of {place.root}; or point your load balancer at legacy"
    )


def _show(answer: dict[str, Any], *, as_json: bool, by_control: bool) -> None:
    try:
        if not by_control:
            click.echo("control doesn't answer: the latch was written without it", err=True)
        if as_json:
            import msgspec

            click.echo(msgspec.json.format(msgspec.json.encode({**answer, "by_control": by_control})).decode())
        else:
            for line in _lines(answer):
                click.echo(line)
    except OSError:  # nobody listens, or a disk is full: what was done is done, and the exit code says so
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sure = answer["confirmed"] and answer["on_disk"]
    sys.exit(0 if sure else _NOT_SURE)


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    entry = answer["entry"]
    thrown = answer["action"] == "rollback"
    if answer.get("legacy_warm") is not None:
        from proxy.cli.warm import warm_text

        yield warm_text(answer["legacy_warm"])
    for name in answer["not_covered"]:
        yield f"NOT COVERED: {name} (retired: legacy has it no more)"
    for note in answer["notes"]:
        yield f"note: {note}"
    for one in answer["entered"]:
        yield f"entered as {one['id']}: {one['reason']}"
    said = f"{entry['id']}  {answer['covered']}"
    if thrown:
        yield f"rolled back: {said}" + ("  (it was already)" if answer["stood"] else "")
        if answer["stood"]:
            yield f"  by {entry['by']} at {entry['at']}: {entry['reason']}"
    else:
        yield f"released: {said}"
        for one in answer["still"]:
            yield f"  still rolled back: {one['id']}  {scope_text(one['scope'])}: {one['reason']}"
    yield from _worker_lines(answer)
    if not answer["on_disk"]:
        yield f"IN FORCE, NOT YET ON DISK: {answer['trouble']}; control tries again every second"
    if thrown:
        yield f'end it with   strangler release {entry["id"]} --reason "…"'


def _worker_lines(answer: dict[str, Any]) -> Iterator[str]:
    workers = answer["workers"]
    if not workers:
        yield "no worker runs: it holds for those that start"
        return
    had = [one for one in workers if one["ms"] is not None]
    missing = [one for one in workers if one["ms"] is None]
    if had:
        slowest = max(one["ms"] for one in had)
        yield f"confirmed by {len(had)} of {len(workers)} worker{'s' if len(workers) > 1 else ''} in {slowest:g} ms"
    for one in had:
        if one["ended"]:
            yield f"  worker {one['slot']} (pid {one['pid']}) ended; its successor reads the latch before it serves"
    for one in missing:
        yield f"NOT CONFIRMED by worker {one['slot']} (pid {one['pid']}): it may still send requests to new"
    if missing:
        yield "  it is killed once it has stood still for 1 s; see strangler status, or kill -9 it"
