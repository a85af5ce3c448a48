"""The sample configuration: found beside the package in a checkout, inside it when installed, copied for each demo."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

_MARKER: Final = ".strangler-demo"
_PARTS: Final = ("routes.yaml", "accounts.csv", "flags", "segments")


def sample_directory() -> Path:
    """Where the sample stands.

    Raises:
        FileNotFoundError: neither an installation nor a checkout is complete.
    """
    here = Path(__file__).resolve()
    for directory in (here.with_name("sample_files"), here.parents[3]):
        if all((directory / part).exists() for part in _PARTS):
            return directory
    raise FileNotFoundError(f"the sample ({', '.join(_PARTS)}) is missing from this installation")


class NotADemo(Exception):
    """A directory holds something else than a demo, which must not be written over. The text says what to do."""


def claim(directory: Path) -> None:
    """Make a directory a demo's own, or find that it is.

    Raises:
        NotADemo: it holds files, and no demo has made them.
    """
    marker = directory / _MARKER
    if marker.exists():
        return
    if directory.exists() and any(directory.iterdir()):
        raise NotADemo(
            f"{directory} is not empty and no demo's: nothing is written there; name a new or an empty directory"
        )
    directory.mkdir(parents=True, exist_ok=True)
    marker.write_text("Made by `strangler demo`, which starts again from what stands here.\n", encoding="utf-8")


def copy_sample(into: Path, *, legacy_url: str, new_url: str) -> None:
    """Copy the sample, with the addresses that the two systems really have. What a demo had there stays as it is.

    Raises:
        NotADemo: somebody else's files are there.
    """
    source = sample_directory()
    claim(into)
    for part in _PARTS:
        if (into / part).exists():
            continue
        if (source / part).is_dir():
            shutil.copytree(source / part, into / part)
        else:
            shutil.copyfile(source / part, into / part)
    routes = into / "routes.yaml"
    text = routes.read_text(encoding="utf-8")
    for system, url in (("legacy", legacy_url), ("new", new_url)):
        text = re.sub(rf"^(  {system}:\n    url: )\S+$", rf"\g<1>{url}", text, flags=re.MULTILINE)
    routes.write_text(text, encoding="utf-8")
