"""`strangler freeze`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from proxy.cli.options import Failed, json_option, state_option

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


@click.command()
@click.argument("area")
@click.option("--segment", help="Only requests of this segment in the area.")
@click.option("--for", "for_", metavar="DURATION", help="How long, 1s to 15m; it then ends by itself.")
@click.option(
    "--wait",
    default="30s",
    show_default=True,
    metavar="DURATION",
    help="The longest wait for writes that began before, 50s at most.",
)
@click.option("--end", is_flag=True, help="End the freeze of exactly this scope now.")
@click.option("--reason", required=True, help="Why; for the journal.")
@state_option
@json_option
def freeze(
    area: str,
    segment: str | None,
    for_: str | None,
    wait: str,
    reason: str,
    state: Path,
    *,
    end: bool,
    as_json: bool,
) -> None:
    """Hold up the writes of an area for a moment, so that its data can be moved.

    Every method but GET, HEAD and OPTIONS is answered with 503 and Retry-After, whichever system would answer. Returns once no request that
    may change data is in flight in the scope any more. Ends by itself, even if control is dead. A rollback doesn't end it.

    \b
    Examples
      strangler freeze orders --segment pilots --for 2m --reason 'copy the pilots'
      strangler freeze orders --segment pilots --end --reason 'copied'

    \b
    Exit codes: 0 nothing in scope can change data, 1 refused, nothing changed, 2 usage,
    3 frozen, but writes that began before are still in flight (their number is told).
    """
    from proxy.cli.changes import freeze_text
    from proxy.control.asking import NotRunning, Refused, ask_patiently
    from proxy.core.layout import StateDir

    if end and for_ is not None:
        raise click.UsageError("--for and --end exclude each other")
    if not end and for_ is None:
        raise click.UsageError("say for how long: --for 2m")
    arguments: dict[str, Any] = {"area": area, "reason": reason, "segment": segment, "end": end}
    if for_ is not None:
        arguments["for_s"] = seconds(for_, "--for")
    arguments["wait_s"] = seconds(wait, "--wait")
    if arguments["wait_s"] > 50:
        raise click.BadParameter("50s at most", param_hint="--wait")
    try:
        done = ask_patiently(StateDir(state), "freeze", arguments)
    except NotRunning as error:
        told = (
            "a freeze in force ends by itself, at the time that `status` told"
            if end
            else f"to send the area to legacy instead: strangler rollback --area {area} --reason …"
        )
        raise Failed(f"nothing was changed: control doesn't answer ({error}); {told}") from error
    except Refused as error:
        raise Failed(str(error), error.code) from error
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(done)).decode())
    else:
        click.echo(freeze_text(done))
    if done["code"]:
        raise SystemExit(done["code"])


def seconds(text: str, option: str) -> float:
    """A duration such as `90s` or `2m`, given to an option."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([smh])", text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration; write it as 90s or 2m", param_hint=option)
    return float(found[1]) * _UNITS_S[found[2]]
