"""The sample configuration: found beside the package in a checkout, inside it when installed, copied for each demo."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

LEGACY_URL: Final = "http://127.0.0.1:8081"
NEW_URL: Final = "http://127.0.0.1:8082"
"""Where the sample says that the two systems are."""

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


def copy_sample(into: Path, *, legacy_url: str, new_url: str) -> None:
    """Copy the sample, with the addresses that the two systems really have. What is already there stays as it is."""
    source = sample_directory()
    into.mkdir(parents=True, exist_ok=True)
    for part in _PARTS:
        if (into / part).exists():
            continue
        if (source / part).is_dir():
            shutil.copytree(source / part, into / part)
        else:
            shutil.copyfile(source / part, into / part)
    routes = into / "routes.yaml"
    text = routes.read_text(encoding="utf-8")
    moved = text.replace(f"url: {LEGACY_URL}\n", f"url: {legacy_url}\n").replace(
        f"url: {NEW_URL}\n", f"url: {new_url}\n"
    )
    if moved != text:
        routes.write_text(moved, encoding="utf-8")
