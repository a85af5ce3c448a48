"""Who is asking: trusted peers, and the sources of account and region."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from proxy.config.edges.signing import draft_visitors
from proxy.config.names import FRAMING_HEADERS, check_header, is_token, place
from proxy.config.problems import Report, nearest, quoted
from proxy.config.routes.drafts import Mentioned
from proxy.config.routes.effect import tell_of_visitors
from proxy.config.routes.shapes import ACCOUNT_FROM, REGION_FROM, TRUSTED_FROM
from proxy.config.text.nodes import Scalar
from proxy.core.deciding.pattern import Capture, PatternError, parse_host, parse_path
from proxy.core.plan import Identity, Source, SourceKind

if TYPE_CHECKING:
    from proxy.config.kinds import Fields

_KINDS: Final = ("header", "cookie", "path", "host", "jwt", "account")


def draft_identity(fields: Fields, file: str, report: Report) -> tuple[Identity, tuple[Mentioned, ...]]:
    """Identity, and the attributes of the register that it reads."""
    written = fields.each(TRUSTED_FROM)
    trusted = networks(written, "identity.trusted_from", "every client may say who it is", report)
    attributes: list[Mentioned] = []
    found: dict[str, tuple[Source, ...]] = {}
    for key, capture in ((ACCOUNT_FROM, "account"), (REGION_FROM, "region")):
        sources: list[Source] = []
        for i, scalar in enumerate(fields.each(key), 1):
            where = f"{fields.at(key)}[{i}]"
            source = _source(scalar, where, capture, file, report)
            if source is None:
                continue
            sources.append(source)
            if source.source == "account":
                attributes.append(Mentioned(name=source.name, mark=scalar, where=where))
            if source.source == "header" and not written:
                text = "nobody is trusted to set it, so it would always be absent; name your gateways in trusted_from"
                report.tell("untrusted-header", scalar, where, f"{quoted(scalar.text)}: {text}")
        found[capture] = tuple(sources)
    identity = Identity(
        trusted_from=trusted, account=found["account"], region=found["region"], visitors_s=draft_visitors(fields)
    )
    tell_of_visitors(fields, identity, report)
    return identity, tuple(attributes)


def networks(scalars: Iterable[Scalar], where: str, danger: str, report: Report) -> tuple[str, ...]:
    """Address ranges; `danger` says what it means to name every address."""
    found = [_network(scalar, f"{where}[{i}]", danger, report) for i, scalar in enumerate(scalars, 1)]
    return tuple(network for network in found if network is not None)


def _network(scalar: Scalar, where: str, danger: str, report: Report) -> str | None:
    text = scalar.text
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        try:
            meant = f'; did you mean "{ipaddress.ip_network(text, strict=False)}"?'
        except ValueError:
            meant = "; write it as 10.1.2.3/32 or 2001:db8::/32"
        report.tell("bad-network", scalar, where, f"{quoted(text)} is no address range{meant}")
        return None
    if network.prefixlen == 0:
        report.tell("trusts-everyone", scalar, where, f"{quoted(text)}: {danger}; name the gateways alone")
    return str(network)


def _source(scalar: Scalar, where: str, capture: str, file: str, report: Report) -> Source | None:
    kind, colon, name = scalar.text.partition(":")
    name = name.strip()
    if not colon or not name:
        report.tell(
            "bad-source",
            scalar,
            where,
            f"{quoted(scalar.text)} is no source; write it as KIND:NAME, such as header:X-Id",
        )
        return None
    shift = scalar.lead + len(scalar.text) - len(name)
    match kind:
        case "header" if check_header(Scalar(scalar.line, scalar.column + shift, name, name), where, report):
            if name.lower() in FRAMING_HEADERS | {"host", "cookie"}:
                report.tell("reserved-header", scalar, where, f"{quoted(name)} says nothing about who asks")
                return None
            return _made("header", name.lower(), scalar, file)
        case "header":
            return None
        case "cookie" if is_token(name):
            return _made("cookie", name, scalar, file)
        case "cookie":
            report.tell("bad-cookie", scalar, where, f"{quoted(name)} is no cookie name", shift=shift)
            return None
        case "path" | "host":
            return _pattern(kind, name, capture, scalar, where, file, report)
        case "account" if capture == "region":
            return _made("account", name, scalar, file)
        case "account":
            report.tell("bad-source", scalar, where, "the account can't come from an attribute of the account")
            return None
        case "jwt":
            report.tell(
                "not-yet", scalar, where, f"{quoted(scalar.text)}: signed tokens are not built yet; leave it out"
            )
            return None
        case _:
            told = f"{quoted(kind)} is no kind of source{nearest(kind, _KINDS)}"
            report.tell("bad-source", scalar, where, told)
            return None


def _pattern(
    kind: SourceKind, text: str, capture: str, scalar: Scalar, where: str, file: str, report: Report
) -> Source | None:
    try:
        if kind == "path":
            captures = parse_path(text).captures
        else:
            captures = tuple(label.name for label in parse_host(text).labels if isinstance(label, Capture))
    except PatternError as error:
        shift = scalar.lead + len(scalar.text) - len(text) + error.offset
        report.tell("bad-source", scalar, where, f"{quoted(scalar.text)}: {error.why}", shift=shift)
        return None
    if captures != (capture,):
        told = f"{quoted(scalar.text)}: exactly one capture, {{{capture}}}, stands where the {capture} is"
        report.tell("bad-source", scalar, where, told)
        return None
    return _made(kind, text, scalar, file)


def _made(kind: SourceKind, name: str, scalar: Scalar, file: str) -> Source:
    return Source(source=kind, name=name, place=place(file, scalar))
