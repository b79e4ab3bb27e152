"""A switch of the constructor without which a module does not attend to the other sequence that its call takes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace

from mhsa.introspect.readings.constructors import first_that_fits
from mhsa.introspect.readings.fit import fits
from mhsa.records.errors import Question
from mhsa.records.names import is_context
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject

_CROSS = re.compile(r"cross|encoder_decoder|with_(context|memory)", re.IGNORECASE)


def read_cross_switch(
    adapter: Adapter, understand: Callable[[Adapter], Subject], turned: Callable[[str], Adapter]
) -> Subject:  # fmt: skip
    """Return the subject with the switch as it is by default; turned on where it is exactly attention only so.

    Args:
        adapter: with the switch at its default.
        understand: finds out the rest.
        turned: makes the adapter that is built with a switch of this name on.

    Raises:
        SubjectError: what ``understand`` raises with the default.
    """
    switches = _switches(adapter)
    subject: Subject | None = None
    failed: Question | None = None
    try:
        subject = understand(adapter)
    except Question as question:
        if not switches or question.declaration:
            raise
        failed = question
    if subject is not None and (not switches or fits(subject)):
        return subject
    found = first_that_fits(switches, lambda name: understand(turned(name)), fits)
    if found is not None:
        name, other = found
        part = Understood("constructor", f"{name} is on, without which there is no other sequence", "fitted")
        left = f"constructor argument {name} that is off"
        return replace(other, understood=(part, *other.understood), not_judged=(*other.not_judged, left))
    if failed is not None:
        raise failed
    assert subject is not None
    return subject


def _switches(adapter: Adapter) -> list[str]:
    """Return the switches that are off by default and called so, of a module whose call may be given another sequence."""
    if not isinstance(adapter, ModuleAdapter) or adapter.constructor is None or adapter.signature.key is None:
        return []
    if not adapter.signature.key_optional or not is_context(adapter.signature.key):
        return []
    parameters = inspect.signature(adapter.constructor.target).parameters
    return [n for n in adapter.constructor.options if _CROSS.search(n) and parameters[n].default is False]
