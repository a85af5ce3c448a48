"""routes.yaml, its included files, account lists and register, seen together: everything of a plan but the flags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.config.backends.backends import resolve_headers
from proxy.config.edges.credentials import Credentials, Standing
from proxy.config.edges.errorpages import read_error_pages
from proxy.config.edges.signing import read_keys, tell_unsigned
from proxy.config.problems import Complaint, Report, nearest, quoted
from proxy.config.routes.accounts import Accounts, read_list, read_register
from proxy.config.routes.caching import cached_as, decided_by
from proxy.config.routes.draft import draft_file
from proxy.config.routes.reach import hidden_routes
from proxy.config.routes.segments import file_of, in_order
from proxy.config.text.fileset import ENVIRONMENT, is_pattern, matches, normal_name
from proxy.core.deciding.signed import SigningKey
from proxy.core.plan import (
    Area,
    BackendSpec,
    ErrorPage,
    Identity,
    Listener,
    Register,
    Route,
    Segment,
    Settings,
    TableRef,
    new_settings,
)

if TYPE_CHECKING:
    from proxy.config.routes.drafts import AreaDraft, FileDraft, MainDraft, Mentioned, RouteDraft, SegmentDraft
    from proxy.config.text.cache import Cache
    from proxy.config.text.fileset import FileSet

_NOBODY: Final = Identity()
_PLAIN: Final = Listener()


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What the routes files say together.

    Attributes:
        cache: what the main file tells shared caches; None: it doesn't say.
        names: (kind, name) of every area and segment → the file that defines it.
        certificates: every certificate in use, for what the calendar says of it.
        blind: whether a file couldn't be read, so that an unknown name may only be unread.
        used: every file that belongs to it.
    """

    settings: Settings | None = None
    identity: Identity = _NOBODY
    listener: Listener = _PLAIN
    backends: tuple[BackendSpec, ...] = ()
    error_pages: tuple[ErrorPage, ...] = ()
    certificates: tuple[Standing, ...] = ()
    tables: tuple[TableRef, ...] = ()
    table_bytes: Mapping[str, bytes]
    register: Register | None = None
    segments: tuple[Segment, ...] = ()
    areas: tuple[AreaDraft, ...] = ()
    area_records: tuple[Area, ...] = ()
    cache: str | None = None
    routes: tuple[Route, ...] = ()
    names: Mapping[tuple[str, str], str]
    blind: bool = False
    used: frozenset[str]
    complaints: tuple[Complaint, ...] = ()


class Reports:
    """One report a file, for what only the whole can tell."""

    def __init__(self) -> None:
        self._by_file: dict[str, Report] = {}

    def __call__(self, file: str) -> Report:
        return self._by_file.setdefault(file, Report(file, alone=False))

    def complaints(self) -> Iterator[Complaint]:
        """Everything told so far."""
        for report in self._by_file.values():
            yield from report.complaints


def read_structure(files: FileSet, cache: Cache) -> Structure:
    """The structure; built again only when one of its files changed."""
    main_file = files.files.get(files.routes)
    if main_file is None:
        report = Report(files.routes, alone=False)
        report.tell("missing-file", None, "", "there is no such file; it says what is routed where (docs/routes.md)")
        return Structure(
            table_bytes={}, names={}, blind=True, used=frozenset((files.routes,)), complaints=tuple(report.complaints)
        )
    draft = draft_file(files.routes, main_file, cache, main=True)
    reports = Reports()
    includes = _includes(draft, files, reports)
    drafts = [draft, *(draft_file(name, files.files[name], cache, main=False) for name in includes)]
    # Named, there or not: one that is missing may come, and belongs to the configuration all the same.
    used = {one.file for one in drafts} | {normal_name(mention.name) for mention in _literal_includes(draft)}
    for one in drafts:
        used |= {normal_name(name) for name in one.roster.files}
    used |= {ENVIRONMENT + name for name in draft.roster.environment}
    key = ("structure", files.routes, tuple(includes), tuple((name, files.hash_of(name)) for name in sorted(used)))
    found: Structure = cache.get(key, lambda: _Builder(files, drafts, frozenset(used), cache).build(reports))
    return found


def _literal_includes(draft: FileDraft) -> tuple[Mentioned, ...]:
    return tuple(one for one in draft.main.include if not is_pattern(one.name)) if draft.main is not None else ()


def _includes(draft: FileDraft, files: FileSet, reports: Reports) -> list[str]:
    """The included files, by path; each once."""
    found: set[str] = set()
    for mention in draft.main.include if draft.main is not None else ():
        names = {name for name in files.files if matches(mention.name, name)} - {files.routes}
        if not names and is_pattern(mention.name):
            told = f"{quoted(mention.name)} matches no file; patterns are relative to {files.routes}"
            reports(draft.file).tell("no-match", mention.mark, mention.where, told)
        elif not names:
            told = f"there is no file {quoted(mention.name)}; paths are relative to {files.routes}"
            others = (normal_name(mention.name),)
            reports(draft.file).tell("missing-file", mention.mark, mention.where, told, others=others)
        found |= names
    return sorted(found)


