"""`strangler demo` in a process of its own, for as long as a `with` block runs."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Demo:
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if "Ctrl-C ends everything" in line:
                self.told.set()
        self.told.set()

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def url(self, name: str) -> str:
        found = re.search(rf"{name} +(http://\S+)", self.text)
        assert found is not None, self.text
        return found[1].removesuffix("/readyz")

    @property
    def directory(self) -> Path:
        """Where its copy of the sample stands."""
        found = re.search(r"^ +cd (\S+)", self.text, flags=re.MULTILINE)
        assert found is not None, self.text
        return Path(found[1])


@contextlib.contextmanager
def demo() -> Iterator[Demo]:
    """A demo that is up, on free ports."""
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Demo(process)
    reader = threading.Thread(target=running.read)
    reader.start()
    try:
        assert running.told.wait(60)
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()
