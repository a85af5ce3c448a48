"""`strangler check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy.cli.options import files_options, json_option

if TYPE_CHECKING:
    from proxy.core.plan import Plan


@click.command()
@files_options
@json_option
def check(routes: Path, flags: Path, *, as_json: bool) -> None:
    """Tell every problem of the files at once.

    Each comes with its place and the remedy. Nothing is started and nothing is changed; no proxy needs to run. Warnings don't fail.

    \b
    Examples
      strangler check
      strangler check --routes /etc/strangler/routes.yaml --flags /etc/strangler/flags
      strangler check --json | jq '.complaints[] | select(.severity == "error")'

    \b
    Exit codes: 0 no errors, 1 errors, 2 usage.
    """
    import datetime as dt

    import msgspec

    from proxy.config.compile import compile_files
    from proxy.config.problems import errors
    from proxy.config.text.files import read_files
    from proxy.control.telling.room import memory_here
    from proxy.core.footprint import footprint
    from proxy.core.plan import encode_plan, plan_name

    compiled = compile_files(read_files(routes, flags), today=dt.datetime.now(dt.UTC).date())
    plan = compiled.plan
    count = sum(1 for _ in errors(compiled.complaints))
    if as_json:
        answer = {
            "ok": plan is not None,
            "plan": None if plan is None else plan_name(encode_plan(plan)),
            "memory": None if plan is None else footprint(plan),
            "complaints": [complaint.data() for complaint in compiled.complaints],
        }
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
    else:
        for complaint in compiled.complaints:
            click.echo(str(complaint))
        warnings = len(compiled.complaints) - count
        if plan is None:
            click.echo(f"\n{_counted(count, 'error')}, {_counted(warnings, 'warning')}")
        else:
            counted = (
                _counted(len(plan.areas), "area"),
                _counted(len(plan.routes), "route"),
                _counted(len(plan.segments), "segment"),
                _counted(len(plan.flags), "flag") + _by_hand(plan),
            )
            told = f"; {_counted(warnings, 'warning')}" if warnings else ""
            click.echo(f"{chr(10) if warnings else ''}ok: {', '.join(counted)}{told}")
            memory, here = footprint(plan), memory_here()
            click.echo(f"{'warning: ' if memory.exceeds(here) else ''}{memory.told(here)}")
    sys.exit(0 if plan is not None else 1)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _by_hand(plan: Plan) -> str:
    """Flags that no command edits, by key: a lost line may have made one of them so."""
    keys = [flag.key for flag in plan.flags if flag.enabled and not flag.managed]
    return f" ({len(keys)} written by hand: {', '.join(keys)})" if keys else ""
