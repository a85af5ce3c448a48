"""`strangler journal`."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from proxy.cli.options import Failed, json_option, state_option

if TYPE_CHECKING:
    from proxy.control.history.event import Filter, Line
    from proxy.core.layout import StateDir

_EVERY_S: Final = 0.5
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_ACTIONS: Final = (
    "start", "stop", "reload", "rollback", "release", "canary", "freeze", "thaw", "drill", "drilled", "worker", "refused",
)  # fmt: skip # a test holds it against the closed set; importing that here would cost every command its start


@click.command()
@click.option("--since", metavar="AGE|TIME", help="Not before: an age such as 30m, 2h, 7d, or a time in ISO 8601.")
@click.option("--action", "actions", multiple=True, type=click.Choice(_ACTIONS), help="Only these. May be repeated.")
@click.option("--area", help="Only what touches this area; a rollback of everything does.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The last so many.")
@click.option("--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@state_option
@json_option
def journal(
    since: str | None,
    actions: tuple[str, ...],
    area: str | None,
    limit: int,
    state: Path,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Tell who did what, when and why, and when each worker had it.

    Oldest first. The database is read directly: no proxy needs to run. An event that the disk hasn't taken yet is told last, and says so.

    \b
    Examples
      strangler journal --since 2h
      strangler journal --area orders --action rollback --action release
      strangler journal --follow
      strangler journal --json --limit 1000 | jq -r '[.time, .action, .by, .reason] | @tsv'

    \b
    Exit codes: 0 told, 1 the journal can't be read, 2 usage.
    """
    from proxy.control.history.event import Action, Filter
    from proxy.control.history.journalfile import JournalUnusable
    from proxy.core.layout import StateDir

    where = StateDir(state)
    if not state.is_dir():
        raise Failed(f"there is no directory {state.absolute()}; is --state, or STRANGLER_STATE, right?")
    wanted = Filter(
        since_s=None if since is None else _since(since, time.time()),
        actions=tuple(Action(action) for action in actions),
        area=area,
        limit=limit,
    )
    try:
        lines = _read(where, wanted)
        _tell(lines, as_json=as_json)
        if follow:
            _follow(where, wanted, lines, as_json=as_json)
    except JournalUnusable as error:
        raise Failed(str(error)) from error


def _follow(where: StateDir, wanted: Filter, lines: list[Line], *, as_json: bool) -> None:
    """What is new, each event once: told while it waits for the disk, it isn't told again when it has arrived there."""
    import msgspec

    told = {line.event.id for line in lines}
    last = max((line.seq for line in lines), default=0)
    if not last:
        everything = _read(where, msgspec.structs.replace(wanted, since_s=None, actions=(), area=None, limit=1))
        last = max((line.seq for line in everything), default=0)
    while True:
        time.sleep(_EVERY_S)
        lines = _read(where, msgspec.structs.replace(wanted, after_seq=last, limit=None))
        last = max((line.seq for line in lines), default=last)
        _tell([line for line in lines if line.event.id not in told], as_json=as_json)
        told |= {line.event.id for line in lines}


def _read(where: StateDir, wanted: Filter) -> list[Line]:
    from proxy.control.history.journal import pending_lines
    from proxy.control.history.journalfile import read_lines

    return pending_lines(where, read_lines(where.journal, wanted), wanted)


def _tell(lines: list[Line], *, as_json: bool) -> None:
    from proxy.cli.story import as_data, story

    if as_json:
        import msgspec

        for line in lines:
            click.echo(msgspec.json.encode(as_data(line)).decode())
    else:
        for line in lines:
            click.echo(story(line))


def _since(text: str, now_s: float) -> float:
    """Seconds since 1970."""
    import datetime as dt

    age = re.fullmatch(r"(\d+)([smhdw])", text)
    if age is not None:
        return now_s - int(age[1]) * _UNITS_S[age[2]]
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is neither an age such as 30m, 2h or 7d, nor a time such as 2026-03-31T14:05",
            param_hint="--since",
        ) from error
    return moment.timestamp()  # without a zone: the machine's
