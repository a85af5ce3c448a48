"""Messages for people go to standard error; standard output is for the access log. Standard library only."""

from __future__ import annotations

import logging
import sys


def log_to_stderr(name: str) -> None:
    """Set up logging for a process of this name."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s {name}: %(levelname)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell every probe
