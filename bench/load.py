"""Load by wrk, as much as a proxy carries: keep-alive connections, requests over many accounts and paths."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.asking import cookies
from bench.job import Running
from bench.machine import load_cores
from bench.node import LOOPBACK, cpu_s

BROWSER: Final = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "Accept": "text/html,application/xhtml+xml",
    "Accept-Language": "en",
    "Accept-Encoding": "gzip, br",
}

# The requests are made before the first is sent: each path with the cookies of its number.
_SCRIPT: Final = """
local heads = {{ {headers} }}
local paths = {{ {paths} }}
local cookies = {{ {cookies} }}
local body = {body}
local requests, at = {{}}, 0
function init()
  for i = 1, #paths do
    heads["Cookie"] = cookies[i]
    requests[i] = wrk.format("{method}", paths[i], heads, body)
  end
end
function request() at = at % #paths + 1; return requests[at] end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round measured."""

    requests_per_s: float
    cpu_us: float  # user and system time of the proxy's processes, per request


def script(
    directory: Path,
    paths: Sequence[str],
    *,
    method: str = "GET",
    body_bytes: int = 0,
    close: bool = False,
    accounts: bool = False,
) -> Path:
    """Write what wrk asks; `close` ends the connection with each answer, `accounts` are as `bench.asking` has them."""
    headers = {**BROWSER, **({"Connection": "close"} if close else {})}
    path = directory / f"{method}-{len(paths)}-{body_bytes}-{close}-{accounts}.lua"
    path.write_text(
        _SCRIPT.format(
            headers=", ".join(f'["{name}"] = "{value}"' for name, value in headers.items()),
            paths=", ".join(f'"{one}"' for one in paths),
            cookies=", ".join(f'"{cookies(number, one, account=accounts)}"' for number, one in enumerate(paths, 1)),
            body=f'string.rep("x", {body_bytes})' if body_bytes else "nil",
            method=method,
        )
    )
    return path


def drive(running: Running, asked: Path, *, seconds: float, connections: int, scheme: str = "http") -> Round:
    """Load a proxy and measure it.

    Raises:
        RuntimeError: a request failed, so the figures would mean nothing.
    """
    url = f"{scheme}://{LOOPBACK}:{running.port}"
    before_s = cpu_s(running.pids)
    said = subprocess.run(
        [
            *(*load_cores(), "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"),
            *("--timeout", "10s", "-s", str(asked), url),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used_s = cpu_s(running.pids) - before_s
    count = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if count is None or rate is None or not int(count[1]) or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"requests failed under load:\n{said}")
    return Round(requests_per_s=float(rate[1]), cpu_us=used_s / int(count[1]) * 1_000_000)
