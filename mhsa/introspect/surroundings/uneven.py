"""Maps of one sequence that are given unlike things: some a norm of it, and others the sequence itself.

Such a norm cannot be left out: what it leaves out of the keys, say, may be a bug.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor

from mhsa.introspect.layers.same import same
from mhsa.introspect.projections.role_names import QKV, named_roles
from mhsa.introspect.projections.search.layers import is_linear
from mhsa.introspect.surroundings.watched_call import PartCall
from mhsa.records.errors import Question


def require_even(calls: Sequence[PartCall], before: Collection[str]) -> None:
    """Raise where a map of queries, keys or values takes a sequence as it is given, and another one what is made of that.

    ``calls`` are those of one call of the module; ``before`` are paths of parts that are in front of the attention.
    """
    maps = [c for c in calls if c.given and is_linear(c.part) and set(named_roles(f"{c.path}.weight")) & set(QKV)]
    for part in (c for c in calls if c.path in before):
        made = [c.path for c in maps if part.output is not None and same(c.given[0], part.output)]
        itself = [c.path for c in maps if _is(part.given, c.given[0])]
        if made and itself:
            raise Question(
                f"{', '.join(itself)} {'is' if len(itself) == 1 else 'are'} given the input itself, and {', '.join(made)} what "
                f"{part.path} makes of it: whether that is meant cannot be seen; describe the module in an mhsa.Adapter"
            )


def _is(given: Sequence[Tensor], x: Tensor) -> bool:
    return bool(given) and same(given[0], x)
