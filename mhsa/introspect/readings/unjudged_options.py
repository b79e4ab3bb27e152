"""Options of a constructor and of a call that are left at their defaults: named as not judged, so that no verdict hides it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

from mhsa.introspect.readings.formula.biases import bias_argument
from mhsa.reference.multi_head import MultiHeadAttention
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.argument_roles import role_of
from mhsa.subject.construction.argument_use import counts_heads
from mhsa.subject.signature import call_of
from mhsa.subject.subject import Subject


def left_at_defaults(subject: Subject, about_switches: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is left at its default, each in a few words: ``argument dropout_mask``.

    Args:
        subject: as it was read.
        about_switches: by name of a switch that was tried, what is said of it; empty where it is judged.
    """
    named = {*about_switches, *([bias_argument(subject.adapter)] if subject.biases else [])}
    not_given = subject.adapter.not_given
    return (
        *(words for words in about_switches.values() if words),
        *(f"argument {n}" for n in not_given if n not in named and not _is_among(n, subject.not_judged)),
        *(f"arguments of the call in **{n}" for n in _collected(subject.adapter)),
        *(f"constructor argument {n}" for n in _options(subject.adapter) if n not in about_switches),
        *(f"constructor argument {n} that is off" for n in _turned_on(subject.adapter)),
        *_other_heads(subject.adapter),
        *_fewer_key_heads(subject.adapter),
        *_masks_of_several(subject),
    )


def _masks_of_several(subject: Subject) -> tuple[str, ...]:
    """Return that further axes of samples have one place under a mask, or in every call, of a layout that has some."""
    if not subject.adapter.takes_mask or subject.caller.layout.count("b") == 1:
        return ()
    always = subject.caller.fills_mask and not subject.caller.shares_mask
    return ("calls in which an axis N has several samples" if always else "masks where an axis N has several samples",)


def _other_heads(adapter: Adapter) -> tuple[str, ...]:
    """Return that one head alone is judged, of a class that counts heads: more of them may be merged in a wrong way."""
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    if constructor is None or constructor.sizes is None or constructor.sizes[0] != 1 or not counts_heads(constructor.target):
        return ()
    return ("more than one head",)


def _fewer_key_heads(adapter: Adapter) -> tuple[str, ...]:
    """Return that keys have as many heads as queries, of a class that is built with a number of them which it must be given.

    Which query heads share a head of keys, and whether values are shared likewise, is then not seen. One that may be left out
    is named as an option.
    """
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    if constructor is None or adapter.contract.kv_heads is not None or not constructor.takes_kv_heads:
        return ()
    given = inspect.signature(constructor.target).parameters.items()
    optional = any(role_of(n) == "kv head" and p.default is not p.empty for n, p in given)
    return () if optional else ("fewer heads of keys than of queries",)


def _options(adapter: Adapter) -> tuple[str, ...]:
    """Return the options of a constructor that are left at their defaults."""
    if (
        not isinstance(adapter, ModuleAdapter)
        or adapter.constructor is None
        or adapter.constructor.target is MultiHeadAttention
    ):
        return ()  # mhsa's own option is what a function is judged in
    grouped = adapter.contract.kv_heads is not None  # then a number of key heads is given, whatever its default
    given = adapter.constructor.lengths if adapter.of_fixed_lengths else ()  # those of each call
    options = (*adapter.constructor.options, *adapter.constructor.off_by_annotation)
    return tuple(n for n in options if n not in given and not (grouped and role_of(n) == "kv head"))


def _turned_on(adapter: Adapter) -> tuple[str, ...]:
    """Return the switches that a module is built with whatever their default: what it does without is not judged."""
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    return () if constructor is None else constructor.turned_on


def _collected(adapter: Adapter) -> tuple[str, ...]:
    """Return the names of what collects further arguments of a call: which there are, no signature says."""
    if not isinstance(adapter, ModuleAdapter):
        return ()
    parameters = inspect.signature(call_of(adapter.owner)).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.VAR_KEYWORD)


def _is_among(argument: str, not_judged: Sequence[str]) -> bool:
    """Whether more is said of an argument than its name."""
    return any(words.startswith(f"argument {argument} ") for words in not_judged)
