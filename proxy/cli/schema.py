"""`strangler schema`."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of routes.yaml.

    Editors complete and check with it while you write.

    \b
    Examples
      strangler schema > routes.schema.json
      # then, as the first line of routes.yaml:
      # yaml-language-server: $schema=routes.schema.json

    \b
    Exit codes: 0 printed.
    """
    import json

    from proxy.config.routes.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
