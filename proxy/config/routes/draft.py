"""One routes file, from bytes to what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.config.backends.backends import check_origin, draft_backends
from proxy.config.backends.forwarding import draft_forwarding
from proxy.config.backends.naming import DNS_KEY, draft_dns
from proxy.config.edges.limits import LIMITS_KEY, draft_limits
from proxy.config.edges.listener import draft_error_pages, draft_listener
from proxy.config.edges.observing import METRICS_KEY, TRACING_KEY, draft_by_route, draft_tracing
from proxy.config.edges.signing import SIGNING_KEY, SIGNING_KEYS, VISITORS, tell_unsigned
from proxy.config.kinds import Fields
from proxy.config.names import is_token
from proxy.config.problems import Report, quoted
from proxy.config.routes.areas import draft_areas
from proxy.config.routes.drafts import FileDraft, MainDraft, Mentioned, roster_of
from proxy.config.routes.effect import tell_of_names
from proxy.config.routes.identity import draft_identity
from proxy.config.routes.rates import RATE_KEY, draft_rate, rated
from proxy.config.routes.segments import draft_segments
from proxy.config.routes.shapes import (
    ACCOUNTS_KEY,
    AREAS_KEY,
    BACKENDS_KEY,
    CACHE,
    COOKIES_KEY,
    COOKIES_LEGACY,
    COOKIES_NEW,
    ERROR_PAGES_KEY,
    FORWARDING_KEY,
    IDENTITY_KEY,
    INCLUDE,
    INCLUDED,
    INNER_HOSTS,
    LISTENER_KEY,
    MAIN,
    OTHERWISE,
    PUBLIC_ORIGIN,
    REGISTER,
    ROLLBACK_DRAIN,
    SEGMENTS_KEY,
    VERSION,
)
from proxy.config.text.nodes import is_blank
from proxy.config.text.yaml import Spot, read_yaml
from proxy.core.model import Backend
from proxy.core.plan import ROLLBACK_DRAIN_S, Identity

if TYPE_CHECKING:
    from proxy.config.text.cache import Cache
    from proxy.config.text.fileset import File
    from proxy.config.text.nodes import Node, Scalar

KNOWN_VERSION: Final = 1


def draft_file(name: str, file: File, cache: Cache, *, main: bool) -> FileDraft:
    """What a routes file says; the same content is read once."""
    return cache.get(("draft", name, file.hash, main), lambda: _draft(name, file, main=main))


def decode(content: bytes, report: Report) -> str | None:
    """A file's text; None, and told, when it isn't UTF-8. A byte order mark is left out."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = content.rfind(b"\n", 0, error.start) + 1
        spot = Spot(content.count(b"\n", 0, error.start) + 1, len(content[start : error.start].decode()) + 1)
        report.tell("not-utf8", spot, "", f"byte 0x{content[error.start]:02X} is not UTF-8; save the file as UTF-8")
        return None


def _draft(name: str, file: File, *, main: bool) -> FileDraft:
    report = Report(name)
    if file.trouble is not None:
        report.tell("unreadable-file", None, "", f"can't be read: {file.trouble}")
        return FileDraft(file=name, readable=False, complaints=tuple(report.complaints))
    text = decode(file.content, report)
    root = read_yaml(text, report) if text is not None else None
    if root is None:
        return FileDraft(file=name, readable=False, complaints=tuple(report.complaints))
    if is_blank(root):
        report.tell("empty", None, "", "is empty; docs/routes.md shows what stands in it")
        return FileDraft(file=name, readable=False, complaints=tuple(report.complaints))
    return _draft_root(name, root, report, main=main)


def _draft_root(name: str, root: Node, report: Report, *, main: bool) -> FileDraft:
    shape = MAIN if main else INCLUDED
    fields = shape.read(root, "", report)
    if fields is None:
        return FileDraft(file=name, readable=True, complaints=tuple(report.complaints))
    segments = draft_segments(fields.each(SEGMENTS_KEY), name)
    areas = draft_areas(fields.each(AREAS_KEY), name, report)
    return FileDraft(
        file=name,
        readable=True,
        roster=roster_of(root),
        main=_draft_main(fields, name, report) if main else None,
        segments=segments,
        areas=areas,
        complaints=tuple(report.complaints),
    )