class _Builder:
    """Sees all drafts together."""

    def __init__(self, files: FileSet, drafts: list[FileDraft], used: frozenset[str], cache: Cache) -> None:
        self._files = files
        self._drafts = drafts
        self._used = used
        self._cache = cache
        self._blind = any(not one.readable for one in drafts)
        self._names: dict[tuple[str, str], str] = {}
        self._alone: list[Complaint] = [complaint for one in drafts for complaint in one.complaints]
        self._tables: dict[str, TableRef] = {}
        self._table_bytes: dict[str, bytes] = {}

    def build(self, reports: Reports) -> Structure:
        main = self._drafts[0].main
        file = self._drafts[0].file
        segments = self._segments(reports)
        areas = self._areas(reports)
        register = self._register(main, reports) if main is not None else None
        records = in_order(segments, lambda draft: self._list_of(draft, reports), reports)
        routes = [route for area in areas for route in area.routes]
        self._check_names(segments, routes, reports)
        if main is not None:
            self._check_attributes(main, register, segments, reports)
            rated = [(file, main.rated), *((_file(area.record.place), area.rated) for area in areas)]
            self._check_known(main.identity, segments.values(), routes, rated, reports)
            for area in areas if not main.signing else ():
                if area.pin is not None:
                    tell_unsigned(area.pin, f"{area.where}.pin", "pins", reports(_file(area.record.place)))
        for hidden, hiding in hidden_routes(routes):
            _tell_hidden(hidden, hiding, reports)
        backends = tuple(resolve_headers(one, self._files, reports(file)) for one in main.backends) if main else ()
        credentials = Credentials(self._files, self._cache, reports(file))
        listener = credentials.of_listener(main.listener) if main is not None else Listener()
        if main is not None:
            backends = tuple(map(credentials.of_backend, main.backends, backends))
        keys = read_keys(main.signing if main is not None else (), self._files, reports(file))
        pages, wrong = read_error_pages(main.error_pages if main is not None else (), self._files, reports(file))
        self._alone += (*credentials.complaints, *wrong)
        return Structure(
            settings=_settings(main, areas, keys) if main is not None else None,
            cache=main.cache if main is not None else None,
            identity=main.identity if main is not None else _NOBODY,
            listener=listener,
            backends=backends,
            error_pages=pages,
            certificates=tuple(credentials.standing),
            tables=tuple(self._tables.values()),
            table_bytes=self._table_bytes,
            register=Register(table=register.digest) if register is not None and register.digest else None,
            segments=records,
            areas=areas,
            area_records=tuple(cached_as(area, main.cache if main is not None else None) for area in areas),
            routes=tuple(route.record for route in routes),
            names=self._names,
            blind=self._blind,
            used=self._used,
            complaints=(*self._alone, *reports.complaints()),
        )

    # -- gathering

    def _segments(self, reports: Reports) -> dict[str, SegmentDraft]:
        found: dict[str, SegmentDraft] = {}
        for draft in (segment for file in self._drafts for segment in file.segments):
            first = found.setdefault(draft.record.name, draft)
            if first is not draft:
                _tell_twice("segment", draft.record.name, draft, first.record.place, reports)
            else:
                self._names["segment", draft.record.name] = file_of(draft)
        return found

    def _areas(self, reports: Reports) -> tuple[AreaDraft, ...]:
        found: dict[str, AreaDraft] = {}
        for file in self._drafts:
            for draft in file.areas:
                first = found.setdefault(draft.record.name, draft)
                if first is not draft:
                    _tell_twice("area", draft.record.name, draft, first.record.place, reports)
                else:
                    self._names["area", draft.record.name] = file.file
        return tuple(found.values())

    def _list_of(self, draft: SegmentDraft, reports: Reports) -> str | None:
        if draft.accounts is None:
            return None
        name = normal_name(draft.accounts.name)
        file = self._files.files.get(name)
        if file is None:
            _tell_missing(draft.accounts, file_of(draft), reports)
            return None
        return self._keep(draft.accounts.name, read_list(name, file, self._cache))

    def _register(self, main: MainDraft, reports: Reports) -> Accounts | None:
        if main.register is None:
            return None
        name = normal_name(main.register.name)
        file = self._files.files.get(name)
        if file is None:
            _tell_missing(main.register, self._drafts[0].file, reports)
            return Accounts()
        accounts = read_register(name, file, self._cache)
        self._keep(main.register.name, accounts)
        return accounts

    def _keep(self, name: str, accounts: Accounts) -> str | None:
        self._alone += accounts.complaints
        if not accounts.digest:
            return None
        self._table_bytes[accounts.digest] = accounts.table
        ref = TableRef(digest=accounts.digest, file=name, entries=accounts.entries)
        self._tables.setdefault(accounts.digest, ref)
        return accounts.digest

    # -- checking

    def _check_names(
        self, segments: Mapping[str, SegmentDraft], routes: Iterable[RouteDraft], reports: Reports
    ) -> None:
        if self._blind:
            return
        used = [(file_of(draft), part) for draft in segments.values() for part in draft.parts]
        used += [(_file(route.record.place), part) for route in routes for part in route.segments]
        for file, part in used:
            if part.name not in segments:
                tell_unknown_segment(part, segments, reports(file))

    def _check_attributes(
        self, main: MainDraft, register: Accounts | None, segments: Mapping[str, SegmentDraft], reports: Reports
    ) -> None:
        used = [(self._drafts[0].file, attribute) for attribute in main.attributes]
        used += [(file_of(draft), attribute) for draft in segments.values() for attribute in draft.attributes]
        for file, attribute in used:
            if register is None or main.register is None:
                told = f"{quoted(attribute.name)} is an attribute of accounts, and there is no register; set accounts.register"
                reports(file).tell("no-register", attribute.mark, attribute.where, told)
            elif register.digest and attribute.name not in register.attributes:
                told = (
                    f"the register has no column {quoted(attribute.name)}{nearest(attribute.name, register.attributes)}"
                )
                others = (normal_name(main.register.name),)
                reports(file).tell("unknown-attribute", attribute.mark, attribute.where, told, others=others)

    @staticmethod
    def _check_known(
        identity: Identity,
        segments: Iterable[SegmentDraft],
        routes: Iterable[RouteDraft],
        rated: Iterable[tuple[str, Mentioned | None]],
        reports: Reports,
    ) -> None:
        asked = [
            (file_of(one), "account", one.accounts.mark, one.accounts.where) for one in segments if one.accounts
        ]  # fmt: skip
        asked += [(in_file, "account", cap.mark, cap.where) for in_file, cap in rated if cap is not None]
        asked += [(file_of(one), "region", one.regions, f"{one.where}.regions") for one in segments if one.regions]
        for route in routes:
            file = _file(route.record.place)
            if route.account is not None:
                asked.append((file, "account", route.account, f"{route.where}.account"))
            if route.region is not None:
                asked.append((file, "region", route.region, f"{route.where}.region"))
        for file, what, mark, where in asked:
            if not (identity.account if what == "account" else identity.region):
                told = f"this never holds, for no request has a {what}: identity.{what} names no source"
                reports(file).tell("never-known", mark, where, told)


