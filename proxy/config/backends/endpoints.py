"""When endpoints are left out and how they come back: the keys of `backends.*.endpoints`, and what is made of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from proxy.config.kinds import Key, Shape
from proxy.config.quantities import Duration, Whole
from proxy.core.care.reaching import EndpointCare, Probe

if TYPE_CHECKING:
    from proxy.config.kinds import Fields

FAULTS = Key(
    name="faults",
    kind=Whole(1, 1000, may_be_off=True),
    default="`5`",
    meaning="Requests in a row that an endpoint leaves unanswered (cut, or silent for `timeout`); then others are asked first. Envoy 5.",
)
LEFT_OUT = Key(
    name="left_out",
    kind=Duration(),
    default="`1s`",
    meaning="For how long, and when it can't be reached; twice as long each time it fails again. nginx `fail_timeout` 10 s, Envoy 30 s, neither asking so little at first afterwards.",
)
LEFT_OUT_LONGEST = Key(
    name="left_out_longest",
    kind=Duration(),
    default="`30s`",
    meaning="The longest that it becomes. Envoy 300 s.",
)
SLOW_START = Key(
    name="slow_start",
    kind=Duration(may_be_off=True),
    default="`10s`",
    meaning="In this time its part of the requests grows from a tenth to the whole. nginx and HAProxy, where it is off, `slow_start` and `slowstart`.",
)
PROBE_EVERY = Key(
    name="probe_every", kind=Duration(), default="`5s`", meaning="The time between two probes (`health`). nginx 5 s."
)
PROBE_TIMEOUT = Key(
    name="probe_timeout",
    kind=Duration(),
    default="`2s`",
    meaning="The longest that a probe may take, connecting included. HAProxy 2 s, Kubernetes 1 s.",
)
UNHEALTHY_AFTER = Key(
    name="unhealthy_after",
    kind=Whole(1, 100),
    default="`3`",
    meaning="Probes in a row that failed. HAProxy `fall`, Kubernetes 3.",
)
HEALTHY_AFTER = Key(
    name="healthy_after",
    kind=Whole(1, 100),
    default="`2`",
    meaning="Probes in a row that succeeded, of one that was unhealthy. HAProxy `rise` 2.",
)
ENDPOINTS: Final = Shape(
    "backends.*.endpoints",
    (
        *(FAULTS, LEFT_OUT, LEFT_OUT_LONGEST, SLOW_START),
        *(PROBE_EVERY, PROBE_TIMEOUT, UNHEALTHY_AFTER, HEALTHY_AFTER),
    ),
)
ENDPOINTS_KEY = Key(
    name="endpoints",
    kind=ENDPOINTS,
    default="as its keys say",
    meaning="When one of several endpoints is left out, and how it comes back.",
)


def draft_care(fields: Fields | None) -> EndpointCare:
    """What was written, and the defaults for the rest."""
    default = EndpointCare()
    if fields is None:
        return default
    slow_start_s = fields.get(SLOW_START, default.slow_start_s)
    return EndpointCare(
        faults=fields.get(FAULTS, default.faults),
        first_s=fields.get(LEFT_OUT, default.first_s),
        longest_s=fields.get(LEFT_OUT_LONGEST, default.longest_s),
        slow_start_s=0.0 if math.isinf(slow_start_s) else slow_start_s,
    )


def draft_probe(path: str, fields: Fields | None) -> Probe:
    """How a path is asked for."""
    default = Probe(path=path)
    if fields is None:
        return default
    return Probe(
        path=path,
        every_s=fields.get(PROBE_EVERY, default.every_s),
        timeout_s=fields.get(PROBE_TIMEOUT, default.timeout_s),
        unhealthy_after=fields.get(UNHEALTHY_AFTER, default.unhealthy_after),
        healthy_after=fields.get(HEALTHY_AFTER, default.healthy_after),
    )
