"""What known bugs compute is kept: all subjects of a run that have the same formula and parameters are compared with it."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from itertools import islice

from mhsa.bugs.diagnosis.quantity import Quantity
from mhsa.oracle.bounded import Array
from mhsa.subject.trial import Trial

# Of one formula, some 250 bugs are asked on three or four cases, most of them for one quantity of few numbers: this is room
# for 20 formulas. Of the few that are asked for everything, the large gradients are computed again.
_KEPT = 20_000
_NUMBERS = 4_000  # of one bug on one case: 32 kB

_answers: OrderedDict[Hashable, tuple[list[Quantity], bool]] = OrderedDict()


def _none() -> Array:
    raise AssertionError("the subject's tolerances are used, and not those of a known bug")


def inputs_of(trial: Trial) -> bytes:
    """Return a digest of all numbers that a module is given on a trial, and of which of its tensors are one object."""
    given = (trial.projections, trial.query, trial.key, trial.value, trial.mask, trial.bias)
    return hashlib.blake2b(pickle.dumps(given)).digest()


def kept(key: Hashable, compute: Callable[[], Iterator[Quantity]]) -> Iterator[Quantity]:
    """Yield what ``compute`` yields for this key: what was asked for before is not computed again."""
    known, whole = _answers.pop(key, ([], False))
    count, room = len(known), _NUMBERS - sum(quantity.numbers.size for quantity in known)
    try:
        yield from list(known)
        if not whole:
            for quantity in islice(compute(), count, None):
                room -= quantity.numbers.size
                if room >= 0:
                    known.append(replace(quantity, tolerance=_none))  # its own would keep the module and all its tensors
                yield quantity
            whole = room >= 0
    finally:
        _answers[key] = (known, whole)
        if len(_answers) > _KEPT:
            _answers.popitem(last=False)
