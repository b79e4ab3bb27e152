"""Which forms of a mask a subject is held to, beside its own: other dtypes, and shapes with axes left out or of size 1.

Nobody has promised that every form works. A loop over the samples takes ``mask[i]``, whatever that is for a mask without a
batch axis, and an all-True mask of that form even gives the right output. So a form is asked of a subject only if it is
promised, by the contract or in words, or if masks of that form which do hide something are understood at small sizes: then
the subject takes the form, and has to take it everywhere.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from mhsa.subject import check
from mhsa.subject.adapter import FunctionAdapter, ModuleAdapter
from mhsa.subject.answer import Mask
from mhsa.subject.generic_inputs import generic_case, hiding, is_exact
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import is_tensor, numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# From the subject's own form and the bools that it stands for, to the other form and the bools that this one stands for.
Change = Callable[[Tensor, Mask], tuple[Tensor, Mask]]
_SEEDS = (0, 1)  # of the masks that are tried; every row of each hides a key and shows one
# What a docstring or an annotation says where it promises a form: any dtype by its name, any shape by the word.
_WORDS = {
    "shape": r"broadcast|\[1, ?\w+, ?\w+\]|\(1, ?\w+, ?\w+\)",
    "integers": r"\b(u?int(8|16|32|64)?|integers?|ByteTensor|LongTensor|IntTensor)\b",
    "floating": r"\b(float(16|32|64)?|floating|FloatTensor|HalfTensor|additive)\b",
}

_known: dict[tuple[int, str, str], tuple[Subject, bool]] = {}


def held_to(subject: Subject, kind: str, name: str, dtype: str, change: Change, *, added: bool = False) -> bool:
    """Whether a subject promises, or is seen, to take masks of a form.

    Args:
        subject: it.
        kind: "shape", "integers" or "floating": which words promise the form.
        name: of the form, under which the finding is kept.
        dtype: of the data.
        change: makes the form.
        added: whether a mask of that form may be added to the scores instead of saying what is hidden.
    """
    if subject.contract.shape_mismatch == "raises" or says(subject, kind):
        return True
    key = (id(subject), name, dtype)
    if key not in _known:  # the subject is kept with it, so that no other one gets its id
        with check.recording():
            _known[key] = subject, all(_understood(subject, dtype, change, seed, added=added) for seed in _SEEDS)
    return _known[key][1]


def says(subject: Subject, kind: str) -> bool:
    """Whether the docstrings of a subject's class or function speak of its mask in words that promise such forms."""
    adapter = subject.adapter
    owners: list[Any] = []
    if isinstance(adapter, FunctionAdapter):
        owners = [adapter.function]
    elif isinstance(adapter, ModuleAdapter):
        owners = [adapter.owner, adapter.owner.forward]
    text = "\n".join(inspect.getdoc(owner) or "" for owner in owners if "__doc__" in dir(owner))
    about = [line for line in text.splitlines() if "mask" in line.lower()]
    return any(re.search(_WORDS[kind], line, re.IGNORECASE) for line in about)


def _understood(subject: Subject, dtype: str, change: Change, seed: int, *, added: bool) -> bool:
    """Whether one mask of a form gives what the bools that it stands for give."""
    case = generic_case(subject, "all", seed, dtype)
    try:
        trial = Trial(subject, case, counted=False)
        trial()  # places the tensors
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
    except check.Violation:  # the properties will meet it again and report it
        return False
