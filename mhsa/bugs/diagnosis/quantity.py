"""One quantity of what a module computes on a case, and whether two of them are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mhsa.oracle.bounded import Array

# A difference does not count that is this small relative to the tensor's largest number: where the oracle's weight is all
# but zero, so is its bound, and a mutant's weight need not be.
NEGLIGIBLE = 2.0**-36

RAISES = " raises"  # ends the name of a quantity that is nothing but an error
ASPECTS = ("eval", "backward", "later", "training")  # of a quantity: the call, its gradients, what it leaves behind, training


@dataclass(frozen=True)
class Quantity:
    """One quantity that is compared.

    Attributes:
        name: what it is; it begins with its aspect, one of ``ASPECTS``.
        numbers: of it; flags are 0 or 1.
        tolerance: returns by how much another module's numbers may differ, infinite where only finiteness counts.
        relative_to: a magnitude relative to which a difference may be negligible, where it is larger than these numbers.
    """

    name: str
    numbers: Array
    tolerance: Callable[[], Array] = lambda: np.zeros(())
    relative_to: float = 0.0

    @property
    def aspect(self) -> str:
        """The first word of the name."""
        return self.name.partition(" ")[0]


def alike(quantity: Quantity, other: Quantity, tolerance: Callable[[], Array]) -> bool:
    """Whether two quantities are the same: finite at the same places, and there equal within the tolerance."""
    a, b = quantity.numbers, other.numbers
    if a.shape != b.shape:
        return False
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return False
    a, b = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
    difference, negligible = np.abs(a - b), NEGLIGIBLE * np.abs(a).max(initial=quantity.relative_to)
    return bool((difference <= negligible).all() or (difference <= tolerance() + negligible).all())
