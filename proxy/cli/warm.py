"""How warm legacy is, in one line. Imports nothing: `rollback` must start fast."""

from __future__ import annotations

from typing import Any


def warm_text(one: dict[str, Any]) -> str:
    """The line beside the rollback switch."""
    share = one["share_percent"]
    parts = [
        "no traffic in the last minute" if share is None else f"legacy answers {share:g} % of traffic now",
        f"healthy {one['healthy']} of {one['endpoints']}",
    ]
    if one["tripped"]:
        parts.append(f"its breaker isn't closed on {one['tripped']} worker{'s' if one['tripped'] > 1 else ''}")
    rates = f"carried at most {one['carried_most_per_s']:g} requests/s in the last {one['hours']} h"
    if share is not None:
        rates += f", would get about {one['would_get_per_s']:g}"
    parts.append(rates)
    if one["max_in_flight"] is not None and one["would_have_in_flight"] is not None:
        parts.append(f"would have about {one['would_have_in_flight']} in flight of {one['max_in_flight']}")
    figure = "legacy: " if one["percent"] is None else f"LEGACY WARM {one['percent']} %: "
    return figure + "; ".join(parts)
