"""Every metric there is, once: name, kind, labels, help. `/metrics` prints from it; docs/metrics.md is held against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from proxy.core.telling.counters import OVERFLOW


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A family of series."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


METRICS: Final[tuple[Metric, ...]] = (
    # traffic
    Metric(
        "strangler_requests_total", "counter", ("area", "backend", "status"), "Exchanges that ended, by status class."
    ),
    Metric("strangler_decisions_total", "counter", ("area", "backend", "reason"), "Decisions, by what decided."),
    Metric(
        "strangler_request_duration_us",
        "histogram",
        ("backend",),
        "Microseconds from a request's head to its answer's last byte; not of WebSockets and event streams, which have no end of their own.",
    ),
    Metric(
        "strangler_request_head_us",
        "histogram",
        ("backend",),
        "The same to its answer's head: how long the system thought.",
    ),
    Metric(
        "strangler_faults_total",
        "counter",
        ("party", "stage", "kind", "backend"),
        "What broke an exchange or an attempt: who, while doing what.",
    ),
    Metric(
        "strangler_inner_hosts_told_total",
        "counter",
        ("backend", "header"),
        "Lines of answers that name an inner host, where `public_origin` is set.",
    ),
    Metric(
        "strangler_defects_total",
        "counter",
        ("where",),
        "Defects of the proxy's own in what it does four times a second, whatever the requests; standard error has the trace.",
    ),
    Metric("strangler_refused_total", "counter", ("reason",), "Answers of the proxy's own."),
    Metric(
        "strangler_limits_reached_total", "counter", ("limit",), "Refusals and ends because of a limit, by its key."
    ),
    Metric(
        "strangler_capped_total",
        "counter",
        ("area", "cap"),
        "Requests that were beyond a `rate`: of their `account`, or the `total` of their area.",
    ),
    Metric(
        "strangler_drill_faults_total",
        "counter",
        ("area", "backend", "fault"),
        "Requests that met the fault of a drill: whatever it makes of them is counted as the backend's elsewhere.",
    ),
    Metric("strangler_retries_total", "counter", ("backend",), "Requests sent again, or to another endpoint."),
    Metric(
        "strangler_retries_withheld_total",
        "counter",
        ("backend",),
        "Requests that failed at once, since the backend's retries were used up (`retries`).",
    ),
    Metric("strangler_requests_in_flight", "gauge", (), "Exchanges that have begun and not ended."),
    Metric("strangler_tunnels_open", "gauge", ("area", "backend"), "WebSockets that are open; each is in flight too."),
    Metric(
        "strangler_event_streams_open",
        "gauge",
        ("area", "backend"),
        "Event streams that are open; each is in flight too.",
    ),
    Metric("strangler_received_bytes_total", "counter", (), "Bytes received from clients."),
    Metric("strangler_sent_bytes_total", "counter", (), "Bytes sent to clients."),
    Metric("strangler_client_connections_total", "counter", (), "Connections that clients made."),
    Metric("strangler_client_connections_open", "gauge", (), "Clients that are connected."),
    Metric("strangler_backend_connections_opened_total", "counter", ("backend",), "Connections made to a backend."),
    Metric("strangler_backend_connections_reused_total", "counter", ("backend",), "Exchanges on a kept connection."),
    Metric(
        "strangler_backend_connect_us",
        "histogram",
        ("backend",),
        "Microseconds until a connection to a backend was made.",
    ),
    Metric("strangler_backend_connections_open", "gauge", ("backend",), "Connections to a backend."),
    Metric(
        "strangler_backend_in_flight",
        "gauge",
        ("backend",),
        "Exchanges that hold a place of `max_in_flight`, or would if there were one.",
    ),
    Metric("strangler_queue_waiting", "gauge", ("backend",), "Requests that wait for a place of `max_in_flight`."),
    Metric(
        "strangler_queue_wait_us",
        "histogram",
        ("backend",),
        "Microseconds that requests waited for a place, whether they got it or not; those that got it at once aren't here.",
    ),
    Metric(
        "strangler_queue_refused_total",
        "counter",
        ("backend", "why"),
        "Requests that got no place: the queue was full, their account had too many in it, or it took too long (late).",
    ),
    Metric(
        "strangler_breaker_open",
        "gauge",
        ("backend", "state"),
        "Workers whose breaker isn't closed: open (requests are refused) or half_open (a few are let through to try).",
    ),
    Metric(
        "strangler_breaker_half_open_s",
        "gauge",
        ("backend",),
        "Seconds for which breakers have been half open and wait for requests that prove something, added up over the workers.",
    ),
    Metric(
        "strangler_fallbacks_total",
        "counter",
        ("area",),
        "Reads that legacy answered because new couldn't be reached at all; only with `fallback: safe`.",
    ),
    Metric("strangler_breaker_opened_total", "counter", ("backend",), "How often a breaker opened, by all workers."),
    Metric(
        "strangler_endpoint_held_off",
        "gauge",
        ("backend", "endpoint", "why"),
        "Workers that ask others first: it is unreachable, unhealthy (as its probes say), ejected (it left requests unanswered), or returning (its part grows).",
    ),
    Metric(
        "strangler_endpoint_ejections_total",
        "counter",
        ("backend",),
        "How often an endpoint was left out because it left requests unanswered, by all workers.",
    ),
    Metric(
        "strangler_tasks",
        "gauge",
        ("worker",),
        "Tasks of a worker's loop: a handful, and one for each connection that is being made; more and more of them are a leak.",
    ),
    Metric(
        "strangler_log_lines_dropped_total", "counter", (), "Lines of the access log that a slow disk or pipe cost."
    ),
    Metric(
        "strangler_route_requests_total",
        "counter",
        ("route", "backend", "status"),
        "Exchanges that ended, by route; only with `metrics: {routes: true}`.",
    ),
    Metric(
        "strangler_route_time_us_total",
        "counter",
        ("route", "backend"),
        "Microseconds that they took, without WebSockets and event streams; likewise.",
    ),
    Metric(
        "strangler_spans_exported_total", "counter", (), "Spans that the collector took; only with `tracing.export`."
    ),
    Metric("strangler_spans_dropped_total", "counter", (), "Spans that it didn't take, or that found no room to wait."),
    # control
    Metric("strangler_generation", "gauge", ("worker",), "The generation that a worker serves; 0: none yet."),
    Metric("strangler_generation_posted", "gauge", (), "The generation that workers are told to serve."),
    Metric("strangler_latch_epoch", "gauge", ("worker",), "The epoch of the latch that a worker obeys."),
    Metric("strangler_latch_epoch_latest", "gauge", (), "The epoch of the latch that workers shall obey."),
    Metric("strangler_rollbacks_in_force", "gauge", (), "Rollbacks that stand."),
    Metric("strangler_drills_in_force", "gauge", (), "Drills that are on."),
    Metric("strangler_latch_on_disk", "gauge", (), "1: the latch would outlive a restart of everything; 0: not yet."),
    Metric(
        "strangler_endpoint_healthy",
        "gauge",
        ("backend", "endpoint"),
        "1: its probes say that it is healthy; 0: they don't. Only with `health`.",
    ),
    Metric(
        "strangler_legacy_warm_percent",
        "gauge",
        (),
        "Of what legacy would get if everything were rolled back, how much it is shown to carry; not there without traffic.",
    ),
    Metric(
        "strangler_legacy_would_get_per_second",
        "gauge",
        (),
        "Requests a second that legacy would get if everything were rolled back, over a minute.",
    ),
    Metric(
        "strangler_legacy_carried_most_per_second",
        "gauge",
        (),
        "The most requests a second that legacy answered over 10 s, in the last 24 h.",
    ),
    Metric("strangler_name_addresses", "gauge", ("name",), "Addresses that are known of an endpoint's host."),
    Metric(
        "strangler_name_stale",
        "gauge",
        ("name",),
        "1: the host can't be looked up, and the addresses that were known last are kept.",
    ),
    Metric(
        "strangler_name_lookups_total",
        "counter",
        ("result",),
        "Questions for hosts of endpoints: same, changed, failed.",
    ),
    Metric("strangler_plan_info", "gauge", ("plan",), "Always 1; the label names the plan that is posted."),
    Metric(
        "strangler_reloads_total",
        "counter",
        ("result",),
        "Changes of files: ok, held_back (a file is broken), failed (the disk).",
    ),
    Metric("strangler_files_held_back", "gauge", (), "Files that stay at their last good version."),
    Metric(
        "strangler_journal_behind", "gauge", (), "Events that wait for a disk that failed; above 0 it needs somebody."
    ),
    Metric("strangler_starts_total", "counter", ("process",), "How often the supervisor started control or a worker."),
    Metric(OVERFLOW, "counter", (), "Counts that found no room: labels have more values than a page has cells."),
)

_FAMILIES: Final = {metric.name: metric for metric in METRICS}


def render(samples: Iterable[tuple[str, int | float]]) -> str:
    """The Prometheus text format (0.0.4), families together, in the table's order.

    Args:
        samples: sample name with labels → value; a family that isn't in the table is left untyped.
    """
    families: dict[str, list[str]] = {}
    for name, value in samples:
        families.setdefault(family_of(name), []).append(f"{name} {value}\n")
    return "".join(_rendered(families))


def family_of(sample: str) -> str:
    """The metric that a sample belongs to: a histogram has several samples."""
    name = sample.partition("{")[0]
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and (metric := _FAMILIES.get(base)) is not None and metric.kind == "histogram":
            return base
    return name


def label(value: str) -> str:
    """A label's value, escaped (Prometheus text format)."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _rendered(families: dict[str, list[str]]) -> Iterator[str]:
    for metric in METRICS:
        lines = families.pop(metric.name, None)
        if lines is not None:
            yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
            yield from lines
    for name, lines in families.items():
        yield f"# TYPE {name} untyped\n"
        yield from lines
