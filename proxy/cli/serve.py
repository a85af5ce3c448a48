"""`strangler serve`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from proxy.cli.options import Failed, files_options, state_option


@click.command()
@click.option(
    "--listen",
    default="0.0.0.0:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="Where traffic comes in. Port 0: a free one.",
)
@click.option(
    "--ops",
    default="127.0.0.1:9001",
    show_default=True,
    metavar="HOST:PORT",
    help="Health (/livez, /readyz) and /metrics.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Processes that carry traffic; one per core.",
)
@files_options
@state_option
@click.option(
    "--access-log",
    default="-",
    show_default=True,
    metavar="PATH|-|off",
    help="One JSON line a request. `-` is standard output; SIGUSR1 reopens a file.",
)
@click.option(
    "--drain-delay",
    "drain_delay_s",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="How long it goes on serving, no longer ready, before it stops listening: the balancer's time to notice.",
)
@click.option(
    "--drain",
    "drain_s",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="The longest that requests in flight are waited for at the end.",
)
@click.option("--last-good", is_flag=True, help="Start although files are broken: with their last good versions.")
@click.option(
    "--flags-readonly",
    is_flag=True,
    help="Flags belong to somebody else: `canary` prints the patch, and writes nothing.",
)
def serve(
    listen: str,
    ops: str,
    workers: int,
    routes: Path,
    flags: Path,
    state: Path,
    access_log: str,
    drain_delay_s: float,
    drain_s: float,
    *,
    last_good: bool,
    flags_readonly: bool,
) -> None:
    """Run the proxy.

    Broken files: it tells every problem and does not listen. Later edits of any file are in force between two requests; a broken edit
    changes nothing, and is told once with its place and the remedy. Messages go to standard error; one line there says when it is ready.

    SIGTERM or Ctrl-C: is no longer ready, serves for --drain-delay more, then takes no more connections and ends what was begun, within
    --drain. A second one ends at once.

    \b
    Examples
      strangler serve --listen 127.0.0.1:8080
      strangler serve --workers 4 --access-log /var/log/strangler/access.log
      strangler serve --last-good          # the files are broken, and the shop must open

    \b
    Exit codes: 0 ended by a signal, 2 usage,
    1 did not start: broken files, or the address or state directory is in use.
    """
    from proxy.app.serve import become
    from proxy.supervise.assignment import Settings
    from proxy.supervise.sockets import BadAddress, parse_address

    for option, address in (("--listen", listen), ("--ops", ops)):
        try:
            parse_address(address)
        except BadAddress as error:
            raise click.BadParameter(str(error), param_hint=option) from error
    if workers > 1 and sys.platform == "darwin":
        raise click.BadParameter("macOS doesn't spread connections over sockets: one worker", param_hint="--workers")
    settings = Settings(
        routes=str(routes),
        flags=str(flags),
        state=str(state),
        listen=listen,
        ops=ops,
        workers=workers,
        access_log=access_log,
        last_good=last_good,
        flags_readonly=flags_readonly,
        drain_delay_s=drain_delay_s,
        drain_s=drain_s,
    )
    try:
        become(settings)
    except OSError as error:
        raise Failed(f"the interpreter can't be run: {error}") from error
