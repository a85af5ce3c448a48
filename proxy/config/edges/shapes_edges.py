"""The keys of routes.yaml for both edges: how clients are met, how backends are over TLS, what an answer of our own looks like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from proxy.config.kinds import Key, ListOf, MapOf, OneOf, Shape, Text, YesNo
from proxy.config.problems import quoted
from proxy.config.quantities import Duration

if TYPE_CHECKING:
    from proxy.config.problems import Report
    from proxy.config.text.nodes import Scalar

_FILE: Final = Text("a file")

# -- a certificate with its key
CERTIFICATE = Key(
    name="certificate",
    kind=_FILE,
    required=True,
    meaning="PEM: the certificate, then those that lead to the authority.",
)
PRIVATE_KEY = Key(name="key", kind=_FILE, required=True, meaning="PEM: its private key, not encrypted.")
KEY_PAIR: Final = Shape("listener.tls.certificates[]", (CERTIFICATE, PRIVATE_KEY))

# -- clients
CERTIFICATES = Key(
    name="certificates",
    kind=ListOf(KEY_PAIR),
    required=True,
    meaning="Chosen by the name that a client asks for (SNI); the first serves everybody else.",
)
CLIENT_CA = Key(
    name="client_ca",
    kind=_FILE,
    default="none is asked for",
    meaning="PEM: authorities one of which must have signed the certificate that every client then needs.",
)
MINIMUM = Key(
    name="minimum", kind=OneOf(("1.2", "1.3")), default="`1.2`", meaning="The oldest version of TLS that is spoken."
)
LISTENER_TLS_SHAPE: Final = Shape("listener.tls", (CERTIFICATES, CLIENT_CA, MINIMUM))

LISTENER_TLS = Key(name="tls", kind=LISTENER_TLS_SHAPE, default="plain text", meaning="Clients are met over TLS.")
HANDSHAKE = Key(
    name="handshake",
    kind=Duration(),
    default="`10s`",
    meaning="The longest that TLS handshake and PROXY header may take.",
)
PROXY_PROTOCOL_FROM = Key(
    name="proxy_protocol_from",
    kind=ListOf(Text("an address range such as `10.1.2.3/32`")),
    default="nobody",
    meaning="Peers that tell by a PROXY header (version 1 or 2) who connected to them: they must send one, nobody else's is read.",
)
LISTENER: Final = Shape("listener", (LISTENER_TLS, HANDSHAKE, PROXY_PROTOCOL_FROM), needs_one=True)

# -- a backend over TLS
CA = Key(
    name="ca",
    kind=_FILE,
    default="the system's authorities",
    meaning="PEM: authorities, or the very certificate, that alone are trusted.",
)
OUR_CERTIFICATE = Key(
    name="certificate", kind=_FILE, meaning="PEM: what we show when the backend asks who we are, with its chain."
)
OUR_KEY = Key(name="key", kind=_FILE, meaning="PEM: its private key, not encrypted.")
SERVER_NAME = Key(
    name="server_name",
    kind=Text("a host"),
    default="the URL's host",
    meaning="The name that is asked for (SNI), and that the certificate must be for.",
)
VERIFY = Key(
    name="verify",
    kind=YesNo(),
    default="`true`",
    meaning="Whether the certificate must be trusted, valid, and for the host; `false` is a warning.",
)
BACKEND_TLS: Final = Shape("backends.*.tls", (CA, OUR_CERTIFICATE, OUR_KEY, SERVER_NAME, VERIFY), needs_one=True)

# -- answers of our own
STATUSES: Final = re.compile(r"[45](?:xx|[0-9]{2})")


def _check_status(scalar: Scalar, where: str, report: Report) -> bool:
    if STATUSES.fullmatch(scalar.text):
        return True
    report.tell("bad-status", scalar, where, f"{quoted(scalar.text)} is no status of an error: 400 to 599, 4xx or 5xx")
    return False


ERROR_PAGES: Final = MapOf(_FILE, "status", _check_status, f"^{STATUSES.pattern}$")

SHAPES_OF_EDGES: Final = (LISTENER, LISTENER_TLS_SHAPE, KEY_PAIR, BACKEND_TLS)
"""As docs/routes.md lists them."""
