"""The usual answers that an exact fit has shown to hold, next to what is read: whoever pins a reading pins them, too.

Heads of neighbouring features, and attention to later keys, need no declaration. A later change of one of them would be a
question without one; under the pin it is a violation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.keys_of_each_query import KeysOfEachQuery
from mhsa.subject.adapters.learned_queries import LearnedQueries
from mhsa.subject.adapters.several_calls import EachQueryAlone
from mhsa.subject.adapters.shared_queries import SharedQueries
from mhsa.subject.generic_inputs import generic_sizes
from mhsa.subject.subject import Subject

_SHOW = ("layout", "roles", "parameters")  # stages whose fit is one of all features and places


def with_usual_answers(read: list[Reading]) -> list[Reading]:
    """Return readings of which the first one that says something pins these answers, too, unless they cannot be seen."""
    at = next((n for n, reading in enumerate(read) if reading.text), None)
    if at is None or read[at].part not in _SHOW:
        return read
    pins = {**_usual(read[-1].subject), **read[at].pins}
    return [*read[:at], replace(read[at], pins=pins), *read[at + 1 :]]


def _usual(subject: Subject) -> dict[str, Any]:
    adapter, contract = subject.adapter, subject.contract
    sizes = generic_sizes(adapter)
    pins: dict[str, Any] = {}
    several = sizes.module.head > 1 and sizes.module.d_k > 1
    if several and contract.heads in (None, "consecutive") and not isinstance(adapter, FunctionAdapter):
        pins["heads"] = "consecutive"
    has_places = not isinstance(adapter, (EachQueryAlone, LearnedQueries, SharedQueries, KeysOfEachQuery))
    hides_later_keys = contract.window is not None and contract.window[1] == 0
    if has_places and contract.causal in (None, "no") and not hides_later_keys and min(sizes.queries, sizes.keys) > 1:
        pins["causal"] = "no"
    return pins
