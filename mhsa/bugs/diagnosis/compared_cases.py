"""The fixed cases on which a subject is compared with every known bug, and the dtype in which that is done."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from mhsa.records.case import Case
from mhsa.records.errors import SubjectError
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# Every size, mask, regime, tie and layout that some mutant needs to show itself, each with all others different; the
# last ones are coincidences of sizes. Few and fixed: a diagnosis is the same each time.
_SIZES = (
    (2, 3, 4, 5, 2), (3, 2, 7, 9, 5), (1, 3, 2, 6, 4), (2, 4, 1, 5, 3), (5, 2, 3, 8, 1), (2, 1, 4, 6, 3), (3, 5, 2, 1, 2),
    (2, 2, 3, 70, 3), (2, 3, 70, 5, 2), (1, 2, 3, 19, 130), (2, 7, 3, 4, 2), (7, 2, 3, 4, 3), (1, 2, 2, 530, 2),
    (1, 4, 2, 3, 130), (1, 1, 1, 1, 3), (4, 4, 3, 5, 2), (2, 3, 3, 5, 4), (3, 2, 3, 4, 5), (2, 3, 6, 6, 4), (4, 4, 4, 4, 4),
)  # fmt: skip
# Primes have one way to be shared, all heads by one: other numbers in their place where heads share keys and values.
_SHARED_HEADS = {3: 6, 5: 8, 7: 6}
_MASKS = ("none", "random", "padding", "broadcast", "causal", "fully_masked_row")
_DATA = ("normal", "normal", "large", "ties")
_LAYOUTS = ("contiguous", "transposed", "sliced", "expanded")  # "contiguous" instead, where no other is taken


def cases_for(subject: Subject) -> list[Case]:
    """Return the cases to compare on, in the forms that the subject can be called in."""
    cases = []
    masks = [m for m in _MASKS if m in subject.masks]
    dtype = subject.dtypes[0]
    fixed = subject.adapter.sizes
    for n in range(2 * len(_SIZES)):
        batch, head, queries, keys, d_k = _SIZES[n % len(_SIZES)]
        head = _SHARED_HEADS.get(head, head) if subject.contract.formula.shared else head
        # With as many ties as divide the number of sizes, each size would have the same tie in both rounds.
        tie = subject.ties[(n + n // len(_SIZES) * (len(_SIZES) % len(subject.ties) == 0)) % len(subject.ties)]
        if tie == "all" or is_square(subject.adapter):
            queries = keys = min(keys, 80)
        d_k = subject.features(d_k)
        if fixed is not None:
            head, d_k = fixed[0], fixed[1] // fixed[0]
        laid = _LAYOUTS[n // 2 % 4] if _LAYOUTS[n // 2 % 4] in subject.layouts else "contiguous"
        case = Case(
            dtype=dtype, batch=batch, head=head, query_length=queries, key_length=keys, d_k=d_k, tie=tie,
            data=_DATA[n % 4], mask=masks[n % len(masks)], layout=laid, grad=(n + n // 6) % 3 == 0,
            need_weights=n % 5 != 4, seed=n, bias=(*subject.biases, "none")[n % (len(subject.biases) + 1)],
        )  # fmt: skip
        cases.append(_first_full(case) if n // len(masks) % 2 else case)
    return cases


def finely(subject: Subject) -> Subject:
    """Return the subject in float64 or else float32: in one that it is judged in, or else in one that it computes.

    In these any number that differs distinguishes bugs; the half formats round so much that several would give the numbers.
    A dtype that it is not judged in has to work on cases of every kind.

    Raises:
        SubjectError: it computes neither.
    """
    finer = ("float64", "float32")
    judged = [dtype for dtype in finer if dtype in subject.dtypes]  # if it raises there, that is what is wrong with it
    for dtype in judged or finer:
        fine = replace(subject, dtypes=(dtype, *(d for d in subject.dtypes if d != dtype)))
        if judged:
            return fine
        with contextlib.suppress(check.Violation):
            for case in {case.mask: case for case in reversed(cases_for(fine))}.values():
                Trial(fine, case, counted=False)()
            return fine
    raise SubjectError("it computes neither float64 nor float32, and half formats round too much to distinguish bugs")


def _first_full(case: Case) -> Case:
    """Return the case with a mask whose first sample, or at least first query, sees everything, if a seed gives one.

    Shortcuts for "nothing is masked" look there, and by chance hardly any mask is so.
    """
    if case.mask not in ("padding", "random"):
        return case
    tries = [replace(case, seed=case.seed + 1000 * n) for n in range(1, 50)]
    for depth in ((0,), (0, 0)):
        for other in tries:
            mask = other.allowed()
            if mask is not None and mask[depth].all() and not mask.all():
                return other
    return case
