"""A change of a file as people read it and `patch -p1` applies it: a unified diff."""

from __future__ import annotations

import difflib
import re
from typing import Final

_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")  # not splitlines, which sees line ends that `patch` doesn't


def unified(name: str, before: bytes | None, after: bytes) -> str:
    """The diff.

    Args:
        name: the file's, relative to the directory in which `patch -p1` is run.
        before: None: there is no file yet.
        after: not the same as before.
    """
    lines = difflib.unified_diff(
        _LINE.findall((before or b"").decode()),
        _LINE.findall(after.decode()),
        "/dev/null" if before is None else f"a/{name}",
        f"b/{name}",
        lineterm="\n",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
