"""`strangler reload`."""

from __future__ import annotations

from pathlib import Path

import click

from proxy.cli.options import Failed, json_option, state_option


@click.command()
@state_option
@json_option
def reload(state: Path, *, as_json: bool) -> None:
    """Read the files now, and tell what came of it.

    Edits are taken by themselves as soon as the files are quiet; this doesn't wait for that, comes back once every worker serves what was
    read, and fails when a file is broken. SIGHUP to `strangler serve` does the same and tells the log.

    \b
    Examples
      strangler reload
      git pull && strangler reload        # a deployment that fails when the files are broken

    \b
    Exit codes: 0 every worker serves what the files say,
    1 a file is broken and stays at its last good version (others may be in force), or no proxy
    runs, 2 usage, 3 in force, but not confirmed by every worker within 30 s.
    """
    import msgspec

    from proxy.cli.changes import reload_text
    from proxy.control.asking import NotRunning, Refused, ask
    from proxy.core.layout import StateDir

    try:
        done = ask(StateDir(state).control_socket, "reload", {})
    except NotRunning as error:
        raise Failed(
            f"nothing was read: no proxy runs on {state}, or its control process is being started again, which reads the files ({error})"
        ) from error
    except Refused as error:
        raise Failed(str(error), error.code) from error
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(done)).decode())
    else:
        click.echo(reload_text(done), err=bool(done["code"]))
    if done["code"]:
        raise SystemExit(done["code"])
