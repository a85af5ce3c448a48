"""Options that several commands share, and how they fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def files_options(function: FunctionT) -> FunctionT:
    """`--routes` and `--flags`."""
    routes = click.option(
        "--routes",
        type=click.Path(dir_okay=False, path_type=Path),
        default=Path("routes.yaml"),
        show_default=True,
        help="What belongs together, and who is asking. Paths inside are relative to it.",
    )
    flags = click.option(
        "--flags",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("flags"),
        show_default=True,
        help="The directory of *.flagd.yaml and *.flagd.json: who gets which system.",
    )
    return routes(flags(function))


def state_option(function: FunctionT) -> FunctionT:
    """`--state`: said once for all commands of an installation by the environment, as in the image."""
    return click.option(
        "--state",
        envvar="STRANGLER_STATE",
        show_envvar=True,
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("state"),
        show_default=True,
        help="The state directory of the running proxy, on a local disk.",
    )(function)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts; its keys stay.")


class Failed(click.ClickException):
    """A command that is not done; says why on standard error."""

    def __init__(self, why: str, code: int = 1) -> None:
        super().__init__(why)
        self._code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click's is a constant of the class
        """What the command ends with."""
        return self._code
