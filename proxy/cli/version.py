"""`strangler --version`: which one, and whether its traffic path is compiled."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from importlib.util import find_spec

import click


def compiled() -> bool:
    """Whether the modules that every request passes through are C here, as in a wheel made with a C compiler."""
    found = find_spec("proxy.core.http.message")
    return found is not None and str(found.origin).endswith(tuple(EXTENSION_SUFFIXES))


def tell_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  click's signature
    """Print it and end."""
    if wanted and not context.resilient_parsing:
        how = "traffic path compiled" if compiled() else "traffic path in Python; see Install in docs/production.md"
        click.echo(f"strangler {version('strangler')} ({how})")
        context.exit()
