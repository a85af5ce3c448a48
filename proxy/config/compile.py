"""Files → plan, or every problem with its place."""

from __future__ import annotations

import gc
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.edges.credentials import tell_expiring
from proxy.config.flags.flagfile import FlagDraft, read_flag_file
from proxy.config.problems import Complaint, errors, nearest, ordered, quoted
from proxy.config.routes.caching import by_account, warn_of_caches
from proxy.config.routes.effect import tell_of_pin
from proxy.config.routes.structure import Reports, Structure, read_structure, tell_unknown_segment
from proxy.config.text.cache import Cache
from proxy.config.text.fileset import FLAG_FILES, FileSet
from proxy.core.plan import Plan

if TYPE_CHECKING:
    from datetime import date

    from proxy.config.routes.drafts import AreaDraft

__all__ = ["Cache", "Compiled", "compile_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What became of a set of files.

    Attributes:
        plan: None when any complaint is an error.
        tables: digest → bytes, every table that the plan names.
        complaints: all of them, by file and place.
        names: (kind, name) of every area, segment and flag → the file that defines it.
        used: every file that belongs to the configuration.
    """

    plan: Plan | None
    tables: Mapping[str, bytes]
    complaints: tuple[Complaint, ...]
    names: Mapping[tuple[str, str], str]
    used: frozenset[str]


def compile_files(files: FileSet, cache: Cache | None = None, today: date | None = None) -> Compiled:
    """Compile a set of files.

    Args:
        files: the set.
        cache: keeps what was made of files that don't change.
        today: the date that certificates and `metadata.expires` are held against; None: they aren't.
    """
    with _no_collection():
        return _compile(files, cache or Cache(), today)


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection while millions of lasting values are made: it finds nothing, for half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _compile(files: FileSet, cache: Cache, today: date | None) -> Compiled:
    structure = read_structure(files, cache)
    reports = Reports()
    flags = _Flags(files, structure, cache, today, reports)
    tell_expiring(structure.certificates, today, reports(files.routes))
    complaints = ordered((*structure.complaints, *flags.alone, *reports.complaints()))
    cache.end_round()
    plan = None
    if structure.settings is not None and not any(errors(complaints)):
        plan = Plan(
            settings=structure.settings,
            identity=structure.identity,
            listener=structure.listener,
            backends=structure.backends,
            error_pages=structure.error_pages,
            tables=structure.tables,
            register=structure.register,
            segments=structure.segments,
            areas=structure.area_records,
            routes=structure.routes,
            flags=tuple(flag.record for flag in flags.used),
        )
    return Compiled(
        plan=plan,
        tables=structure.table_bytes if plan is not None else {},
        complaints=complaints,
        names={**structure.names, **{("flag", key): flag.file for key, flag in flags.by_key.items()}},
        used=structure.used | flags.files,
    )


class _Flags:
    """All flag files, seen together with the structure.

    Attributes:
        alone: what the files fail at by themselves.
        by_key: every flag; of two with one key the first.
        used: the flags that an area uses, in the order of files; no other gets into the plan.
    """

    def __init__(
        self, files: FileSet, structure: Structure, cache: Cache, today: date | None, reports: Reports
    ) -> None:
        self.alone: list[Complaint] = []
        self.by_key: dict[str, FlagDraft] = {}
        self.files = frozenset(files.flag_files())
        self._structure = structure
        self._reports = reports
        self._today = today
        self._blind = False
        self._directory = files.flags
        self._read(files, cache)
        needed: dict[str, list[AreaDraft]] = {}
        for area in structure.areas:
            if not area.record.retired and any(route.record.to is None for route in area.routes):
                needed.setdefault(area.record.flag, []).append(area)
            if area.flag is not None and area.record.flag not in self.by_key and not self._blind:
                self._tell_unknown(area)
        self.used = [flag for key, flag in self.by_key.items() if key in needed]
        missing = [areas for key, areas in needed.items() if key not in self.by_key and not self._blind]
        for areas in missing:
            self._tell_none(areas)
        if missing and not any(name.endswith(FLAG_FILES) for name in self.files):
            told = "has no *.flagd.yaml or *.flagd.json" if files.has_flags else "there is no such directory"
            reports(files.flags).tell("no-flags", None, "", f"{told}, and every area that asks a flag is legacy's")
        written = {area.record.flag for area in structure.areas}
        self._warn_of_caches()
        self._warn_of_pins()
        for key, flag in self.by_key.items():
            if key in needed:
                self._check_used(flag, needed[key])
            elif not structure.blind and key not in written:
                told = f"no area uses this flag{self._instead(key)}"
                reports(flag.file).tell("unused-flag", flag.mark, flag.where, told)

    def _instead(self, key: str) -> str:
        """What a flag that nobody asks could have been meant for."""
        for area in self._structure.areas:
            if area.record.name == key:  # it says `flag:`
                return f'; area {key} asks "{area.record.flag}"'
        return nearest(key, (area.record.name for area in self._structure.areas))

    def _warn_of_caches(self) -> None:
        structure = self._structure
        if structure.cache is not None or structure.settings is None:
            return
        undecided = []
        for area in structure.areas:
            flag = self.by_key.get(area.record.flag)
            record = None if flag is None else flag.record
            if area.cache is None and by_account(area, record, structure.identity):
                undecided.append(area)
        if undecided:
            warn_of_caches(undecided, self._reports(undecided[0].record.place.rsplit(":", 2)[0]))

    def _warn_of_pins(self) -> None:
        for area in self._structure.areas if self._structure.settings is not None else ():
            if area.pin is not None:
                flag = self.by_key.get(area.record.flag)
                report = self._reports(area.record.place.rsplit(":", 2)[0])
                tell_of_pin(area, area.pin, None if flag is None else flag.record, self._structure.identity, report)

    def _read(self, files: FileSet, cache: Cache) -> None:
        directory = files.files.get(files.flags)
        if directory is not None and directory.trouble is not None:
            told = f"the flags directory can't be read: {directory.trouble}"
            self._reports(files.flags).tell("unreadable-file", None, "", told)
            self._blind = True
        for name in files.flag_files():
            if not name.endswith(FLAG_FILES):
                base = posixpath.basename(name).split(".")[0]
                told = f"isn't read: flag files are called {base}.flagd.yaml or {base}.flagd.json"
                self._reports(name).tell("stray-file", None, "", told)
                continue
            found = read_flag_file(name, files.files[name], cache)
            self.alone += found.complaints
            self._blind = self._blind or not found.readable
            for flag in found.flags:
                first = self.by_key.setdefault(flag.record.key, flag)
                if first is not flag:
                    told = (
                        f"the flag {quoted(flag.record.key)} is defined in {first.record.place} too; keep one of them"
                    )
                    self._reports(name).tell("duplicate-flag", flag.mark, flag.where, told, others=(first.file,))

    def _tell_unknown(self, area: AreaDraft) -> None:
        flag = area.flag
        if flag is not None:
            told = f"no flag is named {quoted(flag.name)}{nearest(flag.name, self.by_key)}"
            report = self._reports(area.record.place.rsplit(":", 2)[0])
            report.tell("unknown-flag", flag.mark, flag.where, told, wanted=("flag", flag.name))

    def _tell_none(self, areas: list[AreaDraft]) -> None:
        for area in areas:
            if area.flag is None:
                key = area.record.flag
                remedy = f"write it in {self._directory}/{key}.flagd.yaml (docs/flags.md)"
                told = f"no flag is named {quoted(key)}, so legacy answers; {remedy}{nearest(key, self.by_key)}"
                self._reports(area.record.place.rsplit(":", 2)[0]).tell("no-flag", area.mark, area.where, told)

    def _check_used(self, flag: FlagDraft, areas: list[AreaDraft]) -> None:
        report = self._reports(flag.file)
        for variant in flag.odd_variants:
            told = f"the value of {quoted(variant.name)} names no backend: new or legacy; {areas[0].record.name} uses this flag"
            report.tell("bad-variant", variant.mark, variant.where, told)
        segments = [name for kind, name in self._structure.names if kind == "segment"]
        for mention in flag.segments:
            if mention.name not in segments and not self._structure.blind:
                tell_unknown_segment(mention, segments, report)
        if flag.expires is not None and self._today is not None and flag.expires[0] < self._today:
            mention = flag.expires[1]
            told = f"expired on {mention.name}; finish the move, or give it another date"
            report.tell("expired", mention.mark, mention.where, told)
