"""Which forms of a mask a subject must take, in addition to its own: other dtypes, and shapes with axes left out or of size 1.

A subject need not take every form. A loop over the samples takes ``mask[i]``, whatever that is for a mask without a
batch axis, and an all-True mask of that form even gives the right output. So a subject must take a form only if it is
promised, by the contract or in its docstring, or if masks of that form which do hide something work at small sizes: then
the subject takes the form, and must take it everywhere.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from mhsa.subject import check
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.answer import Mask
from mhsa.subject.generic_inputs import generic_case, hiding, is_exact
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import is_tensor, numbers
from mhsa.subject.signature import call_of
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

# Every number but zero.
_NONZERO = r"\bnon-?\s?zeros?\b|\b(other than|unequal to|different from|not equal to) (0|zero)\b|!= ?0\b|\btruthy\b"
_FLOATS = r"\bfloat(16|32|64|ing|s)?\b|\bany (numeric )?(dtype|type)\b"
_NO_FLOATS = (
    r"\bfloat\w*( masks?| ones?| tensors?| numbers?)? (are |is |must |may )?(not|unsupported|never|refused|no\b)"
    r"|\b(no|not|never|without) (a )?float"
)
_COUNTED = (
    r"\bat least\b|\b(has|have|keep|keeps|contain|contains|need|needs)\b.{0,20}\bnon-?\s?zero|\bno\b.{0,12}\bnon-?\s?zero|\b1\b"
)
_ADDED = r"\badditive\b|\badded\b|\badds\b|-\s?inf|\bbias\b"
_OF_HEADS = (
    r"[\[(]\s*[^,()\[\]]+,[^,()\[\]]*\b(H|h|nh|heads?|num_?heads?|n_?heads?|nhead)\b[^,()\[\]]*,[^,()\[\]]+,[^,()\[\]]+[\])]"
)
_SHARED_BY_HEADS = (
    r"\b(same|shared|identical|alike|equal|broadcast|repeated|expanded)\b.{0,40}\bheads?\b|\bheads?\b.{0,20}\b(shar|alike)"
)

_QUERIES_BY_KEYS = r"[\[(]\s*(T|L|S|Tq|Lq|T_q|L_q|(seq|tgt|q|query)\w*)\s*,\s*(T|L|S|Tk|Lk|T_k|L_k|(seq|src|k|key)\w*)\s*[\])]"
_SAMPLES_BY_KEYS = r"[\[(]\s*(N|b\w*)\s*,\s*\w+\s*[\])]|padding"

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
    if subject.contract.shape_mismatch == "raises" or says(subject, kind):
        return True
    key = (id(subject), name, dtype)
    if key not in _known:  # the subject is kept with it, so that no other one gets its id
        with check.recording():
            _known[key] = subject, all(_takes(subject, dtype, change, seed, added=added) for seed in _SEEDS)
    return _known[key][1]


def says(subject: Subject, kind: str) -> bool:
    """Whether the docstrings of a subject's class or function speak of its mask in words that promise such forms."""
    return any(re.search(_WORDS[kind], line, re.IGNORECASE) for line in _lines(subject) if "mask" in line.lower())


def says_nonzero(subject: Subject) -> bool:
    """Whether docstrings say of the mask that every number but zero means the same: "nonzero entries may be attended".

    A sentence that counts such entries, or names 1 for them, says nothing of other numbers.
    """
    sentences = re.split(r"(?<=[.;])\s", _about_masks(subject))
    return any(re.search(_NONZERO, x, re.IGNORECASE) and not re.search(_COUNTED, x, re.IGNORECASE) for x in sentences)


def says_nonzero_floats(subject: Subject) -> bool:
    """Whether they say so of floating masks, too, and not that such a mask is added."""
    text = _about_masks(subject)
    if re.search(_NO_FLOATS, text, re.IGNORECASE) or re.search(_ADDED, text, re.IGNORECASE):
        return False
    return says_nonzero(subject) and re.search(_FLOATS, text, re.IGNORECASE) is not None


def says_shared_by_heads(subject: Subject) -> bool:
    """Whether docstrings say that all heads have one mask."""
    return re.search(_SHARED_BY_HEADS, _about_masks(subject), re.IGNORECASE) is not None


def has_heads(subject: Subject) -> bool:
    """Whether docstrings give the mask four axes of which the second one is of the heads, which need not share one."""
    text = _about_masks(subject)
    return re.search(_OF_HEADS, text) is not None and not says_shared_by_heads(subject)


def has_queries_by_keys_alone(subject: Subject) -> bool:
    """Whether docstrings give the mask a shape [Tq, Tk], and none of samples and keys, for which it could be taken."""
    text = _about_masks(subject)
    return re.search(_QUERIES_BY_KEYS, text) is not None and not re.search(_SAMPLES_BY_KEYS, text, re.IGNORECASE)


def _lines(subject: Subject) -> list[str]:
    """Return the lines of the docstrings of a subject's class or function, and of its forward."""
    adapter = subject.adapter
    owners: list[Any] = []
    if isinstance(adapter, FunctionAdapter):
        owners = [adapter.function]
    elif isinstance(adapter, ModuleAdapter):
        owners = [adapter.owner, call_of(adapter.owner)]
    return "\n".join(inspect.getdoc(owner) or "" for owner in owners if "__doc__" in dir(owner)).splitlines()


def _about_masks(subject: Subject) -> str:
    """Return the lines that speak of a mask, each with those below it that are further in."""
    about: list[str] = []
    depth: int | None = None
    for line in _lines(subject):
        inside = len(line) - len(line.lstrip())
        if "mask" in line.lower() and (depth is None or inside <= depth):
            depth = inside
        elif not line.strip() or depth is None or inside <= depth:
            depth = None
            continue
        about.append(line.strip())
    return " ".join(about)


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
