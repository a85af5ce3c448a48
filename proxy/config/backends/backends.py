"""The two systems: URLs, patience, headers."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from proxy.config.backends.breaking import BREAKER_KEY, draft_breaker
from proxy.config.backends.endpoints import ENDPOINTS_KEY, draft_care, draft_probe
from proxy.config.backends.fieldshapes import ANSWER_HEADERS_REMOVE, ANSWER_HEADERS_SET, HEADERS_REMOVE, HEADERS_SET
from proxy.config.backends.queueing import QUEUE_KEY, draft_queue
from proxy.config.backends.retrying import RETRIES_KEY, draft_retries
from proxy.config.edges.limits import BACKEND_MIN_RATE
from proxy.config.edges.listener import draft_backend_tls
from proxy.config.names import OWN_HEADERS, check_header, place
from proxy.config.problems import Report, quoted
from proxy.config.routes.drafts import BackendDraft, HeaderDraft
from proxy.config.routes.effect import tell_of_backend
from proxy.config.routes.shapes import (
    ANSWER_HEADERS_KEY,
    BACKEND_HEADERS,
    BACKENDS,
    CONNECT,
    HEALTH,
    MAX_IN_FLIGHT,
    TIMEOUT,
    TLS,
    TOLD_HOST,
    TOTAL,
    URL,
)
from proxy.config.text.fileset import ENVIRONMENT, normal_name
from proxy.core.care.reaching import Probe
from proxy.core.http.ports import DEFAULT_PORTS
from proxy.core.model import Backend
from proxy.core.plan import ENDPOINTS_OWN, KEEP, BackendSpec

if TYPE_CHECKING:
    from proxy.config.kinds import Fields, Key
    from proxy.config.text.fileset import FileSet
    from proxy.config.text.nodes import Scalar

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_HEALTH_PATH: Final = re.compile(
    r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
)  # RFC 3986, sections 3.3 and 3.4
_BAD_IN_VALUE: Final = re.compile(r"[^\t\x20-\x7e\x80-\uffff]")
_LONGEST_NAME: Final = 253  # RFC 1035, section 2.3.4: a longer one can't even be asked for
_LONGEST_LABEL: Final = 63


def draft_backends(fields: Fields | None, file: str, report: Report) -> tuple[BackendDraft, ...]:
    """Both backends, as far as they could be read."""
    if fields is None:
        return ()
    drafts: list[BackendDraft] = []
    for key in BACKENDS.keys:
        backend: Fields | None = fields[key]
        if backend is not None:
            drafts.append(_draft(Backend(key.name), backend, file, report))
    return tuple(drafts)


def _draft(name: Backend, fields: Fields, file: str, report: Report) -> BackendDraft:
    urls = [_endpoint(scalar, fields.at(URL), report) for scalar in fields.each(URL)]
    total_s = fields[TOTAL]
    headers_set, remove = _headers(fields[BACKEND_HEADERS], HEADERS_SET, HEADERS_REMOVE, report)
    told_set, told_remove = _headers(fields[ANSWER_HEADERS_KEY], ANSWER_HEADERS_SET, ANSWER_HEADERS_REMOVE, report)
    written_tls = fields[TLS]
    defaults = BackendSpec(name=name, urls=(), place="")
    spec = BackendSpec(
        name=name,
        urls=tuple(url for url in urls if url is not None),
        timeout_s=fields.get(TIMEOUT, defaults.timeout_s),
        connect_s=fields.get(CONNECT, defaults.connect_s),
        total_s=None if total_s is None or math.isinf(total_s) else total_s,
        min_rate_bytes=fields.get(BACKEND_MIN_RATE, defaults.min_rate_bytes),
        max_in_flight=fields[MAX_IN_FLIGHT],
        queue=draft_queue(fields[QUEUE_KEY]),
        breaker=draft_breaker(fields[BREAKER_KEY]),
        care=draft_care(fields[ENDPOINTS_KEY]),
        retries=draft_retries(fields[RETRIES_KEY]),
        health=_probe(fields, report),
        headers_remove=remove,
        answer_headers_remove=told_remove,
        host=_told_host(fields, headers_set, report),
        place=place(file, fields.mark),
    )
    tls = None if written_tls is None else draft_backend_tls(written_tls, report)
    if written_tls is not None and spec.urls and not any(url.startswith("https:") for url in spec.urls):
        told = "no url of this backend begins with https://, so this does nothing; change the url, or leave it out"
        report.tell("unused-tls", fields.node(TLS), fields.at(TLS), told)
    tell_of_backend(fields, spec, report)
    return BackendDraft(spec=spec, headers=headers_set, answer_headers=told_set, tls=tls)


def _probe(fields: Fields, report: Report) -> Probe | None:
    scalar = fields[HEALTH]
    if scalar is None:
        return None
    if _HEALTH_PATH.fullmatch(scalar.text) is None:
        told = (
            f"{quoted(scalar.text)} is no path to ask for: write it as /readyz, anything unusual in it percent-encoded"
        )
        report.tell("bad-path", scalar, fields.at(HEALTH), told)
        return None
    return draft_probe(scalar.text, fields[ENDPOINTS_KEY])


def _told_host(fields: Fields, headers_set: Iterable[HeaderDraft], report: Report) -> str:
    scalar = fields[TOLD_HOST]
    if scalar is None:
        return KEEP
    where = fields.at(TOLD_HOST)
    for header in headers_set:
        if header.name.lower() == "host":
            told = f"headers.set has a Host too, in line {header.mark.line}; keep one of them"
            report.tell("reserved-header", scalar, where, told)
    if scalar.text not in (KEEP, ENDPOINTS_OWN):
        try:
            parts = urlsplit(f"//{scalar.text}")
            known = parts.netloc == scalar.text and parts.port != 0 and _is_host(parts.hostname or "")
        except ValueError:
            known = False
        if not known or "@" in scalar.text:
            report.tell(
                "bad-host", scalar, where, f"{quoted(scalar.text)} is no host: write keep, backend, or shop.internal"
            )
    return scalar.text


def _headers(
    fields: Fields | None,
    setting: Key[tuple[tuple[Scalar, Scalar], ...]],
    removing: Key[tuple[Scalar, ...]],
    report: Report,
) -> tuple[tuple[HeaderDraft, ...], tuple[str, ...]]:
    """What is set (its values unread), and what is removed; nothing when `fields` weren't written."""
    if fields is None:
        return (), ()
    chosen: list[HeaderDraft] = []
    for name, value in fields.each(setting):
        where = f"{fields.at(setting)}.{name.text}"
        if _may_change(name, where, report):
            chosen.append(HeaderDraft(name=name.text, text=value.text, mark=value, where=where))
    remove: list[str] = []
    for name in fields.each(removing):
        where = fields.at(removing)
        if name.text.lower() == "host":
            report.tell("reserved-header", name, where, f"{quoted(name.text)}: every request has a Host; set another")
        elif _may_change(name, where, report):
            remove.append(name.text)
    return tuple(chosen), tuple(remove)


