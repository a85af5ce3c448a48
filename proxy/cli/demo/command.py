"""`strangler demo` on the command line."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from proxy.cli.demo.run import Running


@click.command()
@click.option(
    "--in",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the sample here and go on from it next time. [default: a new directory, removed at the end]",
)
@click.option("--port", default=8080, show_default=True, help="The proxy's port. A free one is taken if it isn't.")
def demo(directory: Path | None, port: int) -> None:
    """Two small shops that look different, and the proxy in front of them.

    The same address is answered by the legacy shop for one account and by the new one for another; edit the flags
    and watch accounts move. Ctrl-C ends everything.

    \b
    Exit codes: 0 ended by Ctrl-C, 1 the proxy did not start or ended by
    itself, or --in names a directory that holds something else.
    """
    import asyncio
    import tempfile

    from proxy.cli.demo.run import DemoFailed, Ports, run_demo
    from proxy.cli.demo.sample import NotADemo

    place: AbstractContextManager[str | Path]
    if directory is None:
        place = tempfile.TemporaryDirectory(prefix="strangler-demo-", ignore_cleanup_errors=True)
    else:
        place = nullcontext(directory)
    with place as here:
        at = Path(here).resolve()
        try:
            asyncio.run(
                run_demo(at, Ports(proxy=port), lambda running: click.echo(welcome(running, keep=bool(directory))))
            )
        except (DemoFailed, NotADemo) as failed:
            raise click.ClickException(str(failed)) from failed
    click.echo("\nEnded.")


def welcome(running: Running, *, keep: bool) -> str:
    """What to open and what to try."""
    url, here = running.proxy_url, running.directory
    strangler = _how_to_call()
    return dedent(f"""
        Open    {url}   and switch accounts: acme, northwind, borealis, juniper ...

        Behind it   legacy  {running.legacy_url}
                    new     {running.new_url}
        Beside it   health  {running.ops_url}/readyz
                    metrics {running.ops_url}/metrics

        One address, two systems:
          curl -s -b acct=acme      {url}/api/orders      # legacy
          curl -s -b acct=northwind {url}/api/orders      # new

        Why? In another terminal:
          cd {here}
          {strangler} explain GET /api/orders --account acme
          {strangler} explain GET /api/orders --account northwind
          {strangler} status

        Move more accounts: in flags/orders.flagd.yaml make 25 and 75 into 60 and 40, then reload the page.
        Break the file on purpose: nothing changes, and {running.ops_url}/readyz tells the line.

        Ctrl-C ends everything{"." if keep else f" and removes {here}."}
        """)


def _how_to_call() -> str:
    """`strangler` if that is what the shell finds, else the way this very command was called."""
    import shutil

    called = Path(sys.argv[0]).resolve()
    on_path = shutil.which("strangler")
    if on_path is not None and Path(on_path).resolve() == called:
        return "strangler"
    return str(called) if called.name == "strangler" else f"{sys.executable} -m proxy"
