"""Switches of the constructor that are turned from their defaults.

Those that keep a module from being attention, to another sequence or without positions, and those that have it return weights.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from mhsa.introspect.readings.constructors import first_that_fits
from mhsa.introspect.readings.fit import fits
from mhsa.introspect.readings.options.bias_switches import with_biases
from mhsa.records.errors import Question, SubjectError
from mhsa.records.names import WANT_WEIGHTS, is_called, is_context
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject

_CROSS = re.compile(r"cross|encoder_decoder|with_(context|memory)", re.IGNORECASE)
_SHOWS = {"vis", "visualize", "visualise", "visualization", "visualisation"}  # of weights, next to names of the call's switch
_POSITIONS = re.compile(r"(^|_)(pos|positions?|positional|pe|posenc|posemb)(_|$)", re.IGNORECASE)


@dataclass(frozen=True)
class TurnedSwitch:
    """A switch that is turned.

    Attributes:
        name: of the parameter.
        on: its other position.
        why: the module is exactly attention only so, in words.
    """

    name: str
    on: bool
    why: str


def read_default_switches(
    adapter: Adapter, understand: Callable[[Adapter], Subject], turned: Callable[[str, bool], Adapter]
) -> Subject:  # fmt: skip
    """Return the subject with switches as they are by default; with one turned where it is exactly attention only so.

    Args:
        adapter: with the switches at their defaults.
        understand: finds out the rest.
        turned: makes the adapter that is built with a switch of this name in this position.

    Raises:
        SubjectError: what ``understand`` raises with the defaults.
    """
    switches = {switch.name: switch for switch in _switches(adapter)}
    turns_on = any(switch.on for switch in switches.values())
    subject: Subject | None = None
    failed: Question | None = None
    try:
        subject = understand(adapter)
    except Question as question:
        if not switches or (question.declaration and turns_on):
            raise
        failed = question
    if subject is not None and (not switches or fits(subject)):
        subject = _with_weights(subject, adapter, understand, turned)
        return with_biases(subject, adapter, understand, turned)
    try:
        # With positions it is no attention in any case, so that it is judged without, right or wrong.
        found = first_that_fits(
            switches, lambda name: understand(turned(name, switches[name].on)), lambda s: fits(s) or not turns_on
        )
    except Question:  # the other position needs a declaration, too: that of the default says more
        if failed is not None and failed.declaration:
            raise failed from None
        raise
    if found is not None:
        switch, other = switches[found[0]], found[1]
        part = Understood("constructor", f"{switch.name} is {'on' if switch.on else 'off'}, {switch.why}", "fitted")
        left = f"constructor argument {switch.name} that is {'off' if switch.on else 'on'}"
        return replace(other, understood=(part, *other.understood), not_judged=(*other.not_judged, left))
    if failed is not None:
        raise failed
    assert subject is not None
    return subject


def _with_weights(
    subject: Subject, adapter: Adapter, understand: Callable[[Adapter], Subject], turned: Callable[[str, bool], Adapter]
) -> Subject:  # fmt: skip
    """Return the subject with a switch of its constructor turned on that has it return its weights, too, where that is so."""
    if subject.caller.weights_from is not None or not isinstance(adapter, ModuleAdapter) or adapter.constructor is None:
        return subject
    off = {*adapter.constructor.left_off, *adapter.constructor.switched_off}
    for name in sorted(n for n in off if is_called(n, WANT_WEIGHTS) or n in _SHOWS):
        try:
            other = understand(turned(name, True))
        except SubjectError as error:
            if isinstance(error, Question) and set(error.declaration) == {"weights"}:  # it returns scores in their place
                raise
            continue
        if other.caller.weights_from is not None:
            part = Understood("constructor", f"{name} is on, so that the weights are returned", "fitted")
            left = f"constructor argument {name} that is off"
            return replace(other, understood=(part, *other.understood), not_judged=(*other.not_judged, left))
    return subject


def _switches(adapter: Adapter) -> list[TurnedSwitch]:
    """Return the switches that are off by default and called after another sequence, and that are on and after positions."""
    if not isinstance(adapter, ModuleAdapter) or adapter.constructor is None:
        return []
    parameters = inspect.signature(adapter.constructor.target).parameters
    defaults = {n: parameters[n].default for n in adapter.constructor.options if n in parameters}
    key = adapter.signature.key
    attends = key is not None and adapter.signature.key_optional and is_context(key)
    cross = [n for n, default in defaults.items() if attends and _CROSS.search(n) and default is False]
    positions = [n for n, default in defaults.items() if _POSITIONS.search(n) and default is True]
    return [
        *(TurnedSwitch(n, True, "without which there is no other sequence") for n in cross),
        *(TurnedSwitch(n, False, "since positions are no part of attention") for n in positions),
    ]
