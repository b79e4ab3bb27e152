"""What known bugs compute is kept: all subjects that have the same formula and parameters are compared with it.

Those of one process are compared with numbers in memory, those of later ones with numbers on the disk.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import islice

from mhsa.bugs.diagnosis.answers_on_disk import on_disk, without_tolerance
from mhsa.bugs.diagnosis.quantity import Quantity
from mhsa.subject.trial import Trial

# Of one formula, some 250 bugs are asked on three or four cases, most of them for one quantity of few numbers: this is room
# for 20 formulas. Of the few that are asked for everything, the large gradients are computed again.
_KEPT = 20_000
_NUMBERS = 4_000  # of one bug on one case: 32 kB

_answers: OrderedDict[Hashable, tuple[list[Quantity], bool]] = OrderedDict()


def inputs_of(trial: Trial) -> bytes:
    """Return a digest of all numbers that a module is given on a trial, and of which of its tensors are one object."""
    given = (trial.projections, trial.query, trial.key, trial.value, trial.mask, trial.bias)
    return hashlib.blake2b(pickle.dumps(given)).digest()


def kept(key: Hashable, words: str | None, compute: Callable[[], Iterator[Quantity]]) -> Iterator[Quantity]:
    """Yield what ``compute`` yields for this key: what was computed before is not computed again.

    ``words`` say the same as ``key``, and do in every process; with None, nothing is kept on the disk.
    """
    disk = None if words is None else on_disk()
    place = b"" if disk is None else hashlib.blake2b(str(words).encode(), digest_size=20).digest()
    if key in _answers:
        known, whole = _answers.pop(key)
    else:
        known, whole = ([], False) if disk is None else disk.read(place)
    count, room = len(known), _NUMBERS - sum(quantity.numbers.size for quantity in known)
    before = count, whole
    try:
        yield from list(known)
        if not whole:
            for quantity in islice(compute(), count, None):
                room -= quantity.numbers.size
                if room >= 0:
                    known.append(without_tolerance(quantity))
                yield quantity
            whole = room >= 0
    finally:
        _answers[key] = (known, whole)
        if len(_answers) > _KEPT:
            _answers.popitem(last=False)
        if disk is not None and (len(known), whole) != before:
            disk.keep(place, known, whole)


def write_kept() -> None:
    """Write what was computed since the last time to the disk."""
    if (disk := on_disk()) is not None:
        disk.write()
