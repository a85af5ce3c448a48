"""TLS, PROXY headers and error pages as routes.yaml writes them; the files that are named are read later (`credentials`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from proxy.config.edges.shapes_edges import (
    CA,
    CERTIFICATE,
    CERTIFICATES,
    CLIENT_CA,
    HANDSHAKE,
    LISTENER_TLS,
    MINIMUM,
    OUR_CERTIFICATE,
    OUR_KEY,
    PRIVATE_KEY,
    PROXY_PROTOCOL_FROM,
    SERVER_NAME,
    VERIFY,
)
from proxy.config.problems import Report, quoted
from proxy.config.routes.drafts import BackendTlsDraft, ListenerDraft, Mentioned, PageDraft, PairDraft
from proxy.config.routes.identity import networks
from proxy.core.plan import BackendTls, Listener

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.kinds import Fields, Key
    from proxy.config.text.nodes import Scalar

_EVERYBODY: Final = "whoever connects may say that it is somebody else; name the load balancers alone"


def draft_listener(fields: Fields | None, report: Report) -> ListenerDraft | None:
    """The listener, if anything is written of it."""
    if fields is None:
        return None
    record = Listener(
        handshake_s=fields.get(HANDSHAKE, Listener().handshake_s),
        proxy_protocol_from=networks(
            fields.each(PROXY_PROTOCOL_FROM), fields.at(PROXY_PROTOCOL_FROM), _EVERYBODY, report
        ),
    )
    tls = fields[LISTENER_TLS]
    if tls is None:
        return ListenerDraft(record=record, minimum="1.2", certificates=(), client_ca=None)
    minimum: Literal["1.2", "1.3"] = "1.3" if tls[MINIMUM] == "1.3" else "1.2"
    pairs = (_pair(one, CERTIFICATE, PRIVATE_KEY) for one in tls.each(CERTIFICATES))
    return ListenerDraft(
        record=record,
        minimum=minimum,
        certificates=tuple(one for one in pairs if one is not None),
        client_ca=_mention(tls, CLIENT_CA),
    )


def draft_backend_tls(fields: Fields, report: Report) -> BackendTlsDraft:
    """How a backend is met over TLS."""
    verify = fields[VERIFY] is not False
    if not verify:
        told = "whoever sits in between can read and change everything; leave it out, and name the certificate to trust in ca"
        report.tell("unverified-backend", fields.node(VERIFY), fields.at(VERIFY), told)
    for one, other in ((OUR_CERTIFICATE, OUR_KEY), (OUR_KEY, OUR_CERTIFICATE)):
        if fields.has(one) and not fields.has(other):
            told = f'the key "{other.name}" is missing: a certificate and its private key belong together'
            report.tell("missing-key", fields.mark, fields.where, told)
    name = fields[SERVER_NAME]
    return BackendTlsDraft(
        record=BackendTls(server_name=None if name is None else _host(name, fields, report), verify=verify),
        ca=_mention(fields, CA),
        pair=_pair(fields, OUR_CERTIFICATE, OUR_KEY),
    )


def draft_error_pages(pages: Iterable[tuple[Scalar, Scalar]], where: str) -> tuple[PageDraft, ...]:
    """The error pages."""
    return tuple(
        PageDraft(status=status.text, file=Mentioned(name=file.text, mark=file, where=f"{where}.{status.text}"))
        for status, file in pages
    )


def _pair(fields: Fields, certificate: Key[Scalar], key: Key[Scalar]) -> PairDraft | None:
    one, other = _mention(fields, certificate), _mention(fields, key)
    return None if one is None or other is None else PairDraft(certificate=one, key=other)


def _mention(fields: Fields, key: Key[Scalar]) -> Mentioned | None:
    scalar = fields[key]
    return None if scalar is None else Mentioned(name=scalar.text, mark=scalar, where=fields.at(key))


def _host(scalar: Scalar, fields: Fields, report: Report) -> str:
    name = scalar.text.lower()
    if not name.isascii() or len(name) > 253 or any(not part for part in name.split(".")) or set(name) & set("/:@ *"):
        told = f"{quoted(scalar.text)} is no host; write it as in the certificate, without scheme and port"
        report.tell("bad-host", scalar, fields.at(SERVER_NAME), told)
    return name
