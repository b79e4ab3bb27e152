"""Numbers as the JSON holds them: nested lists, with the strings "nan", "inf" and "-inf" for what JSON cannot hold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from mhsa.records.document.kinds import number

Matrix = list[list[float]]
Place = tuple[int, ...]

_MOST_DECIMALS = 3


def shape(nested: Any) -> Place:
    """Return the lengths of nested lists, as those of their first elements."""
    if not isinstance(nested, list | tuple):
        return ()
    return (len(nested), *(shape(nested[0]) if nested else ()))


def flat(nested: Any) -> list[float]:
    """Return all numbers in order."""
    return [x for part in nested for x in flat(part)] if isinstance(nested, list | tuple) else [number(nested)]


def matrices(nested: Any) -> list[tuple[Place, Matrix]]:
    """Return the last two axes as matrices, each with its place on the axes before them."""
    depth = len(shape(nested))
    if depth <= 2:
        rows = [[nested]] if depth == 0 else [nested] if depth == 1 else nested
        return [((), [[number(x) for x in row] if isinstance(row, list | tuple) else [number(row)] for row in rows])]
    return [((n, *place), matrix) for n, part in enumerate(nested) for place, matrix in matrices(part)]


def minus(observed: float, expected: float) -> float:
    """Return the difference, which is zero where both are the same NaN or infinity."""
    same = observed == expected or (math.isnan(observed) and math.isnan(expected))
    return 0.0 if same else observed - expected


def largest(numbers: Iterable[float]) -> float:
    """Return the largest finite magnitude, 0 if there is none."""
    return max((abs(x) for x in numbers if math.isfinite(x)), default=0.0)


def decimals(numbers: Iterable[float]) -> int:
    """Return how many decimals show all these numbers alike, so that their points stand below each other."""
    plain = [x for x in numbers if math.isfinite(x) and _ordinary(x)]
    return max((len(f"{x:.{_MOST_DECIMALS}f}".rstrip("0").partition(".")[2]) for x in plain), default=0)


def shown(x: float, places: int = _MOST_DECIMALS) -> str:
    """Return a number in a few characters: as many decimals as its neighbours, or an exponent where it is out of scale."""
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return signed("∞" if x > 0 else "-∞")
    if x == 0:
        return "0"
    if not _ordinary(x):
        mantissa, _, exponent = f"{x:.1e}".partition("e")
        return signed(f"{mantissa}e{int(exponent)}")
    return signed(f"{x:.{places if abs(x) < 100 else min(places, 1)}f}")


def signed(digits: str) -> str:
    """Return digits with a true minus sign, as wide as a plus."""
    return digits.replace("-", "\N{MINUS SIGN}")


def _ordinary(x: float) -> bool:
    return x == 0 or 10**-_MOST_DECIMALS <= abs(x) < 10**4
