"""Float64 data that is computed in float32 inside, though an option says that it is off: a question."""

from __future__ import annotations

import re

from mhsa.records.errors import Question
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject

_UPCAST = re.compile(r"up_?cast|fp32|float32|full_precision|single_precision", re.IGNORECASE)


def ask_about_upcast(subject: Subject) -> None:
    """Raise where float64 is found to be computed in float32, and a switch that would say so is left off.

    Args:
        subject: as it was read.

    Raises:
        Question: with the switch, and the declaration under which it is judged with float32's roundoff.
    """
    adapter = subject.adapter
    if adapter.contract.float64_in is not None or subject.contract.float64_in != "float32":
        return
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    off = [name for name in constructor.left_off if _UPCAST.search(name)] if constructor is not None else []
    if off:
        raise Question(
            f"it computes float64 data in float32 inside, though {off[0]} is off: with float32's roundoff it is exactly right",
            {"float64_in": "float32"},
        )
