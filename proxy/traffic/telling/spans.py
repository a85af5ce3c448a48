"""One span for each recorded exchange: what it tells, after OpenTelemetry's semantic conventions for HTTP servers.

Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (stable). What isn't in the access log isn't here either:
no query, no header value, no account, no client's address.

Only a thread that exports imports this, and with it OpenTelemetry, from the extra `otel`.
"""

from __future__ import annotations

import importlib.metadata
import logging
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from proxy.core.model import Reason
from proxy.core.override import override
from proxy.core.telling.status import managed_share_bp
from proxy.traffic.telling.log import PATH_CHARS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.core.deciding.decision import Decision
    from proxy.traffic.telling.export import Recorded

Attributes = dict[str, str | int]

_VERSION: Final = importlib.metadata.version("strangler")
_SCOPE: Final = InstrumentationScope("strangler", _VERSION)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
_FAILED: Final = 500
_METHOD_CHARS: Final = 32


class _Heard(logging.Handler):
    """Hears what OpenTelemetry complains about: it would tell each failed batch, and give only `False` for the reason."""

    def __init__(self) -> None:
        super().__init__()
        self.last = "it was refused"

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def sender(url: str) -> Callable[[Sequence[Recorded]], str | None]:
    """What sends a batch to a collector; it gives the reason when that didn't take it."""
    heard = _Heard()
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers[:] = [heard]  # a former collector's hears no more
    exporter = OTLPSpanExporter(endpoint=url)
    who = resource()

    def send(batch: Sequence[Recorded]) -> str | None:
        done = exporter.export([span_of(one, who) for one in batch]) is SpanExportResult.SUCCESS
        return None if done else heard.last

    return send


def resource() -> Resource:
    """Who sends spans: `strangler`, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise."""
    ours = Resource(
        {
            "service.name": "strangler",
            "service.version": _VERSION,
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": importlib.metadata.version("opentelemetry-sdk"),
        }
    )
    return ours.merge(OTELResourceDetector().detect())


def span_of(recorded: Recorded, sender: Resource) -> ReadableSpan:
    """The span of an exchange."""
    context = recorded.context
    trace_id = int(context.trace_id, 16)
    state = TraceState.from_header([value.decode("latin-1") for value in recorded.tracestate])
    parent = None
    if recorded.parent_id is not None:
        flags = TraceFlags(context.flags)
        parent = SpanContext(
            trace_id, int(recorded.parent_id, 16), is_remote=True, trace_flags=flags, trace_state=state
        )
    method = recorded.method.decode()
    known = method in _METHODS
    route = recorded.decision.route
    name = method if known else "HTTP"
    attributes = _attributes(recorded)
    attributes["http.request.method"] = method if known else "_OTHER"
    if not known:
        attributes["http.request.method_original"] = method[:_METHOD_CHARS]
    if route is not None:
        attributes["http.route"] = route.record.path
        name = f"{name} {route.record.path}"
    return ReadableSpan(
        name,
        SpanContext(
            trace_id,
            int(context.span_id, 16),
            is_remote=False,
            trace_flags=TraceFlags(context.flags),
            trace_state=state,
        ),
        parent=parent,
        resource=sender,
        attributes=attributes,
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR if recorded.status >= _FAILED else StatusCode.UNSET),
        start_time=recorded.ended_ns - recorded.duration_us * 1000,
        end_time=recorded.ended_ns,
        instrumentation_scope=_SCOPE,
    )


def _attributes(recorded: Recorded) -> Attributes:
    path = recorded.path[:PATH_CHARS].decode("utf-8", "backslashreplace")
    attributes: Attributes = {
        "url.path": path,
        "url.scheme": recorded.scheme,
        "network.protocol.version": f"1.{recorded.minor}",
        "strangler.request_id": recorded.request_id.decode(),
        "strangler.generation": recorded.generation,
        **_decided(recorded.decision),
    }
    if recorded.status:
        attributes["http.response.status_code"] = recorded.status
    if recorded.decision.host:
        attributes["server.address"] = recorded.decision.host
    if recorded.endpoint is not None:
        attributes["strangler.endpoint"] = recorded.endpoint
    if recorded.head_us is not None:
        attributes["strangler.head_us"] = recorded.head_us
    if recorded.fault is not None:
        attributes["error.type"] = recorded.fault
    elif recorded.status >= _FAILED:
        attributes["error.type"] = str(recorded.status)
    return attributes


def _decided(decision: Decision) -> Attributes:
    decided: Attributes = {"strangler.backend": str(decision.backend), "strangler.reason": str(decision.reason)}
    if decision.area is not None:
        decided["strangler.area"] = decision.area
    if decision.route_id is not None:
        decided["strangler.route"] = decision.route_id
    if decision.clause is not None:
        decided["strangler.clause"] = decision.clause
    if decision.bucket is not None:
        decided["strangler.bucket"] = decision.bucket
    flag = None if decision.route is None else decision.route.flag
    if decision.reason is Reason.SHARE and flag is not None and flag.record.managed:
        decided["strangler.share_bp"] = managed_share_bp(flag.record)
    return decided
