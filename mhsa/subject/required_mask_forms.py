"""Which forms of a mask a subject must take, in addition to its own: other dtypes, and shapes with axes left out or of size 1.

A subject need not take every form. A loop over the samples takes ``mask[i]``, whatever that is for a mask without a
batch axis, and an all-True mask of that form even gives the right output. So a subject must take a form only if it is
promised, by the contract or in its docstring, or if masks of that form which do hide something work at small sizes: then
the subject takes the form, and must take it everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from mhsa.subject import check
from mhsa.subject.answer import Mask
from mhsa.subject.docstrings.mask_values import promises
from mhsa.subject.generic_inputs import generic_case, hiding, is_exact
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import is_tensor, numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# From the subject's own form and the bools that it stands for, to the other form and the bools that this one stands for.
Change = Callable[[Tensor, Mask], tuple[Tensor, Mask]]
_SEEDS = (0, 1)  # of the masks that are tried; every row of each hides a key and shows one
_known: dict[tuple[int, str, str], tuple[Subject, bool]] = {}


def must_take(subject: Subject, kind: str, name: str, dtype: str, change: Change, *, added: bool = False) -> bool:
    """Whether a subject promises to take masks of a form, or takes small ones.

    Args:
        subject: that is called.
        kind: "shape", "integers" or "floating": the kind of words in a docstring that promise the form.
        name: of the form, under which the finding is kept.
        dtype: of the data.
        change: makes the form.
        added: whether a mask of that form may be added to the scores instead of saying what is hidden.
    """
    if subject.contract.shape_mismatch == "raises" or promises(subject.adapter, kind):
        return True
    key = (id(subject), name, dtype)
    if key not in _known:  # the subject is kept with it, so that no other one gets its id
        with check.recording():
            _known[key] = subject, all(_takes(subject, dtype, change, seed, added=added) for seed in _SEEDS)
    return _known[key][1]


def _takes(subject: Subject, dtype: str, change: Change, seed: int, *, added: bool) -> bool:
    """Whether one mask of a form gives the output that the bools which it stands for give."""
    case = generic_case(subject, "all", seed, dtype)
    try:
        trial = Trial(subject, case, counted=False)
        trial()  # makes the tensors
        mask = hiding((case.batch, case.query_length, case.key_length), seed, subject.contract)
        form, meaning = change(trial.convert(mask), mask)
        required = trial(mask=meaning)
        query, key, value, _ = trial.last_tensors
        result, _ = attempt(lambda: trial.call_unchecked(query, key, value, form))
        output = None if result is None else result[0][0]
        if not is_tensor(output) or output.shape != required.output.shape:
            return False
        wanted = [required.expected.output]
        wanted += [trial.expect(bias=meaning.astype(np.float64)).output] if added else []
        return any(is_exact(numbers(output), w) for w in wanted)
    except check.Violation:  # the properties will raise it again and report it
        return False