def tell_unknown_segment(mention: Mentioned, known: Iterable[str], report: Report) -> None:
    """Tell that nobody defines a segment."""
    told = f"no segment is named {quoted(mention.name)}{nearest(mention.name, known)}"
    report.tell("unknown-segment", mention.mark, mention.where, told, wanted=("segment", mention.name))


def _settings(main: MainDraft, areas: Iterable[AreaDraft], keys: tuple[SigningKey, ...]) -> Settings:
    varies = any((area.cache or main.cache) == "vary" for area in areas)
    return new_settings(
        vary=decided_by(main.identity, areas) if varies else (),
        otherwise=main.otherwise,
        public_origin=main.public_origin,
        count_leaks=main.count_leaks,
        rollback_drain_s=main.rollback_drain_s,
        forwarding=main.forwarding,
        tracing=main.tracing,
        metrics_by_route=main.metrics_by_route,
        limits=main.limits,
        dns=main.dns,
        account_rate=main.rate,
        cookies_legacy=main.cookies_legacy,
        cookies_new=main.cookies_new,
        signing_keys=keys,
    )


def _tell_twice(kind: str, name: str, draft: AreaDraft | SegmentDraft, first: str, reports: Reports) -> None:
    file = _file(draft.record.place)
    told = f"the {kind} {quoted(name)} is defined in {first} too; names are unique over all files"
    reports(file).tell(f"duplicate-{kind}", draft.mark, draft.where, told, others=(_file(first),))


def _tell_missing(mention: Mentioned, file: str, reports: Reports) -> None:
    told = f"there is no file {quoted(mention.name)}; paths are relative to routes.yaml"
    others = (normal_name(mention.name),)
    reports(file).tell("missing-file", mention.mark, mention.where, told, others=others)


def _tell_hidden(hidden: RouteDraft, hiding: RouteDraft, reports: Reports) -> None:
    file, other = _file(hidden.record.place), hiding.record.place
    told = (
        f"{quoted(hidden.record.path)} is never reached: {hiding.record.id} in {other} "
        "answers all of it before; remove one, or narrow that one"
    )
    reports(file).tell("unreachable-route", hidden.mark, hidden.where, told, others=(_file(other),))


def _file(place: str) -> str:
    return place.rsplit(":", 2)[0]
