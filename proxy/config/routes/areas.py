"""Areas and their routes, as far as one file can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.config.edges.limits import AREA_BODY
from proxy.config.edges.signing import PIN
from proxy.config.kinds import Fields, Key
from proxy.config.names import check_header, check_method, is_token, place
from proxy.config.problems import Report, quoted
from proxy.config.routes.drafts import AreaDraft, Mentioned, RouteDraft
from proxy.config.routes.effect import tell_of_area, tell_of_patience
from proxy.config.routes.patience import AREA_TIMEOUT, AREA_TOTAL, ROUTE_TIMEOUT, ROUTE_TOTAL, draft_patience
from proxy.config.routes.rates import AREA_RATE_KEY, draft_area_rates, rated
from proxy.config.routes.shapes import (
    AREA_CACHE,
    FALLBACK,
    FLAG,
    HOST,
    METHODS,
    OWNER,
    PATH,
    QUERY,
    RETIRED,
    REWRITE_LEGACY,
    REWRITE_NEW,
    ROUTE_ACCOUNT,
    ROUTE_COOKIES,
    ROUTE_HEADERS,
    ROUTE_ID,
    ROUTE_REGION,
    ROUTE_REWRITE,
    ROUTE_SEGMENT,
    ROUTES,
    RUNBOOK,
    TO,
)
from proxy.core.deciding.pattern import PathPattern, PatternError, check_route_host, parse_path, parse_rewrite
from proxy.core.model import Backend, Fallback
from proxy.core.plan import Area, Route

if TYPE_CHECKING:
    from proxy.config.text.nodes import Scalar

_Values = tuple[tuple["Scalar", tuple["Scalar", ...]], ...]


def draft_areas(areas: tuple[tuple[Scalar, Fields], ...], file: str, report: Report) -> tuple[AreaDraft, ...]:
    """The areas of one file, with their routes."""
    return tuple(_area(name, fields, file, report) for name, fields in areas)


def _area(name: Scalar, fields: Fields, file: str, report: Report) -> AreaDraft:
    flag = fields[FLAG]
    owner, runbook = fields[OWNER], fields[RUNBOOK]
    account_rate, total_rate = draft_area_rates(fields[AREA_RATE_KEY], report)
    record = Area(
        name=name.text,
        place=place(file, name),
        owner=owner.text if owner is not None else None,
        runbook=runbook.text if runbook is not None else None,
        flag=flag.text if flag is not None else name.text,
        flag_place=place(file, flag) if flag is not None else None,
        fallback=Fallback(fields[FALLBACK] or Fallback.NEVER),
        retired=fields[RETIRED] or False,
        body_bytes=fields[AREA_BODY],
        pin_s=fields[PIN],
        account_rate=account_rate,
        total_rate=total_rate,
        patience=draft_patience(fields, AREA_TIMEOUT, AREA_TOTAL),
    )
    if record.retired and record.fallback is Fallback.SAFE:
        told = f"the area {record.name} is retired: legacy no longer has it; leave `fallback` out"
        report.tell("retired-fallback", fields.node(FALLBACK), fields.at(FALLBACK), told)
    routes: list[RouteDraft] = []
    ids: dict[str, RouteDraft] = {}
    for number, written in enumerate(fields.each(ROUTES), 1):
        route = _route(record, number, written, file, report)
        first = ids.setdefault(route.record.id, route)
        if first is not route:
            told = f"{quoted(route.record.id)} is the name of the route in line {first.mark.line} too; give it an id"
            report.tell("duplicate-route", route.mark, route.where, told)
        routes.append(route)
    tell_of_patience(fields, AREA_TIMEOUT, AREA_TOTAL, report)
    tell_of_area(fields, record, routes, report)
    return AreaDraft(
        record=record,
        mark=name,
        where=fields.where,
        flag=Mentioned(name=flag.text, mark=flag, where=fields.at(FLAG)) if flag is not None else None,
        cache=fields[AREA_CACHE],
        pin=fields.node(PIN) if fields[PIN] is not None else None,
        rated=rated(fields[AREA_RATE_KEY]),
        routes=tuple(routes),
    )


def _route(area: Area, number: int, fields: Fields, file: str, report: Report) -> RouteDraft:
    route_id = fields[ROUTE_ID]
    path = fields[PATH]
    pattern = _path(path, fields.at(PATH), report) if path is not None else None
    to = fields[TO]
    if to == Backend.LEGACY and area.retired:
        told = f"the area {area.name} is retired: legacy no longer has it; leave `to` out, or retire it later"
        report.tell("retired-legacy", fields.node(TO), fields.at(TO), told)
    rewrite = fields[ROUTE_REWRITE]
    segments, regions, accounts = fields[ROUTE_SEGMENT], fields[ROUTE_REGION], fields[ROUTE_ACCOUNT]
    methods = [
        m.text for i, m in enumerate(fields.each(METHODS), 1) if check_method(m, _nth(fields, METHODS, i), report)
    ]
    record = Route(
        id=f"{area.name}/{route_id.text if route_id is not None else number}",
        area=area.name,
        place=place(file, fields.mark),
        host=_host(fields, report),
        path=path.text if path is not None else "",
        methods=tuple(methods) or None,
        headers=_headers(fields, report),
        query=_values(fields[QUERY]),
        cookies=_cookies(fields, report),
        segment=_texts(segments),
        region=_texts(regions),
        account=_texts(accounts),
        to=Backend(to) if to is not None else None,
        rewrite_legacy=_rewrite(rewrite, REWRITE_LEGACY, pattern, report),
        rewrite_new=_rewrite(rewrite, REWRITE_NEW, pattern, report),
        patience=draft_patience(fields, ROUTE_TIMEOUT, ROUTE_TOTAL),
    )
    tell_of_patience(fields, ROUTE_TIMEOUT, ROUTE_TOTAL, report)
    return RouteDraft(
        record=record,
        mark=fields.mark,
        where=fields.where,
        segments=tuple(Mentioned(name=s.text, mark=s, where=fields.at(ROUTE_SEGMENT)) for s in segments or ()),
        shape=pattern.shape if pattern is not None else None,
        regex=pattern is not None and pattern.regex is not None,
        account=fields.node(ROUTE_ACCOUNT) if accounts else None,
        region=fields.node(ROUTE_REGION) if regions else None,
    )


def _path(scalar: Scalar, where: str, report: Report) -> PathPattern | None:
    try:
        return parse_path(scalar.text)
    except PatternError as error:
        code = "bad-regex" if scalar.text.startswith("regex:") else "bad-path"
        report.tell(code, scalar, where, f"{quoted(scalar.text)}: {error.why}", shift=scalar.lead + error.offset)
        return None


def _host(fields: Fields, report: Report) -> str | None:
    scalar = fields[HOST]
    if scalar is None:
        return None
    try:
        return check_route_host(scalar.text)
    except PatternError as error:
        told = f"{quoted(scalar.text)}: {error.why}"
        report.tell("bad-host", scalar, fields.at(HOST), told, shift=scalar.lead + error.offset)
        return None


def _rewrite(fields: Fields | None, key: Key[Scalar], pattern: PathPattern | None, report: Report) -> str | None:
    scalar = fields[key] if fields is not None else None
    if fields is None or scalar is None:
        return None
    if pattern is not None:
        try:
            parse_rewrite(scalar.text, pattern)
        except PatternError as error:
            told = f"{quoted(scalar.text)}: {error.why}"
            report.tell("bad-rewrite", scalar, fields.at(key), told, shift=scalar.lead + error.offset)
    return scalar.text


def _headers(fields: Fields, report: Report) -> dict[str, tuple[str, ...]] | None:
    written = fields[ROUTE_HEADERS]
    found: dict[str, tuple[str, ...]] = {}
    for name, values in written or ():
        where = f"{fields.at(ROUTE_HEADERS)}.{name.text}"
        if not check_header(name, where, report):
            continue
        if name.text.lower() in found:
            report.tell(
                "duplicate-key", name, where, f"{quoted(name.text)} stands twice; case doesn't count in headers"
            )
        found[name.text.lower()] = tuple(value.text for value in values)
    return found or None


def _cookies(fields: Fields, report: Report) -> dict[str, tuple[str, ...]] | None:
    for name, _ in fields.each(ROUTE_COOKIES):
        if not is_token(name.text):
            where = f"{fields.at(ROUTE_COOKIES)}.{name.text}"
            report.tell("bad-cookie", name, where, f"{quoted(name.text)} is no cookie name")
    return _values(fields[ROUTE_COOKIES])


def _values(written: _Values | None) -> dict[str, tuple[str, ...]] | None:
    return {name.text: tuple(value.text for value in values) for name, values in written} if written else None


def _texts(scalars: tuple[Scalar, ...] | None) -> tuple[str, ...] | None:
    return tuple(scalar.text for scalar in scalars) if scalars else None


def _nth(fields: Fields, key: Key[Any], i: int) -> str:
    return f"{fields.at(key)}[{i}]"
