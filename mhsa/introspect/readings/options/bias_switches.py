"""A switch of the constructor that gives maps their biases, off by default: where it is on, the module must be right, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mhsa.introspect.readings.fit import fits
from mhsa.records.errors import SubjectError
from mhsa.records.names import SWITCHES_ON, is_called
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.generic_inputs import first_sizes
from mhsa.subject.subject import Subject


def with_biases(
    subject: Subject, adapter: Adapter, understand: Callable[[Adapter], Subject], turned: Callable[[str, bool], Adapter]
) -> Subject:  # fmt: skip
    """Return a subject that is right as it is built by default; with biases turned on where it is wrong so.

    The other position counts only where it gives maps of the subject biases that they did not have: an ``attn_bias`` may be
    one of positions, which is another formula.

    Args:
        subject: with its switches at their defaults, exactly attention.
        adapter: of the subject.
        understand: finds out all of another adapter.
        turned: makes the adapter that is built with a switch of this name in this position.
    """
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    switches = [name for name in constructor.left_off if is_called(name, SWITCHES_ON)] if constructor is not None else []
    own = _biases(subject) if switches else set()
    for name in switches:
        try:
            other = understand(turned(name, True))
            if _biases(other) <= own or fits(other):
                continue
        except SubjectError:  # it is something else, which is named as not judged
            continue
        part = Understood("constructor", f"{name} is on, where it is not exactly attention; off, it is", "fitted")
        left = f"constructor argument {name} that is off"
        return replace(other, understood=(part, *other.understood), not_judged=(*other.not_judged, left))
    return subject


def _biases(subject: Subject) -> set[str]:
    """Return the names of the maps' biases."""
    sizes = first_sizes(subject.adapter)
    module = subject.adapter.build(sizes.head, sizes.d_model)
    return {name for name, _ in subject.bind(module, sizes).views() if name.endswith(".bias")}
