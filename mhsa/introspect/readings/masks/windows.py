"""Masks of fewer windows than samples, [nW, T, T] of B * nW: whose windows take which of them, beside one for each sample.

The windows of a picture follow one another in a batch, as every shifted window has them, so that sample n takes mask n % nW.
Code that takes such masks splits the batch itself; one that splits it the other way round gives each picture one mask alone.
"""

from __future__ import annotations

import numpy as np

from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.records.understood import Understood
from mhsa.subject import check
from mhsa.subject.generic_inputs import generic_case, hiding, is_exact
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import is_tensor, numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_WINDOWS, _PICTURES, _TOKENS = 2, 3, 6  # windows of 3 x 2


def masks_of_windows(subject: Subject) -> tuple[str, tuple[Understood, ...]]:
    """Return what is wrong with masks of fewer windows than samples, and what is understood of them.

    Both are empty where such a mask is refused, or is no mask of each sample otherwise. Without a table of the offsets in a
    window nothing says that the samples are windows: no order of theirs is wrong, and a mask of another batch is never given
    while a subject is read, which a kernel may not survive.
    """
    bias = subject.contract.formula.bias
    if not isinstance(bias, BiasTable) or bias.rule != "swin":
        return "", ()
    if not subject.adapter.takes_mask or subject.contract.mask_shape != "[B, Tq, Tk]" or subject.contract.mask is None:
        return "", ()
    samples = np.arange(_WINDOWS * _PICTURES)
    case = generic_case(subject).resized(batch=samples.size, query_length=_TOKENS, key_length=_TOKENS)
    few = hiding((_WINDOWS, _TOKENS, _TOKENS), 0, subject.contract)
    try:
        trial = Trial(subject, case, counted=False)
        following = trial(mask=few[samples % _WINDOWS])
        given, _ = attempt(lambda: trial.call_unchecked(*trial.last_tensors[:3], trial.convert(few)))
        output = None if given is None else given[0][0]
        if not is_exact(following.output, following.expected.output) or not is_tensor(output):
            return "", ()
        if output.shape != following.output.shape:
            return "", ()
        apart = trial.expect_under(trial.effective(few[samples // _PICTURES], trial.query, trial.key)).output
    except (check.Violation, check.Inapplicable):
        return "", ()
    if is_exact(numbers(output), following.expected.output):
        words = "or of fewer windows than samples, [nW, Tq, Tk]: those of one picture follow one another"
        return "", (Understood("mask", words, "fitted"),)
    of_pictures = is_exact(numbers(output), apart)
    does = f"takes mask n // {_PICTURES}" if of_pictures else "takes another, or a part of one"
    return f"a mask of {_WINDOWS} windows for {samples.size} samples: sample n must take mask n % {_WINDOWS}, and {does}", ()
