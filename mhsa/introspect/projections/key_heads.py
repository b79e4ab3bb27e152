"""How many heads of keys and values a module has, against what is declared and what its constructor was given."""

from __future__ import annotations

from mhsa.records.errors import Question
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projection_views import Projections


def require_key_heads(adapter: Adapter, found: Projections, sizes: Sizes) -> None:
    """Raise unless there are as many heads of keys as ``kv_heads`` says, where it is a number or the constructor is given one.

    Raises:
        Question: with the number that the module has.
    """
    declared = adapter.contract.kv_heads
    given = isinstance(adapter, ModuleAdapter) and adapter.constructor is not None and adapter.constructor.takes_kv_heads
    wanted = adapter.kv_heads(sizes.head, sizes.d_model) if isinstance(adapter, ModuleAdapter) else declared
    if not isinstance(wanted, int) or not (given or isinstance(declared, int)):
        return
    d_k = found.query.weight.shape[0] // sizes.head
    there = found.key.weight.shape[0] // d_k if d_k else wanted
    if there == wanted:
        return
    words = f", and the constructor is given {wanted} of them" if given else ""
    raise Question(
        f"kv_heads = {declared!r} is declared{words}, and the module has {there} heads of keys for {sizes.head} of queries",
        {"kv_heads": there} if not given and sizes.head % there == 0 else {},
    )
