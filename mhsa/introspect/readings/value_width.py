"""Heads of values that are wider than those of keys: a constructor that takes both widths is judged so in some of the cases."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection

from mhsa.introspect.readings.other_widths import as_position
from mhsa.records.understood import Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject, Switch

_OF_VALUES = re.compile(r"(^|_)(v|value|values|val|dv)(_|$)|^dv$|^v_?dim", re.IGNORECASE)
_OF_KEYS = re.compile(r"(^|_)(k|q|qk|key|keys|query|queries|dk|dq)(_|$)|^d[kq]$|^(k|qk)_?dim", re.IGNORECASE)


def read_value_width(subject: Subject) -> tuple[Switch, Understood] | None:
    """Return the position in which heads of values are one feature wider; None where the constructor does not take both widths.

    What can be built and called so must be right: None, too, where it raises.
    """
    adapter = subject.adapter
    constructor = adapter.constructor if type(adapter) is ModuleAdapter else None
    if constructor is None or subject.contract.formula.words:
        return None
    of_heads, of_all = _of_values(constructor.head_widths), _of_values(constructor.total_widths)
    if not of_all and (not of_heads or adapter.sizes is not None):
        return None
    assert isinstance(adapter, ModuleAdapter)
    wider = copy.copy(adapter)
    wider.wider_values = dict.fromkeys(of_heads, "one head") or dict.fromkeys(of_all, "all heads")
    words = " and ".join(f"{name}=d_k + 1" if of_heads else f"{name}=d_model + heads" for name in wider.wider_values)
    return as_position(subject, wider, words)


def _of_values(widths: Collection[str]) -> tuple[str, ...]:
    """Return those of several widths that are of values by their names, where there is one of keys."""
    values = tuple(name for name in widths if _OF_VALUES.search(name) and not _OF_KEYS.search(name))
    return values if any(_OF_KEYS.search(name) for name in widths if name not in values) else ()
