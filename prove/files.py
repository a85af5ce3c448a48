"""Configuration files of any size, as teams would write them."""

from __future__ import annotations

from pathlib import Path

from prove.plans import ROUTES_AN_AREA, account_names, paths_of


def write_configuration(directory: Path, *, routes: int, accounts: int, url: str, share: int = 25) -> None:
    """A routes.yaml with a flag for every five routes, and a segment list of `accounts` lines.

    Args:
        directory: made if need be.
        routes: how many.
        accounts: how many lines the segment's list has.
        url: both backends.
        share: of every flag, in percent.
    """
    (directory / "flags").mkdir(parents=True, exist_ok=True)
    (directory / "segments").mkdir(exist_ok=True)
    (directory / "segments" / "pilots.txt").write_text("\n".join(account_names(accounts)) + "\n")
    areas = max(1, routes // ROUTES_AN_AREA)
    text = [
        "version: 1",
        "backends:",
        f"  legacy: {{url: {url}}}",
        f"  new: {{url: {url}, headers: {{set: {{X-Config: new}}}}}}",
        "identity:",
        "  trusted_from: [127.0.0.1/32]",
        '  account: ["header:X-Account-Id", "cookie:acct"]',
        "segments:",
        "  pilots: {accounts: segments/pilots.txt}",
        "areas:",
    ]
    for area in range(areas):
        text += [f"  area-{area}:", "    routes:"]
        text += [f'      - {{path: "{path}"}}' for path in paths_of(area)]
    text += ["otherwise: legacy", "cache: off", ""]
    replace(directory / "routes.yaml", "\n".join(text))
    for area in range(areas):
        write_flag(directory, f"area-{area}", share)


def write_flag(directory: Path, key: str, share: int) -> None:
    """A flag in the managed shape, replaced whole as an editor or a deployment does."""
    replace(
        directory / "flags" / f"{key}.flagd.yaml",
        f"flags:\n  {key}:\n    state: ENABLED\n    variants: {{new: new, legacy: legacy}}\n"
        "    defaultVariant: legacy\n    targeting:\n      if:\n"
        "        - {in: [pilots, {var: segments}]}\n        - new\n"
        f"        - fractional: [[new, {share}], [legacy, {100 - share}]]\n",
    )


def replace(path: Path, text: str) -> None:
    """Write a file and move it into place."""
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_text(text)
    fresh.replace(path)
