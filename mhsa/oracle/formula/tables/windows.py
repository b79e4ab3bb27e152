"""A learned table of biases by the places in a window of pixels (Liu et al. 2021, arXiv 2103.14030, section 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Of the largest window, from whose table those of all others are taken: a smaller one has the biases of its own offsets.
HEIGHT, WIDTH = 3, 260
COUNT = (2 * HEIGHT - 1) * (2 * WIDTH - 1)


def window_of(tokens: int) -> tuple[int, int]:
    """Return height and width of the window of so many tokens: 3 x 2, 2 x 4, 3 x 3, 1 x 5.

    Raises:
        ValueError: it is wider than the largest window.
    """
    height = next((n for n in range(HEIGHT, 0, -1) if tokens % n == 0), 1)
    if tokens // height > WIDTH:
        raise ValueError(f"a window of {tokens} tokens, {height} x {tokens // height}, is wider than {WIDTH}")
    return height, tokens // height


def rows_of(window: tuple[int, int]) -> NDArray[np.int_]:
    """Return which rows of the largest window's table that of another window is, in its own order."""
    down, across = (np.arange(1 - size, size) for size in window)
    return _row(down[:, None], across[None, :]).ravel()


def places(tokens: int) -> NDArray[np.int_]:
    """Return the row [T, T] of the largest window's table of each query and key: by the offset of the query from the key."""
    _, width = window_of(tokens)
    y, x = np.divmod(np.arange(tokens), max(width, 1))
    return _row(y[:, None] - y, x[:, None] - x)


def _row(down: NDArray[np.int_], across: NDArray[np.int_]) -> NDArray[np.int_]:
    return (down + HEIGHT - 1) * (2 * WIDTH - 1) + across + WIDTH - 1
