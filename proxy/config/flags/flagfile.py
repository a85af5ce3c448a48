"""One flag file, from bytes to flags compiled to clauses; nothing here depends on another file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from proxy.config.flags.flagd import check_shape
from proxy.config.flags.lint import Lint
from proxy.config.flags.targeting import clauses_of, is_managed, operation_of, replace_refs, steps_of
from proxy.config.names import place
from proxy.config.problems import Complaint, Report, nearest, quoted
from proxy.config.routes.draft import decode
from proxy.config.routes.drafts import Mentioned
from proxy.config.text.json import read_json
from proxy.config.text.nodes import Mapping, Node, Scalar, data, is_blank
from proxy.config.text.yaml import read_yaml
from proxy.core.plan import Flag

if TYPE_CHECKING:
    from proxy.config.problems import Marked
    from proxy.config.text.cache import Cache
    from proxy.config.text.fileset import File


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagDraft:
    """A flag; its record is as the plan has it.

    Attributes:
        odd_variants: variants whose value names no backend: an error only where an area uses the flag.
    """

    record: Flag
    file: str
    mark: Marked
    where: str
    segments: tuple[Mentioned, ...]
    odd_variants: tuple[Mentioned, ...]
    expires: tuple[date, Mentioned] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagFile:
    """The flags of one file; `readable`: whether it could be read at all."""

    readable: bool
    flags: tuple[FlagDraft, ...] = ()
    complaints: tuple[Complaint, ...] = ()


def read_flag_file(name: str, file: File, cache: Cache) -> FlagFile:
    """What a flag file says; the same content is read once."""
    return cache.get(("flags", name, file.hash), lambda: _read(name, file))


def _read(name: str, file: File) -> FlagFile:
    report = Report(name)
    if file.trouble is not None:
        report.tell("unreadable-file", None, "", f"can't be read: {file.trouble}")
        return FlagFile(readable=False, complaints=tuple(report.complaints))
    text = decode(file.content, report)
    root = _root(name, text, report) if text is not None else None
    if root is None:
        return FlagFile(readable=False, complaints=tuple(report.complaints))
    check_shape(root, report)
    flags = root.get("flags") if isinstance(root, Mapping) else None
    evaluators = root.get("$evaluators") if isinstance(root, Mapping) else None
    drafts: list[FlagDraft] = []
    if isinstance(flags, Mapping):
        known = evaluators if isinstance(evaluators, Mapping) else None
        for mark, written in flags.entries.values():
            if isinstance(written, Mapping):
                drafts.append(_flag(mark, written, known, report))
    return FlagFile(readable=True, flags=tuple(drafts), complaints=tuple(report.complaints))


def _root(name: str, text: str, report: Report) -> Node | None:
    """The document; None when it can't be read or is empty, which is told."""
    json = name.endswith(".json")
    root = None
    blank = not text.strip()
    if not blank:
        root = read_json(text, report) if json else read_yaml(text, report)
        blank = root is not None and is_blank(root)
    if blank:
        report.tell("empty", None, "", "is empty; docs/flags.md shows what stands in it")
        return None
    return root


def _flag(mark: Scalar, written: Mapping, evaluators: Mapping | None, report: Report) -> FlagDraft:
    where = f"flags.{mark.text}"
    variants_node = written.get("variants")
    variants = data(variants_node) if isinstance(variants_node, Mapping) else {}
    odd = [
        Mentioned(name=name, mark=value, where=f"{where}.variants.{name}")
        for name, (_, value) in (variants_node.entries if isinstance(variants_node, Mapping) else {}).items()
        if data(value) not in ("new", "legacy")
    ]
    default = written.get("defaultVariant")
    named = default.text if isinstance(default, Scalar) and isinstance(default.value, str) else None
    if default is not None and named is not None and named not in variants:
        told = f"{quoted(named)} is no variant of this flag{nearest(named, variants)}"
        report.tell("unknown-variant", default, f"{where}.defaultVariant", told)
    metadata = written.get("metadata")
    timed = metadata.get("timed") if isinstance(metadata, Mapping) else None
    lint = Lint(f"{where}.targeting", variants, report, timed=isinstance(timed, Scalar) and timed.value is True)
    targeting = written.get("targeting")
    resolved = replace_refs(targeting, evaluators, f"{where}.targeting", report) if targeting is not None else None
    steps = list(steps_of(resolved)) if isinstance(resolved, Mapping) else []
    lint.check(steps)
    clauses = clauses_of(steps, report.file)
    state = written.get("state")
    enabled = isinstance(state, Scalar) and state.value == "ENABLED"
    return FlagDraft(
        record=Flag(
            key=mark.text,
            place=place(report.file, mark),
            enabled=enabled,
            variants=variants,
            default=named,
            clauses=clauses,
            managed=_is_plain_if(targeting, resolved, len(clauses))
            and is_managed(clauses, variants, named, enabled=enabled),
        ),
        file=report.file,
        mark=mark,
        where=where,
        segments=tuple(lint.segments),
        odd_variants=tuple(odd),
        expires=_expires(metadata, where, report),
    )


def _is_plain_if(targeting: Node | None, resolved: Node | None, clauses: int) -> bool:
    """Whether one `if`, written out without `$ref`s or another `if` in its last place, makes all the clauses."""
    found = operation_of(targeting)
    if found is None or resolved is None or targeting is None or found[0] != "if":
        return False
    nested = operation_of(found[1][-1]) if found[1] else None
    if nested is not None and nested[0] in ("if", "?:"):
        return False
    return len(found[1]) == 2 * clauses - 1 and data(targeting) == data(resolved)


def _expires(metadata: Node | None, where: str, report: Report) -> tuple[date, Mentioned] | None:
    written = metadata.get("expires") if isinstance(metadata, Mapping) else None
    if not isinstance(written, Scalar) or not isinstance(written.value, str):
        return None
    at = f"{where}.metadata.expires"
    try:
        return date.fromisoformat(written.text), Mentioned(name=written.text, mark=written, where=at)
    except ValueError:
        report.tell("bad-date", written, at, f"{quoted(written.text)} is no date; write it as 2027-03-31")
        return None
