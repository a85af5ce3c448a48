"""The machine: which core the proxy has, which ones load and origin share, and how it is described in the results."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench.options import Skipped


def proxy_core() -> Sequence[str]:
    """What stands before a command to give it the first core, and nothing else."""
    return ("taskset", "-c", str(_cores()[0]))


def load_cores() -> Sequence[str]:
    """What stands before a command to give it every core but the proxy's."""
    return ("taskset", "-c", ",".join(str(core) for core in _cores()[1:]))


def cores(count: int) -> Sequence[str]:
    """What stands before a command to give it the first `count` cores."""
    return ("taskset", "-c", ",".join(str(core) for core in _cores()[:count]))


def must_fit() -> None:
    """Whether anything can be measured here.

    Raises:
        Skipped: not Linux, one core only, or a tool is missing.
    """
    if not sys.platform.startswith("linux"):
        raise Skipped("the comparison reads /proc, and pins processes to cores: it needs Linux")
    for command, package in (("taskset", "util-linux"), ("wrk", "wrk")):
        if shutil.which(command) is None:
            raise Skipped(f"{command} is missing; on Debian and Ubuntu: apt install {package}")
    if find("nginx") is None:
        raise Skipped("nginx, which is the origin too, is missing; on Debian and Ubuntu: apt install nginx")
    if len(_cores()) < 2:
        raise Skipped("one core for the proxy and one for the load are needed")


def find(command: str) -> str | None:
    """A command on PATH, or where Debian puts servers."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin")


def describe() -> str:
    """The machine in a sentence: processor, cores, memory, kernel, interpreter."""
    cpu = "an unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = " ".join(line.partition(":")[2].split())
            break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(_cores())} cores of {cpu}, {memory_gib:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}, "
        f"{platform.python_implementation()} {platform.python_version()}, uvloop {version('uvloop')}"
    )


def said(command: Sequence[str]) -> str:
    """The first line that a command says, wherever it says it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))
