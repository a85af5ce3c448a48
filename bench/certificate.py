"""A certificate for measuring: nobody trusts it, and nobody needs to."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.job import Certificate
from bench.node import LOOPBACK


def certificate(here: Path) -> Certificate:
    """One for the loopback address; needs openssl."""
    made = Certificate(chain=here / "chain.pem", key=here / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "30", "-subj", "/CN=shop.example", "-addext", f"subjectAltName=IP:{LOOPBACK}"),
            *("-keyout", str(made.key), "-out", str(made.chain)),
        ],
        check=True,
        capture_output=True,
    )
    made.key.chmod(0o644)  # it is nobody's secret, and a server that gives up its privileges must read it
    return made
