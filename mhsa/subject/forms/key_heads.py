"""How many heads keys and values get where a contract declares that there may be fewer of them than of queries."""

from __future__ import annotations

from mhsa.oracle.formula.fields import KvHeads


def key_heads(declared: KvHeads | int, head: int, d_k: int) -> int | None:
    """Return the number of heads of keys and values for ``head`` of queries; None: as many as queries.

    A declared number is taken wherever ``head`` is a multiple of it; else a divisor of ``head``, another for another width.
    """
    if declared is None:
        return None
    if isinstance(declared, int) and head % declared == 0:
        return declared
    fewer = [n for n in range(head - 1, 0, -1) if head % n == 0] or [1]
    # By the golden ratio: among widths that are multiples of any number, each divisor has its turn.
    return fewer[(d_k + 2) * 618 // 1000 % len(fewer)]
