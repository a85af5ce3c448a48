"""Options that several commands share, and how they fail."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_EFFECTIVE = os.access in os.supports_effective_ids
_BY_ITS_USER = "nothing was done. The user who runs the proxy gives it commands: sudo -u USER … (docs/production.md)"


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


class _StateDirectory(click.Path):
    """A state directory. That of another user is refused here: each command would stumble over it in its own words."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        try:
            about = Path(value).stat()
        except PermissionError as error:
            raise Failed(f"{value}: {error.strerror}; {_BY_ITS_USER}") from error
        except (OSError, ValueError):  # none yet; what click says of it, or the command
            return super().convert(value, param, ctx)
        if stat.S_ISDIR(about.st_mode) and not os.access(value, os.R_OK | os.X_OK, effective_ids=_EFFECTIVE):
            raise Failed(f"{value} belongs to {_name_of(about.st_uid)}; {_BY_ITS_USER}")
        return super().convert(value, param, ctx)


def _name_of(uid: int) -> str:
    import pwd  # here: only who fails needs it

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def state_option(function: FunctionT) -> FunctionT:
    """`--state`: said once for all commands of an installation by the environment, as in the image."""
    return click.option(
        "--state",
        envvar="STRANGLER_STATE",
        show_envvar=True,
        type=_StateDirectory(file_okay=False, path_type=Path, readable=False),
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
