"""The command line: `strangler`, also `python -m proxy`."""

from __future__ import annotations

import click

from proxy.cli.canary import canary
from proxy.cli.check import check
from proxy.cli.demo.command import demo
from proxy.cli.drill import drill
from proxy.cli.explain import explain
from proxy.cli.freeze import freeze
from proxy.cli.journal import journal
from proxy.cli.reload import reload
from proxy.cli.rollback import release, rollback
from proxy.cli.schema import schema
from proxy.cli.serve import serve
from proxy.cli.status import status
from proxy.cli.version import tell_version


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=tell_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Strangler moves a business from an old system to a new one: area by area, account by account, and back at once.

    \b
    Begin with   strangler demo
    then         strangler check    and    strangler serve

    \b
    Exit codes of all commands
      0  done, and confirmed
      1  failed, nothing changed
      2  usage
      3  done, but not confirmed by every worker, or not yet on disk
      5  read-only
    """


for command in (demo, serve, check, explain, status, rollback, release, canary, freeze, drill, reload, journal, schema):
    main.add_command(command)
