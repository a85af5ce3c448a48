"""flagd's `fractional`: split accounts, or any value, over variants by weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from proxy.core.deciding.facts import Facts
from proxy.core.targeting.bucketing import MOST_WEIGHT, bucket_of_value, ramp

Placed = tuple[Any, int | None]
"""(variant or None for the default, the bucket where there is one)."""

NOWHERE: Placed = (None, None)


def lower_fractional(
    arguments: Sequence[Any], runs: Sequence[Callable[[Any], Any]], flag: str, *, needs: str | None
) -> Callable[[Any], Placed]:
    """Lower one `fractional`.

    Args:
        arguments: as written, to see whether it is the shorthand with fixed weights.
        runs: the same, lowered.
        flag: the flag's key, part of what the shorthand hashes.
        needs: `account` or `targetingKey`, if the bucketing value is made from it. Where it is missing such a step
            gives the default: flagd would put everyone who has none into one bucket.
    """
    fixed = _fixed_shares(arguments)
    if fixed is not None:
        return _shorthand(fixed, flag)

    def place(data: Any) -> Placed:
        values = [run(data) for run in runs]
        if not values:
            return NOWHERE
        by: Any
        if isinstance(values[0], list):
            key = data.key if isinstance(data, Facts) else None
            if not isinstance(key, str) or not key:
                return NOWHERE
            by = [flag, key]
        else:
            by = values.pop(0)
            if by is None or (needs is not None and not (isinstance(data, Facts) and data.value(needs))):
                return NOWHERE
        shares = _shares(values)
        total = sum(weight for _, weight in shares) if shares else 0
        if shares is None or not 0 < total <= MOST_WEIGHT:
            return NOWHERE
        return _pick(shares, bucket_of_value(by, total))

    return place


def total_weight(then: Any) -> int | None:
    """How many places the ramp of an outcome has; None: it has none, or several that differ, or computes them."""
    totals = set(_totals(then))
    return totals.pop() if len(totals) == 1 else None


def _totals(then: Any) -> Iterator[int | None]:
    for shares in shares_of(then):
        yield sum(weight for _, weight in shares) if shares else None


def shares_of(then: Any) -> Iterator[list[tuple[Any, int]] | None]:
    """The (variant, weight) pairs of every ramp that an outcome may end in; None for one that computes its weights."""
    match then:
        case {"fractional": [*parts]} if len(then) == 1:
            yield _shares(parts if parts and isinstance(parts[0], list) else parts[1:])
        case {"if": [*parts]} | {"?:": [*parts]} if len(then) == 1:
            for outcome in (*parts[1::2], *(parts[-1:] if len(parts) % 2 else ())):
                yield from shares_of(outcome)
        case _:
            pass


def _shorthand(shares: list[tuple[Any, int]], flag: str) -> Callable[[Any], Placed]:
    total = sum(weight for _, weight in shares)
    if not 0 < total <= MOST_WEIGHT:
        return lambda data: NOWHERE
    place_of = ramp(flag)

    def place(data: Any) -> Placed:
        key = data.key if isinstance(data, Facts) else None
        return _pick(shares, place_of(key, total)) if key else NOWHERE

    return place


def _pick(shares: list[tuple[Any, int]], place: int) -> Placed:
    end = 0
    for variant, weight in shares:
        end += weight
        if place < end:
            return variant, place
    return NOWHERE


def _fixed_shares(arguments: Sequence[Any]) -> list[tuple[Any, int]] | None:
    """The shares of a shorthand that computes nothing; None for any other."""
    if not arguments or any(isinstance(part, dict) for pair in arguments if isinstance(pair, list) for part in pair):
        return None
    return _shares(arguments)


def _shares(values: Sequence[Any]) -> list[tuple[Any, int]] | None:
    shares: list[tuple[Any, int]] = []
    for value in values:
        match value:
            case [variant]:
                shares.append((variant, 1))
            case [variant, bool()]:
                return None
            case [variant, int() as weight]:
                # Negative weights come out of rollout arithmetic; flagd reads them as none.
                shares.append((variant, max(0, weight)))
            case _:
                return None
    return shares
