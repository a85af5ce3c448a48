"""`strangler status`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from proxy.cli.options import Failed, json_option, state_option

_EVERY_S = 1.0


@click.command()
@state_option
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@json_option
def status(state: Path, *, watch: bool, as_json: bool) -> None:
    """Show areas, shares, workers and complaints.

    With the requests that each system answered since the proxy started. An area's status is derived, never stored: retired, live, live for accounts, canary, custom, legacy.

    \b
    Examples
      strangler status
      strangler status --watch
      strangler status --json | jq -r '.areas[] | [.name, .status] | @tsv'

    \b
    Exit codes: 0 shown, 1 no proxy runs on this state directory.
    """
    import msgspec

    from proxy.cli.render import status_text
    from proxy.control.asking import NotRunning, Refused, ask
    from proxy.core.layout import StateDir

    socket = StateDir(state).control_socket
    while True:
        try:
            report = ask(socket, "status", {})
        except NotRunning as error:
            if not watch:
                raise Failed(
                    f"no proxy runs on {state}, or its control process is being started again ({error})"
                ) from error
            text = f"no answer from {state}; asking again"
        except Refused as error:
            raise Failed(str(error), error.code) from error
        else:
            text = msgspec.json.format(msgspec.json.encode(report)).decode() if as_json else status_text(report)
        if watch and sys.stdout.isatty():
            click.clear()
        click.echo(text)
        if not watch:
            return
        time.sleep(_EVERY_S)
