"""Whether what a subject computes without a mask is exactly attention with a plain mistake.

On generic float64 inputs no two ways agree by chance. So who gives the numbers of a mistake has the sizes, the maps and the
roles that he was read with: what was guessed of these is right, and the mistake is his.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mhsa.introspect.readings.mistakes.wrong_attention import NONE, Mistakes, wrong_outputs
from mhsa.oracle.bounded import Array
from mhsa.oracle.formula.formula import PLAIN
from mhsa.records.case import Case
from mhsa.records.errors import SubjectError
from mhsa.subject import check
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_EXACT = 1e-6  # of the largest number of an output: scales are often computed in float32


def known_mistake(subject: Subject) -> Mistakes:
    """Return what is wrong with a subject's output without a mask, where that is all; no mistakes where it is not known."""
    if subject.contract.formula != PLAIN or subject.contract.float64_in == "float32":
        return NONE
    on_cpu = replace(subject, device="cpu")
    one, other = (generic_case(on_cpu, seed=seed) for seed in (0, 1))
    for keys in (one.key_length, one.query_length):  # some mistakes raise but for as many keys as queries
        found = _mistakes(on_cpu, replace(one, key_length=keys), None)
        if found and (same := _mistakes(on_cpu, replace(other, key_length=keys), found)):
            return same[0]
    return NONE


def _mistakes(subject: Subject, case: Case, among: list[Mistakes] | None) -> list[Mistakes]:
    """Return known ways in which the output of a case is wrong, the shortest first; one of those ``among`` which it must be."""
    try:
        trial = Trial(subject, case, counted=False)
        answer = trial(mask=None)
    except (check.Violation, check.Inapplicable, SubjectError):
        return []
    agrees = _agreeing(answer.output)
    if agrees(answer.expected.output.value):  # it is right but for more rounding: no mistake that changes nothing is his
        return []
    ways = wrong_outputs((trial.query, trial.key, trial.value), trial.projections, case.head)
    found: list[Mistakes] = []
    for mistakes, other in ways:
        if (among is None or mistakes in among) and agrees(other):
            found.append(mistakes)
            if len(mistakes.words) == 1 or among is not None:  # nothing is said in fewer words
                break
    return sorted(found, key=lambda each: len(each.words))


def _agreeing(output: Array) -> Callable[[Array], bool]:
    most = float(np.abs(output).max(initial=0.0))
    finite = bool(np.isfinite(output).all()) and most > 0

    def agrees(other: Array) -> bool:
        return finite and other.shape == output.shape and bool((np.abs(other - output) <= _EXACT * most).all())

    return agrees
