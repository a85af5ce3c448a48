"""`strangler explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.options import Failed, files_options, json_option, state_option

if TYPE_CHECKING:
    from proxy.core.model import Backend

_BATCH = 1000  # accounts in one request to control


@click.command()
@click.argument("method")
@click.argument("target")
@click.option("--account", help="Who asks; put where the configuration looks for accounts (header, cookie, …).")
@click.option("--region", help="Where the request belongs; put where the configuration looks for regions.")
@click.option(
    "--host", help="The Host header. [default: of TARGET if it is a URL, else of public_origin, else localhost]"
)
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A further header line. May be repeated."
)
@click.option("--cookie", "cookies", multiple=True, metavar="NAME=VALUE", help="A cookie. May be repeated.")
@click.option("--visitor", metavar="ID", help="Who asks without an account, and came back with this id.")
@click.option(
    "--pin",
    "pins",
    multiple=True,
    metavar="AREA=BACKEND",
    help="Where the client began: `legacy` or `new`. May be repeated.",
)
@click.option("--peer", metavar="ADDRESS", help="The IP address that the request comes from.")
@click.option("--percent", metavar="P", help="What if the flag of the request's area gave P % to new?")
@click.option(
    "--accounts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Explain briefly for every account of this file: one a line, or the column `id` of a CSV such as the register.",
)
@click.option("--files", "of_files", is_flag=True, help="Explain the files as they stand, not the running proxy.")
@files_options
@state_option
@json_option
def explain(
    method: str,
    target: str,
    account: str | None,
    region: str | None,
    host: str | None,
    headers: tuple[str, ...],
    cookies: tuple[str, ...],
    visitor: str | None,
    pins: tuple[str, ...],
    peer: str | None,
    percent: str | None,
    accounts: Path | None,
    routes: Path,
    flags: Path,
    state: Path,
    *,
    of_files: bool,
    as_json: bool,
) -> None:
    """Say which system answers a request, and why.

    Clause by clause, with file and line. It is the decision of the running proxy, made by the same code on the plan that its workers serve; with --files, or when
    none runs, of the files. The first line says which.

    \b
    Examples
      strangler explain GET /orders/7 --account acme
      strangler explain GET /orders/7 --account acme --percent 25
      strangler explain POST /api/orders --account acme --region DE --header 'X-Beta: 1'
      strangler explain GET /orders/7 --accounts accounts.txt --json

    \b
    Exit codes: 0 explained, 1 failed (files are broken), 2 usage.
    """
    from proxy.cli.accounts import read_accounts
    from proxy.cli.answers import explanations_of_files, explanations_of_running, with_names_in_log
    from proxy.cli.render import explanation_line, explanation_text
    from proxy.control.asking import NotRunning, Refused
    from proxy.control.telling.explain import parse_percent
    from proxy.control.telling.question import CannotAsk, Question

    if account is not None and accounts is not None:
        raise click.UsageError("--account and --accounts exclude each other")
    try:
        question = Question(
            method=method.upper(),
            target=target,
            host=host,
            headers=tuple(_pair(line, ":", "--header") for line in headers),
            cookies=tuple(_pair(line, "=", "--cookie") for line in cookies),
            account=account,
            region=region,
            visitor=visitor,
            pins=tuple(_began(one) for one in pins),
            peer=peer,
            percent=None if percent is None else parse_percent(percent),
        )
    except ValueError as error:
        raise click.UsageError(f"--percent: {error}") from error
    many = None if accounts is None else read_accounts(accounts)
    found: list[dict[str, Any]] = []
    try:
        if of_files:
            found = explanations_of_files(question, many, routes, flags)
        else:
            try:
                for batch in [many] if many is None else [many[at : at + _BATCH] for at in range(0, len(many), _BATCH)]:
                    found += explanations_of_running(question, batch, state)
            except NotRunning:
                click.echo(f"no proxy runs on {state}: explaining the files", err=True)
                found = explanations_of_files(question, many, routes, flags)
    except (CannotAsk, Refused) as error:
        raise Failed(str(error), getattr(error, "code", 2)) from error
    found = with_names_in_log(found, state)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(found[0] if many is None else found)).decode())
    elif many is None:
        click.echo(explanation_text(found[0]))
    else:
        for one in found:
            click.echo(explanation_line(one))
        of_new = sum(one["backend"] == "new" for one in found)
        click.echo(f"\n{of_new} of {len(found)} account{'' if len(found) == 1 else 's'}: new", err=True)


def _began(text: str) -> tuple[str, Backend]:
    from proxy.core.model import Backend

    area, backend = _pair(text, "=", "--pin")
    if backend not in set(Backend):
        raise click.BadParameter(f"{backend!r} is neither legacy nor new", param_hint="--pin")
    return area, Backend(backend)


def _pair(text: str, mark: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition(mark)
    if not found or not name.strip():
        raise click.BadParameter(f"{text!r} has no {mark!r}", param_hint=option)
    return name.strip(), value.strip()
