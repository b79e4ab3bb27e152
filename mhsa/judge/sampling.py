"""A fixed list of cases for the user's own tests, drawn without Hypothesis and without a subject."""

from __future__ import annotations

import random

from mhsa.records.case import MASKS, Case
from mhsa.records.defaults import DTYPES

# All different first, so that no wrong reshape fits; then coincidences, and both sides of a tile.
_SIZES = (
    (2, 3, 4, 7, 5), (3, 2, 6, 4, 3), (1, 4, 5, 9, 2), (2, 1, 3, 8, 6), (5, 2, 1, 6, 4), (2, 3, 3, 3, 3), (4, 4, 4, 4, 4),
    (1, 2, 17, 33, 8), (2, 2, 65, 5, 3), (1, 1, 1, 1, 1), (3, 5, 2, 65, 2), (2, 8, 4, 6, 16),
)  # fmt: skip
_DATA = ("normal", "integers", "normal", "ties", "large", "tiny")
_LAYOUTS = ("contiguous", "transposed", "contiguous", "sliced")


def sample(
    count: int,
    seed: int,
    masks: tuple[str, ...],
    dtypes: tuple[str, ...],
    *,
    self_attention: bool = False,
    sizes: tuple[int, int] | None = None,
) -> list[Case]:
    """Return ``count`` cases; the same arguments give the same ones.

    Raises:
        ValueError: an unknown mask or dtype, sizes that do not divide, or a count below 1.
    """
    if count < 1:
        raise ValueError(f"cases(count={count}); must be at least 1")
    for name, given, known in (("masks", masks, MASKS), ("dtypes", dtypes, DTYPES)):
        if not given or not set(given) <= set(known):
            raise ValueError(f"cases({name}={given!r}); must be of {', '.join(known)}")
    if sizes is not None and (len(sizes) != 2 or min(sizes) < 1 or sizes[1] % sizes[0]):
        raise ValueError(f"cases(sizes={sizes}); must be (head, d_model), and d_model a multiple of head")
    rng = random.Random(seed)
    examples = []
    for n in range(count):
        batch, head, queries, keys, d_k = _SIZES[(n + seed) % len(_SIZES)]
        head, d_k = (head, d_k) if sizes is None else (sizes[0], sizes[1] // sizes[0])
        examples.append(
            Case(
                dtype=dtypes[n % len(dtypes)], batch=batch, head=head, query_length=keys if self_attention else queries,
                key_length=keys, d_k=d_k, data=_DATA[n % len(_DATA)], mask=masks[n % len(masks)],
                layout=_LAYOUTS[n // 2 % len(_LAYOUTS)], tie="all" if self_attention else "none", seed=rng.randrange(2**16),
            )
        )  # fmt: skip
    return examples
