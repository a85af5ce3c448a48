"""Read the files of one configuration from disk, as one set. What belongs to it, routes.yaml says."""

from __future__ import annotations

import glob
import os
import posixpath
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Final

from proxy.config.routes.draft import draft_file
from proxy.config.routes.drafts import Roster
from proxy.config.text.cache import Cache
from proxy.config.text.fileset import ENVIRONMENT, File, FileSet, is_pattern, matches, normal_name
from proxy.config.text.regular import open_regular

__all__ = ["File", "FileSet", "read_files"]

LARGEST_FILE_BYTES: Final = 512 * 1024 * 1024
"""A million accounts are 10 to 40 MB; beyond this somebody named the wrong file."""

_LOOKS_LIKE_FLAGS: Final = (".yaml", ".yml", ".json")


def read_files(routes: Path, flags: Path, in_force: FileSet | None = None, cache: Cache | None = None) -> FileSet:
    """Read a configuration from disk.

    Args:
        routes: routes.yaml.
        flags: the directory with flag files.
        in_force: the set that runs; its files are read too, so that they can be judged one by one while
            routes.yaml is broken.
        cache: shared with `compile_files`, spares reading routes.yaml twice.

    Returns:
        The set. Nothing is raised: what isn't there is missing in the set, what can't be read says so.
    """
    cache = cache or Cache()
    base = routes.parent
    reader = _Reader(base)
    watch: list[str] = [str(routes), str(flags)]
    name = routes.name
    reader.read(name)
    waiting = [name]
    complete = True
    while waiting:
        current = waiting.pop(0)
        file = reader.found.get(current)
        if file is None or file.trouble is not None:
            complete = complete and current != name
            continue
        draft = draft_file(current, file, cache, main=current == name)
        complete = complete and (draft.readable or current != name)
        roster = draft.roster if current == name else Roster(files=draft.roster.files)
        for pattern in roster.include:
            included = expand(base, pattern)
            watch.append(str(base / _fixed_part(pattern)))
            waiting += [one for one in included if one not in reader.found]
            reader.read(*included)
        reader.read(*(normal_name(one) for one in roster.files))
        reader.read_environment(roster.environment)
    flags_name = normal_name(os.path.relpath(flags.absolute(), base.absolute()))
    reader.read_flags(flags, flags_name)
    if in_force is not None:
        reader.read(*(one for one in in_force.files if not one.startswith(ENVIRONMENT)))
        reader.read_environment(
            [one.removeprefix(ENVIRONMENT) for one in in_force.files if one.startswith(ENVIRONMENT)]
        )
        complete = True
    watch += [str(base / one) for one in reader.asked if one != name]
    return FileSet(
        files=MappingProxyType(dict(sorted(reader.found.items()))),
        routes=name,
        flags=flags_name,
        has_flags=reader.has_flags,
        complete=complete,
        watch=tuple(dict.fromkeys(watch)),
    )


def expand(base: Path, pattern: str) -> list[str]:
    """The files that an include names, by path."""
    if not is_pattern(pattern):
        return [normal_name(pattern)]
    try:
        found = glob.glob(pattern, root_dir=base, recursive=True)  # noqa: PTH207  pathlib's knows no root_dir
    except ValueError:  # a NUL character, which no path has
        return []
    names = (normal_name(one.replace(os.sep, "/")) for one in found)
    return sorted(one for one in names if matches(pattern, one) and (base / one).is_file())


def _fixed_part(pattern: str) -> str:
    """The directory of a pattern that no wildcard stands in: what has to be watched."""
    parts = posixpath.normpath(pattern).split("/")
    fixed = [part for i, part in enumerate(parts) if not any(is_pattern(before) for before in parts[: i + 1])]
    return "/".join(fixed) or ("/" if pattern.startswith("/") else ".")


class _Reader:
    """Reads each file once."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self.found: dict[str, File] = {}
        self.asked: dict[str, None] = {}
        self.has_flags = True

    def read(self, *names: str) -> None:
        for name in names:
            if name not in self.asked:
                self.asked[name] = None
                self._read(name, self._base / name)

    def read_environment(self, names: Iterable[str]) -> None:
        for name in names:
            value = os.environ.get(name)
            if value is not None:
                self.found[ENVIRONMENT + name] = File.of(value.encode("utf-8", "surrogateescape"))

    def read_flags(self, directory: Path, shown: str) -> None:
        try:
            names = sorted(entry.name for entry in os.scandir(directory) if not entry.name.startswith("."))
        except OSError as error:
            self.has_flags = not isinstance(error, FileNotFoundError)
            if self.has_flags:
                self.found[shown] = File.unreadable(error.strerror or str(error))
            return
        for name in names:
            full = normal_name(f"{shown}/{name}")
            if name.endswith(_LOOKS_LIKE_FLAGS) and full not in self.asked:
                self.asked[full] = None
                self._read(full, directory / name)

    def _read(self, name: str, path: Path) -> None:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        if shown != name:
            # Names go into plans, memory and messages, all of them UTF-8.
            self.found[shown] = File.unreadable("its name isn't UTF-8; rename it")
            return
        try:
            with open_regular(path) as opened:
                content = opened.read(LARGEST_FILE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self.found[name] = File.unreadable(error.strerror or str(error))
            return
        except ValueError:
            self.found[name] = File.unreadable("no path has a NUL character")
            return
        if len(content) > LARGEST_FILE_BYTES:
            self.found[name] = File.unreadable(f"is larger than {LARGEST_FILE_BYTES} bytes")
        else:
            self.found[name] = File.of(content)