def _may_change(name: Scalar, where: str, report: Report) -> bool:
    if not check_header(name, where, report):
        return False
    if name.text.lower() in OWN_HEADERS:
        report.tell("reserved-header", name, where, f"{quoted(name.text)} is written by the proxy itself; leave it out")
        return False
    return True


def resolve_headers(draft: BackendDraft, files: FileSet, report: Report) -> BackendSpec:
    """The backend with the values of its headers, read from where `file:` and `env:` point."""
    return msgspec.structs.replace(
        draft.spec,
        headers_set=_pairs(draft.headers, files, report),
        answer_headers_set=_pairs(draft.answer_headers, files, report),
    )


def _pairs(headers: Iterable[HeaderDraft], files: FileSet, report: Report) -> tuple[tuple[str, str], ...]:
    pairs = [(header.name, _resolve(header, files, report)) for header in headers]
    return tuple((name, value) for name, value in pairs if value is not None)


def _resolve(header: HeaderDraft, files: FileSet, report: Report) -> str | None:
    text = header.text
    others: tuple[str, ...] = ()
    if text.startswith(ENVIRONMENT):
        variable = text.removeprefix(ENVIRONMENT).strip()
        found = files.files.get(ENVIRONMENT + variable)
        if found is None:
            told = f"the environment variable {variable} isn't set where the proxy was started"
            report.tell("missing-env", header.mark, header.where, told)
            return None
        text = found.content.decode("utf-8", "replace")
    elif text.startswith("file:"):
        name = normal_name(text.removeprefix("file:").strip())
        secret = files.files.get(name)
        others = (name,)
        if secret is None or secret.trouble is not None:
            _tell_absent(name, secret.trouble if secret is not None else None, header, report)
            return None
        text = secret.content.decode("utf-8", "replace").rstrip("\r\n")
    value = text.strip(" \t")
    if not value or _BAD_IN_VALUE.search(value) is not None or "\ufffd" in value:
        # The value is not shown: it may be a secret.
        told = "the value is empty, or has characters that can't stand in a header (line ends, controls)"
        report.tell("bad-header-value", header.mark, header.where, told, others=others)
        return None
    return value


def _tell_absent(name: str, trouble: str | None, header: HeaderDraft, report: Report) -> None:
    if trouble is None:
        told = f"there is no file {quoted(name)}; paths are relative to routes.yaml"
        report.tell("missing-file", header.mark, header.where, told, others=(name,))
    else:
        report.tell(
            "unreadable-file", header.mark, header.where, f"{quoted(name)} can't be read: {trouble}", others=(name,)
        )


def _endpoint(scalar: Scalar, where: str, report: Report) -> str | None:
    """An endpoint as `scheme://host:port`."""
    origin = _origin(scalar, where, report)
    if origin is None:
        return None
    scheme, host, port = origin
    return f"{scheme}://{host}:{port or DEFAULT_PORTS[scheme]}"


def check_origin(scalar: Scalar, where: str, report: Report) -> str | None:
    """An origin as people see it: the default port left out."""
    origin = _origin(scalar, where, report)
    if origin is None:
        return None
    scheme, host, port = origin
    return f"{scheme}://{host}" if port in (None, DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{port}"


def _origin(scalar: Scalar, where: str, report: Report) -> tuple[str, str, int | None] | None:
    text = scalar.text
    why = None
    host, port = "", None
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").lower()
    except ValueError as error:
        report.tell("bad-url", scalar, where, f"{quoted(text)} is no URL: {error}")
        return None
    if parts.scheme not in DEFAULT_PORTS:
        why = 'write it as "http://host:port" or "https://host:port"'
    elif parts.path not in ("", "/") or parts.query or parts.fragment or "?" in text or "#" in text:
        why = "only scheme, host and port stand here; a path is changed by a route's rewrite"
    elif parts.username is not None or "@" in parts.netloc:
        why = "no user or password stands here; set a header instead"
    elif len(host) > _LONGEST_NAME or max(map(len, host.split("."))) > _LONGEST_LABEL:
        why = f"a host name has {_LONGEST_NAME} characters at most, and {_LONGEST_LABEL} between two dots"
    elif port == 0 or not _is_host(host):
        why = "the host or port can't be read"
    if why is not None:
        report.tell("bad-url", scalar, where, f"{quoted(text)}: {why}")
        return None
    return parts.scheme, f"[{host}]" if ":" in host else host, port


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return _HOST_NAME.fullmatch(host) is not None and ".." not in host
