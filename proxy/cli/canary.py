"""`strangler canary`."""

from __future__ import annotations

from pathlib import Path

import click

from proxy.cli.options import Failed, json_option, state_option


@click.command()
@click.argument("area")
@click.option("--percent", metavar="P", help="The share of new, 0 to 100, with two decimals at most.")
@click.option(
    "--add-segment", "add", multiple=True, metavar="SEGMENT", help="New answers this segment. May be repeated."
)
@click.option(
    "--remove-segment",
    "remove",
    multiple=True,
    metavar="SEGMENT",
    help="The segment's clause goes; the share decides for its accounts. May be repeated.",
)
@click.option("--everyone", is_flag=True, help="100 %, and new also for requests without an account.")
@click.option("--reason", required=True, help="Why; for the journal.")
@state_option
@json_option
def canary(
    area: str,
    percent: str | None,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    reason: str,
    state: Path,
    *,
    everyone: bool,
    as_json: bool,
) -> None:
    """Move accounts of an area: a segment in or out, a percentage up or down, or everyone.

    Edits the area's flag file, comments kept, and returns once every worker serves it. A flag that is written by hand is refused, with the reason.
    A flag that doesn't exist is made. To go back at once, whatever the files look like, there is `strangler rollback`.

    \b
    Examples
      strangler canary orders --add-segment pilots --reason 'the pilots agreed'
      strangler canary orders --percent 12.5 --reason 'a quiet week'
      strangler canary orders --everyone --reason 'legacy is idle'

    \b
    Exit codes: 0 every worker serves it, 1 refused, nothing changed, 2 usage,
    3 written, but not confirmed by every worker within 30 s,
    5 the files are read-only: the patch is printed.
    """
    from proxy.cli.changes import canary_notes, canary_text
    from proxy.control.asking import NotRunning, Refused, ask_patiently
    from proxy.core.layout import StateDir

    arguments = {
        "area": area,
        "reason": reason,
        "percent": percent,
        "add_segments": add,
        "remove_segments": remove,
        "everyone": everyone,
    }
    try:
        done = ask_patiently(StateDir(state), "canary", arguments)
    except NotRunning as error:
        raise Failed(
            f"nothing was changed: control doesn't answer ({error}). Workers go on as they are; what works without it, at "
            f"once: strangler rollback --area {area} --reason …"
        ) from error
    except Refused as error:
        raise Failed(str(error), error.code) from error
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(done)).decode())
    elif done["why_read_only"] is not None:
        # The patch alone goes to standard output, so that it can be piped into `patch -p1` or `git apply`.
        click.echo(done["diff"], nl=False)
        click.echo(canary_notes(done), err=True)
    else:
        click.echo(canary_text(done))
    if done["code"]:
        raise SystemExit(done["code"])
