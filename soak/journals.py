"""What the endpoints wrote down, as stories have it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from soak.story import Arrival, Story


def gather(journals: Iterable[Path], stories: dict[str, Story]) -> list[str]:
    """Put every arrival into its story; gives what belongs to none."""
    arrivals: dict[str, Arrival] = {}
    strangers: list[str] = []
    for path in journals:
        for line in path.read_bytes().splitlines():
            event: dict[str, Any] = json.loads(line)
            story = stories.get(event["id"])
            if story is None:
                strangers.append(line.decode())
                continue
            match event["e"]:
                case "head":
                    arrivals[event["k"]] = arrival = Arrival(event["t"], event["b"], event["p"], address=event["a"])
                    story.arrivals.append(arrival)
                case "whole":
                    arrival = arrivals[event["k"]]
                    arrival.whole, arrival.body_bytes, arrival.digest = True, event["n"], event["d"]
                case "answer":
                    arrival = arrivals[event["k"]]
                    arrival.answered, arrival.answer_whole = True, event["whole"]
                    arrival.answer_bytes, arrival.answer_digest = event["n"], event["d"]
                case "unreadable":
                    strangers.append(line.decode())
    return strangers
