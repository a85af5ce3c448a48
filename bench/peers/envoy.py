"""Envoy with one worker thread: weighted clusters by the hash of the account's cookie, a cookie match for the pilots."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.job import PILOTS, SHARE, Certificate, Job, Running
from bench.machine import said
from bench.node import LOOPBACK, free_port
from bench.processes import server

_HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


def missing() -> str | None:
    return None if _command() else "pip install -r requirements/bench.txt"


def version() -> str:
    found = re.search(r"version: [0-9a-f]+/([0-9.]+)/", said([str(_command()), "--version"]))
    return found[1] if found else "?"


@contextlib.contextmanager
def run(job: Job) -> Iterator[Running]:
    port = free_port()
    config = job.directory / "envoy.json"
    config.write_text(json.dumps(_configuration(job, port), indent=1))
    command = [
        *(*job.wrap, str(_command()), "--concurrency", "1", "--disable-hot-restart"),
        *("--log-level", "error", "--config-path", str(config)),
    ]
    with server(command, job.directory, port) as pids:
        yield Running(port=port, pids=pids, worker=pids[-1])


def _command() -> str | None:
    """Envoy itself: the wheel's script would start it through an interpreter."""
    found = importlib.util.find_spec("envoy")
    if found is not None and found.origin is not None:
        binary = Path(found.origin).parent / "_bin" / "envoy"
        if binary.exists():
            return str(binary)
    return shutil.which("envoy") if Path(sys.prefix) not in Path(shutil.which("envoy") or "/").parents else None


def _configuration(job: Job, port: int) -> dict[str, object]:
    pilots = "|".join(PILOTS)
    pilot = {"safe_regex": {"regex": f"(.*; *)?acct=({pilots})(;.*)?"}}
    by_account = [{"cookie": {"name": "acct"}}]
    weights = [{"name": "new", "weight": SHARE}, {"name": "legacy", "weight": 100 - SHARE}]
    upgrades = {"upgrade_configs": [{"upgrade_type": "websocket"}], "timeout": "0s"}
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": "cookie", "string_match": pilot}]},
            "route": {"cluster": "new", **upgrades},
        },
        {
            "match": {"prefix": "/"},
            "route": {
                "weighted_clusters": {"clusters": weights, "use_hash_policy": True},
                "hash_policy": by_account,
                **upgrades,
            },
        },
    ]
    http = {
        "@type": _HTTP,
        "stat_prefix": "shop",
        "use_remote_address": True,
        "access_log": [{"name": "file", "typed_config": {"@type": _LOG, "path": str(job.directory / "access.log")}}],
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
        "route_config": {"virtual_hosts": [{"name": "shop", "domains": ["*"], "routes": routes}]},
    }
    chain: dict[str, object] = {"filters": [{"name": "http", "typed_config": http}]}
    if job.tls is not None:
        chain["transport_socket"] = {"name": "tls", "typed_config": _tls(job.tls)}
    listener = {
        "name": "traffic",
        "address": _address(port),
        "tcp_backlog_size": 4096,
        "filter_chains": [chain],
    }
    return {
        "static_resources": {
            "listeners": [listener],
            "clusters": [_cluster("legacy", job.legacy), _cluster("new", job.new)],
        }
    }


def _cluster(name: str, port: int) -> dict[str, object]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "connect_timeout": "2s",
        # Its default of 1 024 connections and requests would answer 503 with ten thousand clients.
        "circuit_breakers": {"thresholds": [{"max_connections": 20_000, "max_requests": 20_000}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def _tls(shown: Certificate) -> dict[str, object]:
    pair = {"certificate_chain": {"filename": str(shown.chain)}, "private_key": {"filename": str(shown.key)}}
    return {"@type": _TLS, "common_tls_context": {"tls_certificates": [pair]}}
