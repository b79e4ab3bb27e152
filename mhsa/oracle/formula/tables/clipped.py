"""A learned table of biases by the clipped distance (that of Shaw et al. 2018, arXiv 1803.02155, section 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COUNT = 9  # distances up to 4 in both directions, up to 8 in one


def rows(later: NDArray[np.int_], count: int, *, both: bool, mirrored: bool) -> NDArray[np.int_]:
    """Return the row of each distance from the query's place to the key's, in a table of ``count`` rows.

    Of ``both`` directions the row in the middle is that of the own place, and the first one that of all keys as far before it
    as the table reaches. Of the past the last row is that of the own place and of all later keys. ``mirrored`` tables have the
    same rows in the other order.

    Raises:
        ValueError: no row is in the middle.
    """
    if both and count % 2 == 0:
        raise ValueError(f"a table of clipped distances of both directions has 2 m + 1 rows, and this one has {count}")
    farthest = (count - 1) // 2 if both else count - 1
    found = np.clip(later, -farthest, farthest if both else 0) + farthest
    return count - 1 - found if mirrored else found
