"""Path and host patterns as people write them, and the templates of rewrites."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import re2

from proxy.core.deciding.path import normal_path

_CAPTURE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HOST_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
REGEX: Final = "regex:"


class PatternError(ValueError):
    """A pattern that can't be understood; `offset` counts characters from the pattern's start."""

    def __init__(self, why: str, offset: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Capture:
    """`{name}`: one segment, not empty."""

    name: str


Part = str | Capture


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    """A path pattern.

    Attributes:
        parts: what stands between the slashes, literals in normal form; empty for a `regex:` pattern.
        tail: whether it ends in `/**`, which is nothing or everything from its slash on.
        regex: the expression of a `regex:` pattern, matched in full against the normal form.
        captures: the names that a rewrite may use.
    """

    text: str
    parts: tuple[Part, ...] = ()
    tail: bool = False
    regex: str | None = None
    captures: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[str | None, ...] | str:
        """Equal for patterns that match the same paths: captures count as None, whatever their names."""
        if self.regex is not None:
            return self.regex
        return (*(part if isinstance(part, str) else None for part in self.parts), "**" if self.tail else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPattern:
    """A host pattern for identity: labels, one of which may be a capture."""

    text: str
    labels: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a rewrite makes: parts between slashes, and the tail of the pattern when it ends in `/**`."""

    text: str
    parts: tuple[Part, ...]
    tail: bool


def parse_path(text: str) -> PathPattern:
    """Read a path pattern.

    Raises:
        PatternError: saying what is wrong, and where.
    """
    if text.startswith(REGEX):
        expression = text[len(REGEX) :]
        return PathPattern(text=text, regex=expression, captures=tuple(compile_regex(expression).groupindex))
    parts, tail, captures = _parse_parts(text)
    literals = tuple(part if isinstance(part, Capture) else normal_path("/" + part)[1:] for part in parts)
    return PathPattern(text=text, parts=literals, tail=tail, captures=captures)


def compile_regex(expression: str) -> re2._Regexp[str]:
    """Compile with RE2, whose matching time is linear in the input.

    Raises:
        PatternError: RE2 refuses the expression.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        why = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise PatternError(f"RE2 refuses the expression: {why}", len(REGEX)) from error


def parse_rewrite(text: str, pattern: PathPattern) -> Template:
    """Read the template of a rewrite for `pattern`.

    Raises:
        PatternError: it is malformed, or names a capture that the pattern doesn't have.
    """
    if text.startswith(REGEX):
        raise PatternError("a rewrite is a path, not an expression")
    parts, tail, captures = _parse_parts(text)
    for name in captures:
        if name not in pattern.captures:
            known = ", ".join(f"{{{known}}}" for known in pattern.captures) or "none"
            raise PatternError(f"the path has no capture {{{name}}}; it has: {known}", text.index("{" + name + "}"))
    if tail and not pattern.tail:
        raise PatternError("the path has no ** that the rewrite could repeat", text.index("**"))
    return Template(text=text, parts=parts, tail=tail)


def parse_host(text: str) -> HostPattern:
    """Read a host pattern with one capture (`{account}.shop.example`).

    Raises:
        PatternError: it is malformed.
    """
    labels: list[Part] = []
    offset = 0
    for label in text.lower().split("."):
        found = _CAPTURE.fullmatch(label)
        if found is not None:
            labels.append(Capture(found[1]))
        elif _HOST_LABEL.fullmatch(label) is not None:
            labels.append(label)
        else:
            raise PatternError(f'"{label}" is not a host label', offset)
        offset += len(label) + 1
    return HostPattern(text=text, labels=tuple(labels))


def check_route_host(text: str) -> str:
    """A route's host in lower case: a name, an address, or `*.` before a name.

    Raises:
        PatternError: it is malformed; a port is none of its business.
    """
    host = text.lower()
    name = host.removeprefix("*.")
    if re.fullmatch(r"\[[0-9a-f:.]+\]", name):
        return host
    if ":" in name:
        raise PatternError("a host is written without a port", text.index(":"))
    for label in name.split("."):
        if _HOST_LABEL.fullmatch(label) is None:
            raise PatternError(f'"{label}" is not a host label; a wildcard is "*." before a name')
    return host


def _parse_parts(text: str) -> tuple[tuple[Part, ...], bool, tuple[str, ...]]:
    if not text.startswith("/"):
        raise PatternError('a path starts with "/"')
    for char, why in (("?", "the query is matched by the key query"), ("#", "a fragment never reaches a server")):
        if char in text:
            raise PatternError(f'"{char}" in a path: {why}', text.index(char))
    tail = False
    parts: list[Part] = []
    captures: list[str] = []
    offset = 1
    pieces = text[1:].split("/")
    for i, piece in enumerate(pieces):
        last = i == len(pieces) - 1
        if piece == "**":
            if not last:
                raise PatternError("** stands last only", offset)
            tail = True
        elif piece == "" and not last:
            raise PatternError('"//": paths are matched with runs of "/" read as one, so this never matches', offset)
        else:
            parts.append(_parse_part(piece, offset, captures))
        offset += len(piece) + 1
    return tuple(parts), tail, tuple(captures)


def _parse_part(piece: str, offset: int, captures: list[str]) -> Part:
    found = _CAPTURE.fullmatch(piece)
    if found is not None:
        if found[1] in captures:
            raise PatternError(f"{{{found[1]}}} stands twice", offset)
        captures.append(found[1])
        return Capture(found[1])
    for char in "{}*":
        if char in piece:
            raise PatternError(f'"{char}" inside a segment: a segment is a literal, {{name}}, or ** at the end', offset)
    if normal_path("/" + piece) != "/" + piece and (piece in (".", "..") or ";" in piece or "%2e" in piece.lower()):
        raise PatternError("dot segments and ;parameters are resolved before matching, so this never matches", offset)
    if any(ord(char) <= 0x20 or char == "\x7f" for char in piece):
        raise PatternError("white space or a control character in a path: write it as %20", offset)
    return piece
