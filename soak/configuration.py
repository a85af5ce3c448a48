"""What the proxy of a soak is told, and what the oracle knows of it."""

from __future__ import annotations

from typing import Final

from soak.clients import PILOTS
from soak.expected import Situation
from soak.pressure import Bounds

WORKERS: Final = 2
BACKEND_TIMEOUT_S: Final = 4.0
NAME: Final = "shop.test"
"""By which the endpoints of `NAMED` are known."""
NAMED: Final = "legacy"
PROBED: Final = "new"
"""The system that is probed."""
CONNECTIONS: Final = 200
"""Of clients, on all workers: more than everybody together makes who asks."""
DRAIN_S: Final = 2.0
"""In which a rollback ends WebSockets and event streams."""

ROUTES: Final = """\
version: 1
backends:
  legacy: {{url: ["http://shop.test:{0}", "http://shop.test:{1}"], timeout: 4s, connect: 1s, endpoints: {{slow_start: 1s}}, breaker: {{open: 250ms, open_longest: 500ms}}}}
  new: {{url: ["http://127.0.0.1:{2}", "http://127.0.0.1:{3}"], timeout: 4s, connect: 1s, health: /health, endpoints: {{slow_start: 1s, probe_every: 250ms, unhealthy_after: 2, healthy_after: 1}}, breaker: {{open: 250ms, open_longest: 500ms}}, max_in_flight: 20, queue: {{most: 20, wait: 300ms}}}}
dns: {{servers: "{4}", shortest: 250ms, timeout: 500ms}}
identity:
  trusted_from: [127.0.0.1/32]
  account: ["header:X-Account-Id"]
  visitors: cookie
signing: {{keys: "file:secret"}}
segments:
  pilots: {{accounts: pilots.txt}}
areas:
  orders:
    routes: [{{path: "/orders/**"}}]
  checkout:
    routes: [{{path: "/checkout/**"}}]
  basket:
    pin: 10m
    routes: [{{path: "/basket/**"}}]
  search:
    fallback: safe
    routes: [{{path: "/search/**"}}]
  help:
    routes: [{{path: "/help/**", to: new}}]
  reports:
    rate: {{account: 20/s, burst: 40}}
    routes: [{{path: "/reports/**", to: legacy}}]
otherwise: legacy
limits: {{connections: 200}}
rollback_drain: 2s
cache: off
"""

TLS: Final = """\
listener:
  tls: {certificates: {certificate: shop.pem, key: shop.key}}
"""

BOUNDS: Final = Bounds(
    workers=WORKERS, capped="reports", per_s=20, burst=40, places=20, wait_s=0.3, timeout_s=BACKEND_TIMEOUT_S
)
"""What `ROUTES` says of them."""

FIRST: Final = Situation(
    shares_bp={"orders": 5000, "checkout": 2500, "basket": 5000, "search": 9000},
    fixed={"help": "new", "reports": "legacy", "elsewhere": "legacy"},
    pilots=PILOTS,
    falls_back=frozenset({"search"}),
)