def _draft_main(fields: Fields, name: str, report: Report) -> MainDraft:
    version = fields[VERSION]
    if version is not None and version != KNOWN_VERSION:
        text = f"version {version} is not known; this proxy reads version {KNOWN_VERSION}"
        report.tell("bad-version", fields.node(VERSION), "version", text)
    written = fields[IDENTITY_KEY]
    identity, attributes = draft_identity(written, name, report) if written is not None else (Identity(), ())
    origin = fields[PUBLIC_ORIGIN]
    accounts = fields[ACCOUNTS_KEY]
    register = accounts[REGISTER] if accounts is not None else None
    legacy, new = _cookies(fields[COOKIES_KEY], report)
    signing = fields[SIGNING_KEY]
    keys = signing.each(SIGNING_KEYS) if signing is not None else ()
    if identity.visitors_s is not None and signing is None and written is not None:
        tell_unsigned(written.node(VISITORS), written.at(VISITORS), "the ids of visitors", report)
    backends = draft_backends(fields[BACKENDS_KEY], name, report)
    tell_of_names(fields, backends, report)
    return MainDraft(
        otherwise=Backend(fields[OTHERWISE] or Backend.LEGACY),
        public_origin=check_origin(origin, "public_origin", report) if origin is not None else None,
        forwarding=draft_forwarding(fields[FORWARDING_KEY], report),
        cache=fields[CACHE],
        count_leaks=fields[INNER_HOSTS] != "off",
        rollback_drain_s=fields.get(ROLLBACK_DRAIN, ROLLBACK_DRAIN_S),
        tracing=draft_tracing(fields[TRACING_KEY], report),
        metrics_by_route=draft_by_route(fields[METRICS_KEY]),
        limits=draft_limits(fields[LIMITS_KEY]),
        dns=draft_dns(fields[DNS_KEY], report),
        rate=draft_rate(fields[RATE_KEY]),
        rated=rated(fields[RATE_KEY]),
        cookies_legacy=legacy,
        cookies_new=new,
        backends=backends,
        listener=draft_listener(fields[LISTENER_KEY], report),
        error_pages=draft_error_pages(fields.each(ERROR_PAGES_KEY), fields.at(ERROR_PAGES_KEY)),
        identity=identity,
        attributes=attributes,
        signing=tuple(_mention(scalar, f"signing.keys[{i}]") for i, scalar in enumerate(keys, 1)),
        register=_mention(register, "accounts.register") if register is not None else None,
        include=tuple(_mention(scalar, f"include[{i}]") for i, scalar in enumerate(fields.each(INCLUDE), 1)),
    )


def _cookies(fields: Fields | None, report: Report) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if fields is None:
        return (), ()
    legacy, new = fields.each(COOKIES_LEGACY), fields.each(COOKIES_NEW)
    for key, scalars in ((COOKIES_LEGACY, legacy), (COOKIES_NEW, new)):
        for scalar in scalars:
            if not is_token(scalar.text):
                report.tell("bad-cookie", scalar, fields.at(key), f"{quoted(scalar.text)} is no cookie name")
    ours = {scalar.text: scalar for scalar in legacy}
    for scalar in new:
        if scalar.text in ours:
            text = f"{quoted(scalar.text)} is legacy's too (line {ours[scalar.text].line}); it belongs to one system"
            report.tell("shared-cookie", scalar, fields.at(COOKIES_NEW), text)
    return tuple(scalar.text for scalar in legacy), tuple(scalar.text for scalar in new)


def _mention(scalar: Scalar, where: str) -> Mentioned:
    return Mentioned(name=scalar.text, mark=scalar, where=where)
