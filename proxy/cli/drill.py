"""`strangler drill`."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import click

from proxy.cli.freeze import seconds
from proxy.cli.options import Failed, json_option, state_option

_WORDS: Final = ("rollback", "list")
_LOOK_S: Final = 0.5
_FINAL_WITHIN_S: Final = 5.0  # of a drill's end, as long as control lives
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?) ?%?")


@click.command()
@click.argument("what", required=False)
@click.option("--area", metavar="A", help="One area; the same as naming it first.")
@click.option("--segment", metavar="S", help="One segment; with an area: this segment in it.")
@click.option("--region", metavar="R", help="Only this region.")
@click.option("--fault", metavar="FAULT", help="delay=2s, status=503, reset, refused, slow=1KB (bytes a second).")
@click.option("--share", metavar="P%", help="Of how many of the accounts in scope; always the same ones in one drill.")
@click.option("--without-account", is_flag=True, help="Requests without an account too, each drawn for itself.")
@click.option(
    "--backend",
    type=click.Choice(["new", "legacy"]),
    default="new",
    show_default=True,
    help="The system that seems to have the fault.",
)
@click.option("--for", "for_", metavar="DURATION", help="How long, 1s to 15m; it then ends by itself.")
@click.option("--reason", help="Why; for the journal. Required to begin one.")
@click.option("--detach", is_flag=True, help="Come back once it has begun, instead of when it is over.")
@click.option("--end", is_flag=True, help="End the drill that is named by its ID, or all of them.")
@state_option
@json_option
def drill(what: str | None, state: Path, *, detach: bool, end: bool, as_json: bool, **given: Any) -> None:
    """Let some accounts of an area or segment meet a fault on purpose, or rehearse a rollback; for a bounded time.

    WHAT is an area, `rollback`, or `list`; with --end the ID of a drill. The command shows what happens until the drill is over; Ctrl-C ends it.
    A rollback takes requests out of it at once, and it ends by itself even if control, or this command, is dead.

    \b
    Examples
      strangler drill orders --segment pilots --fault delay=2s --share 5% --for 1m --reason 'game day'
      strangler drill rollback --area orders --for 30s --reason 'game day'
      strangler drill list
      strangler drill --end

    \b
    Exit codes: 0 over (with --detach: every worker has it), 1 refused, nothing changed, 2 usage,
    3 begun or ended, but not seen by every worker.
    """
    place = _Place(state, as_json=as_json)
    if end:
        begins = [name for name in ("area", "segment", "region", "fault", "share", "for_") if given[name] is not None]
        if begins:
            raise click.UsageError("--end takes the ID of a drill, or nothing")
        arguments = {"do": "end", "id": what, "reason": given["reason"] or ""}
        place.show(place.ask(arguments), "no drill is on")
    elif what == "list":
        place.show(place.ask({"do": "list"}), "no drill is on")
    else:
        asked = _beginning(what, given)
        interrupted = threading.Event()
        if not detach:  # before it begins: Ctrl-C must never leave one on that nobody looks at
            signal.signal(signal.SIGINT, lambda *_: _interrupt(interrupted))
        begun = place.ask(asked)
        if detach:
            place.show(begun, "")
            return
        if not as_json:
            place.tell(begun)
        place.follow(begun, interrupted)
        if begun["code"]:
            sys.exit(begun["code"])


def _interrupt(interrupted: threading.Event) -> None:
    """The first Ctrl-C ends the drill, the second the command."""
    interrupted.set()
    signal.signal(signal.SIGINT, signal.default_int_handler)


class _Place:
    """The proxy that is asked, and how answers are shown."""

    def __init__(self, state: Path, *, as_json: bool) -> None:
        self._state = state
        self._as_json = as_json

    def ask(self, arguments: dict[str, Any]) -> dict[str, Any]:
        from proxy.control.asking import NotRunning, Refused, ask_patiently
        from proxy.core.layout import StateDir

        try:
            answer: dict[str, Any] = ask_patiently(StateDir(self._state), "drill", arguments)
        except NotRunning as error:
            told = "drills that are on end by themselves, at the time that was told when they began"
            raise Failed(f"nothing was changed: control doesn't answer ({error}); {told}") from error
        except Refused as error:
            raise Failed(str(error), error.code) from error
        return answer

    def show(self, answer: dict[str, Any], nothing: str) -> None:
        """Show an answer; a failure of its ends the command."""
        import msgspec

        if self._as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
        elif answer["drills"]:
            self.tell(answer)
        else:
            click.echo(nothing)
        if answer["code"]:
            sys.exit(answer["code"])

    @staticmethod
    def tell(answer: dict[str, Any]) -> None:
        """Show an answer to people."""
        from proxy.cli.drilltext import drill_text

        for one in answer["drills"]:
            click.echo(drill_text(one, answer["rollback"]))

    def follow(self, begun: dict[str, Any], interrupted: threading.Event) -> None:
        """Tell what happens until it is over and reported; `interrupted` ends it."""
        from proxy.cli.drilltext import drill_news

        before = begun["drills"][0]
        name = before["id"]
        gives_up_s = time.monotonic() + before["left_s"] + _FINAL_WITHIN_S
        ending = False
        while True:
            if ending:
                time.sleep(_LOOK_S)
            elif interrupted.wait(_LOOK_S):
                ending = True
                click.echo(f"ending {name}", err=True)
                try:
                    self.ask({"do": "end", "id": name, "reason": "Ctrl-C"})
                except Failed as error:  # over already, or control is away: there is still a report to wait for
                    click.echo(error.message, err=True)
            answer = self._look(name)
            if answer is not None:
                now = answer["drills"][0]
                if not self._as_json:
                    for line in drill_news(before, now):
                        click.echo(line)
                before = now
                if answer["final"]:
                    self.show(answer, "")
                    return
            if time.monotonic() > gives_up_s:
                why = "; ".join(before["notes"]) or "control doesn't answer"
                raise Failed(f"{name} has ended by itself, but isn't done with: {why}; see strangler journal", 3)

    def _look(self, name: str) -> dict[str, Any] | None:
        """What is known of a drill; None: control is away for a moment, and started again by itself."""
        from proxy.control.asking import NotRunning, Refused, ask
        from proxy.core.layout import StateDir

        try:
            answer: dict[str, Any] = ask(StateDir(self._state).control_socket, "drill", {"do": "look", "id": name})
        except NotRunning:
            return None
        except Refused as error:
            raise Failed(str(error), error.code) from error
        return answer


def _beginning(what: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """What control is asked to begin."""
    rehearses = what == "rollback"
    area = given["area"]
    if what is not None and what not in _WORDS:
        if area is not None:
            raise click.UsageError("name one area: first, or with --area")
        area = what
    if given["for_"] is None:
        raise click.UsageError("say for how long: --for 60s")
    if not given["reason"]:
        raise click.UsageError("say why: --reason …")
    scope = {"area": area, "segment": given["segment"], "region": given["region"]}
    asked: dict[str, Any] = {
        "do": "begin",
        "scope": {key: value for key, value in scope.items() if value is not None},
        "for_s": seconds(given["for_"], "--for"),
        "reason": given["reason"],
    }
    if rehearses:
        if given["fault"] is not None or given["share"] is not None or given["without_account"]:
            raise click.UsageError("a rollback is rehearsed for its whole scope, and injects no fault")
        return asked
    if given["fault"] is None:
        raise click.UsageError(
            "say what is injected: --fault delay=2s (to rehearse a rollback: strangler drill rollback …)"
        )
    if given["share"] is None:
        raise click.UsageError("say for how many accounts: --share 5%")
    found = _PERCENT.fullmatch(given["share"].strip())
    if found is None:
        raise click.BadParameter(f"{given['share']!r} is no percentage; write it as 5% or 0.25%", param_hint="--share")
    return asked | {
        "fault": given["fault"],
        "share_percent": float(found[1]),
        "without_account": given["without_account"],
        "backend": given["backend"],
    }
