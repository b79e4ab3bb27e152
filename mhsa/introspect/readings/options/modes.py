"""Words that an option of the constructor may be, beside its default: with each, a second call must be answered as the first.

What code keeps from one call for the next it often uses in one mode alone, that of a decoder's second attention say, which no
other property reaches: the option is left at its default.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mhsa.source.kept_between_calls import reset_of
from mhsa.subject import check
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.argument_use import use_of
from mhsa.subject.generic_inputs import generic_case, is_exact
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_MOST = 4  # words of one option
# Modes that are there to keep something.
_KEEPS = re.compile(r"cach|state|stream|increment|decod|generat|step|recurren|infer|online|reuse|static", re.IGNORECASE)


def kept_in_a_mode(subject: Subject) -> str:
    """Return what is wrong with a second call in a mode in which the first is exactly attention; empty where nothing is."""
    adapter = subject.adapter
    if not isinstance(adapter, ModuleAdapter) or adapter.constructor is None or reset_of(adapter.owner):
        return ""
    for name, word in _words(adapter):
        turned = copy.copy(adapter)
        turned.options = {**adapter.options, name: word}
        asked = replace(subject, adapter=turned, caller=replace(subject.caller, adapter=turned), switches=())
        if _answers_otherwise(asked):
            return f"with {name}={word!r}, a second call on the same module uses what the first one has kept"
    return ""


def _words(adapter: ModuleAdapter) -> Iterator[tuple[str, str]]:
    """Yield the options that are left at a word, with the other words of the source."""
    assert adapter.constructor is not None
    target = adapter.constructor.target
    parameters = inspect.signature(target).parameters
    for name in adapter.constructor.options:
        parameter = parameters.get(name)
        if parameter is None or type(parameter.default) is not str or _KEEPS.search(name):
            continue
        words = [w for w in use_of(target, name, parameter).words if w != parameter.default and not _KEEPS.search(w)]
        yield from ((name, word) for word in words[:_MOST])


def _answers_otherwise(subject: Subject) -> bool:
    """Whether a first call is exactly attention, and one with other numbers in the same sizes is not, but first is again."""
    case = generic_case(subject)
    try:
        trial = Trial(subject, case, counted=False)
        first = trial()
        if not is_exact(first.output, first.expected.output):
            return False
        others = {id(x): np.flip(x, -1).copy() for x in (trial.query, trial.key, trial.value)}
        query, key, value = (others[id(x)] for x in (trial.query, trial.key, trial.value))
        second, alone = trial(query, key, value), trial.fresh_copy()(query, key, value)
    except (check.Inapplicable, Exception):  # it cannot be built or called so
        return False
    return is_exact(alone.output, alone.expected.output) and not is_exact(second.output, second.expected.output)
