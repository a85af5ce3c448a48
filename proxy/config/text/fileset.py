"""The files of one configuration as one set: names as people see them, contents, and their hashes."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

ENVIRONMENT: Final = "env:"
FLAG_FILES: Final = (".flagd.yaml", ".flagd.json")


@dataclass(frozen=True, slots=True)
class File:
    """One version of a file; `trouble` says why it can't be read, and then there is no content."""

    content: bytes
    hash: str
    trouble: str | None = None

    @classmethod
    def of(cls, content: bytes) -> File:
        """The file with this content."""
        return cls(content, hashlib.sha256(content).hexdigest())

    @classmethod
    def unreadable(cls, trouble: str) -> File:
        """The file that is there but can't be read."""
        return cls(b"", f"unreadable: {trouble}", trouble)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """The files of one configuration.

    Attributes:
        files: by name, relative to the directory of routes.yaml; `env:NAME` for a variable that is used.
        routes: the name of routes.yaml.
        flags: the name of the flags directory.
        has_flags: whether there is a flags directory, even one without files.
        complete: whether routes.yaml could be read, so that what isn't here isn't named or isn't there.
        watch: paths on disk whose change may change this set.
    """

    files: Mapping[str, File]
    routes: str = "routes.yaml"
    flags: str = "flags"
    has_flags: bool = True
    complete: bool = True
    watch: tuple[str, ...] = ()

    @classmethod
    def of(cls, contents: Mapping[str, bytes | str], *, routes: str = "routes.yaml", flags: str = "flags") -> FileSet:
        """A set from contents by name, as if they had been read."""
        files = {name: File.of(text.encode() if isinstance(text, str) else text) for name, text in contents.items()}
        return cls(files=MappingProxyType(dict(sorted(files.items()))), routes=routes, flags=flags)

    def hash_of(self, name: str) -> str | None:
        """The content hash of a file; None when it isn't there."""
        file = self.files.get(name)
        return None if file is None else file.hash

    def with_files(self, changed: Mapping[str, File | None]) -> FileSet:
        """The set with some files in another version, or taken out (None)."""
        kept = {name: file for name, file in self.files.items() if name not in changed}
        added = {name: file for name, file in changed.items() if file is not None}
        return replace(self, files=MappingProxyType(dict(sorted({**kept, **added}.items()))))

    def only(self, names: Iterable[str]) -> FileSet:
        """The set without files that nobody names any more."""
        wanted = set(names)
        return replace(self, files=MappingProxyType({n: f for n, f in self.files.items() if n in wanted}))

    def flag_files(self) -> list[str]:
        """The names of all files in the flags directory."""
        return [name for name in self.files if posixpath.dirname(name) == self.flags]


def normal_name(text: str) -> str:
    """A path as written in a file, without detours: the same file has the same name."""
    return posixpath.normpath(text)


def is_pattern(text: str) -> bool:
    """Whether an include is a pattern, which may match nothing, or names one file."""
    return any(char in text for char in "*?[")


def matches(pattern: str, name: str) -> bool:
    """Whether a name is one that an include means: `*` within a directory, `**/` over any number of them."""
    if not is_pattern(pattern):
        return normal_name(pattern) == name
    expression = ""
    rest = normal_name(pattern)
    while rest:
        if rest.startswith("**/"):
            expression, rest = expression + r"(?:(?!\.)[^/]+/)*", rest[3:]
        elif rest[0] == "*":
            start = r"(?!\.)" if not expression or expression.endswith(("/", ")*")) else ""
            expression, rest = expression + start + "[^/]*", rest.lstrip("*")
        elif rest[0] == "?":
            expression, rest = expression + "[^/]", rest[1:]
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            negated, inner = rest[1] == "!", rest[1:end].removeprefix("!")
            expression += f"[{'^' if negated else ''}{_in_class(inner)}]"
            rest = rest[end + 1 :]
        else:
            expression, rest = expression + re.escape(rest[0]), rest[1:]
    try:
        return re.fullmatch(expression, name) is not None
    except re.error:
        return False


def _in_class(text: str) -> str:
    """The characters of a `[…]`, with what only Python's expressions would see in them taken away."""
    return re.sub(r"([\\\[\]&~|^])", r"\\\1", text)
