"""Where the next proposals go: to what has paid, and to everything a little.

Source: ours. A Thompson bandit over acts, as arXiv:2602.15481 has for judges, gives nearly all to the best act; here each act
is to stay in sight, so shares follow the pay instead.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Kind = TypeVar("Kind", bound=Hashable)
FLOOR = 0.2  # of its weight that a kind keeps, whatever it paid


def shares_by_pay(
    paid: Iterable[tuple[Kind, bool]], weights: Mapping[Kind, float], *, floor: float = FLOOR
) -> dict[Kind, float]:
    """Shift the shares of kinds of proposals towards those that succeed.

    Args:
        paid: The kind of each measured proposal and whether it succeeded, in any order; other kinds are passed over.
        weights: Of each kind before anything was paid, 0 or more and not all 0.
        floor: What of its weight a kind keeps at least, in [0, 1].

    Returns:
        Shares that sum to 1: weight x (floor + (1 - floor) x (success / best success) squared). A kind that was never tried counts
        as good as the best one; where nothing succeeded, the weights decide.

    Source: ours.

    Example:
        >>> tried = [("question", True)] * 9 + [("question", False)] + [("edit", True)] * 4 + [("edit", False)] * 6
        >>> found = shares_by_pay(tried, {"question": 1, "edit": 1})
        >>> {kind: round(share, 2) for kind, share in found.items()}
        {'question': 0.74, 'edit': 0.26}
    """
    hits: dict[Kind, list[bool]] = {kind: [] for kind in weights}
    for kind, hit in paid:
        if kind in hits:
            hits[kind].append(hit)
    success = {kind: sum(tried) / len(tried) for kind, tried in hits.items() if tried}
    best = max(success.values(), default=0.0)
    kept = {
        kind: weight * (floor + (1 - floor) * (success.get(kind, best) / best) ** 2) if best else weight
        for kind, weight in weights.items()
    }
    whole = sum(kept.values())
    return {kind: share / whole for kind, share in kept.items()}
