"""What a child process is told when it starts: one JSON argument, so that `ps` shows it. Standard library only."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Self

from proxy.core.layout import StateDir
from proxy.supervise.rolling import SPARE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line said; the same for the whole process group."""

    routes: str
    flags: str
    state: str
    listen: str = "127.0.0.1:8080"
    ops: str = "127.0.0.1:9001"
    workers: int = 1
    access_log: str = "-"  # a path, "-" for standard output, or "off"
    last_good: bool = False
    flags_readonly: bool = False
    boot: str = ""  # tells this run of the machine from all others
    drain_delay_s: float = 0.0  # how long it still serves after readiness was withdrawn
    drain_s: float = 30.0  # the longest that requests in flight are waited for

    @property
    def state_dir(self) -> StateDir:
        """The names in the state directory."""
        return StateDir(Path(self.state))

    @property
    def slots(self) -> int:
        """Places for workers: one more than there are, so that a successor can begin before its predecessor ends."""
        return self.workers + SPARE

    def encode(self) -> str:
        """As an argument."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One child's part. Numbers are descriptors that it inherits."""

    settings: Settings
    life: int  # reading end of a pipe: its end means that the supervisor is gone
    lock: int  # held, never touched
    listener: int  # a worker's traffic socket; control's ops socket
    slot: int = 0  # a worker's
    first: bool = False  # control: the first start of this proxy, when broken files are a refusal

    def encode(self) -> str:
        """As an argument."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self:
        """From an argument."""
        values = json.loads(text)
        return cls(**(values | {"settings": Settings(**values["settings"])}))
