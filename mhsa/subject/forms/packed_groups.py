"""One parameter for queries, keys and values where several query heads share a head of keys and values.

``cat``: all query heads, then all key heads, then all value heads. ``per``: group after group, each with its query heads, its
key head and its value head. Roles come in the order that the parameter has them in.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

CAT, PER = "cat", "per"


def heads_of_keys(rows: int, head: int, d_k: int) -> int:
    """Return how many heads of keys a packed axis of ``rows`` features has; 0 where it can be none of these."""
    if d_k < 1 or rows % d_k:
        return 0
    both = rows // d_k - head
    shared = both // 2
    return shared if both > 0 and both % 2 == 0 and head % shared == 0 else 0


def pieces(view: Tensor, label: str, role: str, roles: Sequence[str], head: int, d_k: int) -> list[Tensor]:
    """Return views [n x d_k, D_in], or [n x d_k] of a bias, in head order; ``view`` has the packed axis first."""
    shared = heads_of_keys(view.size(0), head, d_k)
    rest = view.shape[1:]
    if label == CAT:
        sizes = [(head if r == "query" else shared) * d_k for r in roles]
        at = roles.index(role)
        return [view.narrow(0, sum(sizes[:at]), sizes[at])]
    group = head // shared
    sizes = [group if r == "query" else 1 for r in roles]
    at = roles.index(role)
    grouped = view.view(shared, group + 2, d_k, *rest).narrow(1, sum(sizes[:at]), sizes[at])
    return [part.reshape(-1, *rest) for part in grouped.unbind(0)]
