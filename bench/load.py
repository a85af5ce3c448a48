"""Load by wrk: keep-alive connections, requests over many accounts and paths."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.node import cpu_s

# A browser's headers; a thousand accounts and a few paths, made before the first request.
SCRIPT = """
local heads = {
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64)", ["Accept"] = "text/html,application/xhtml+xml",
  ["Accept-Language"] = "en", ["Accept-Encoding"] = "gzip, br",
}
local requests, at = {}, 0
function init()
  for i = 1, 1000 do
    heads["Cookie"] = "acct=acct-" .. i .. "; theme=dark"
    requests[i] = wrk.format("GET", "/orders/" .. i, heads)
  end
end
function request() at = at % 1000 + 1; return requests[at] end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round measured."""

    requests_per_s: float
    cpu_us: float  # user and system time of the proxy's processes, per request


def drive(url: str, pids: Sequence[int], script: Path, *, seconds: int, connections: int, wrap: Sequence[str]) -> Round:
    """Load a proxy and measure it.

    Raises:
        RuntimeError: a request failed, so the figures would mean nothing.
    """
    before_s = cpu_s(pids)
    said = subprocess.run(
        [*wrap, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used_s = cpu_s(pids) - before_s
    count = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if count is None or rate is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"requests failed under load:\n{said}")
    return Round(requests_per_s=float(rate[1]), cpu_us=used_s / int(count[1]) * 1_000_000)
