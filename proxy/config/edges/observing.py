"""What is told of the traffic: traces of requests, where spans are exported to, and further metrics."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.config.kinds import Key, OneOf, Shape, Text, YesNo
from proxy.config.percent import Percent
from proxy.config.problems import Report, quoted
from proxy.core.plan import Tracing

if TYPE_CHECKING:
    from proxy.config.kinds import Fields
    from proxy.config.text.nodes import Scalar

_TRACES_PATH: Final = "/v1/traces"  # what OTLP/HTTP appends to the URL of a collector
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http"

CONTEXT = Key(
    name="context",
    kind=OneOf(("pass", "begin")),
    default="`pass`",
    meaning="What becomes of a request that belongs to no trace: it passes so, or one is begun for it.",
)
ACCEPT = Key(
    name="accept",
    kind=OneOf(("anyone", "trusted")),
    default="`anyone`",
    meaning="Whose `traceparent` and `tracestate` count: everybody's, or only those of peers in `identity.trusted_from`; "
    "others' are removed.",
)
SAMPLE = Key(
    name="sample",
    kind=Percent(),
    default="`1%`",
    meaning="The share of the traces begun here that are marked as sampled; who began a trace elsewhere has decided that.",
)
EXPORT = Key(
    name="export",
    kind=Text("a URL such as `http://collector:4318`", pattern="^[Hh][Tt][Tt][Pp][Ss]?://"),
    default="no spans",
    meaning="Where one span for each sampled request is sent (OTLP over HTTP); needs the extra `otel`.",
)
TRACING: Final = Shape("tracing", (CONTEXT, ACCEPT, SAMPLE, EXPORT), needs_one=True)
TRACING_KEY = Key(
    name="tracing",
    kind=TRACING,
    default="traces pass as they came",
    meaning="What is done about traces (W3C Trace Context).",
)

PER_ROUTE = Key(
    name="routes",
    kind=YesNo(),
    default="`false`",
    meaning="Whether requests are counted by route, too: up to twelve series a route.",
)
METRICS: Final = Shape("metrics", (PER_ROUTE,), needs_one=True)
METRICS_KEY = Key(name="metrics", kind=METRICS, meaning="What is counted beyond the usual.")


def draft_tracing(fields: Fields | None, report: Report) -> Tracing | None:
    """The settings of `tracing:`; None: it isn't written, and traces are nobody's business here."""
    if fields is None:
        return None
    url = fields[EXPORT]
    return Tracing(
        begin=fields[CONTEXT] == "begin",
        trusted_only=fields[ACCEPT] == "trusted",
        sample_bp=fields.get(SAMPLE, Tracing().sample_bp),
        export=None if url is None else _collector(url, fields.at(EXPORT), report),
    )


def draft_by_route(fields: Fields | None) -> bool:
    """Whether `metrics:` wants series by route."""
    return fields is not None and fields[PER_ROUTE] is True


def _collector(scalar: Scalar, where: str, report: Report) -> str | None:
    """The URL that spans are sent to."""
    text = scalar.text
    why = None
    try:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            why = 'write it as "http://collector:4318"'
        elif parts.query or parts.fragment or "?" in text or "#" in text:
            why = "no query stands here"
        elif "@" in parts.netloc:
            why = "no user or password stands here; OTEL_EXPORTER_OTLP_HEADERS in the environment takes what is secret"
    except ValueError as error:
        why = str(error)
    if why is not None:
        report.tell("bad-url", scalar, where, f"{quoted(text)}: {why}")
        return None
    if not can_export():
        told = "spans can't be exported, for OpenTelemetry isn't installed here; in a checkout: pip install '.[otel]'"
        report.tell("missing-extra", scalar, where, told)
        return None
    base = text.rstrip("/")
    return base if base.endswith(_TRACES_PATH) else base + _TRACES_PATH


def can_export() -> bool:
    """Whether what the extra `otel` brings is installed; nothing of it is imported for that but empty packages."""
    try:
        return importlib.util.find_spec(_EXPORTER) is not None
    except ImportError:
        return False
