"""The accounts that somebody asks about: a list, or a CSV such as the register."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

_ID: Final = "id"
_LARGEST_BYTES: Final = 64 << 20  # more than a million accounts
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#.*")  # as in the lists that segments name


def read_accounts(path: Path) -> list[str]:
    """The accounts of a file: the column `id` if its first line names one, else one a line, `#` for comments.

    Raises:
        UsageError: it is neither.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} can't be read: {error}") from error
    if len(content) > _LARGEST_BYTES:
        raise click.UsageError(f"{path} is larger than {_LARGEST_BYTES >> 20} MiB; ask about fewer accounts")
    first, _, _ = text.partition("\n")
    columns = [column.strip() for column in next(csv.reader([first]), [])]
    return list(_of_csv(path, text, columns.index(_ID)) if _ID in columns else _of_list(path, text))


def _of_csv(path: Path, text: str, at: int) -> Iterator[str]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        next(rows)
        for row in rows:
            if not row:
                continue
            if len(row) <= at or not row[at].strip():
                raise click.UsageError(f"{path}:{rows.line_num}  has no {_ID}")
            yield row[at].strip()
    except csv.Error as error:
        raise click.UsageError(f"{path}:{rows.line_num}  is no CSV: {error}") from error


def _of_list(path: Path, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        account = _COMMENT.sub("", line).strip()
        if "," in account:
            raise click.UsageError(
                f"{path}:{number}  has a comma: give one account a line, or a CSV whose first line names the columns, "
                f"one of them {_ID}"
            )
        if account:
            yield account
