"""Whether an implementation, read in one way, is exactly the oracle on generic inputs: the one place where this is asked."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mhsa.oracle.bounded import Bounded
from mhsa.records.conventions.values import MaskShape
from mhsa.subject import check
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.answer import Mask
from mhsa.subject.forms.mask_conversion import ALIKE_FOR_QUERIES
from mhsa.subject.generic_inputs import generic_case, hiding, is_exact
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# Shapes of masks with an axis of size 1 for the queries, and the same with all queries.
_WHOLE: dict[MaskShape | None, MaskShape] = {"[B, 1, Tk]": "[B, Tq, Tk]", "[B, 1, 1, Tk]": "[B, 1, Tq, Tk]"}
MANY = 19  # samples, more than any other generic size, and a prime
SEEDS = (0, 1, 2)  # of the inputs; a mask of one seed alone may hide the same whichever way it is read


class Fit:
    """Asks whether readings of one implementation fit; modules and the oracle's answers are kept from one to the next."""

    def __init__(self) -> None:
        self._trials: dict[Any, tuple[Adapter, Trial]] = {}
        self._required: dict[Any, Bounded] = {}

    def without_mask(self, subject: Subject) -> bool:
        """Whether the output without a mask is the oracle's."""
        return all(self._is_exact(subject, seed, None) for seed in SEEDS)

    def with_mask(self, subject: Subject) -> bool:
        """Whether the output with masks of the subject's form is the oracle's.

        A form with an axis of size 1 for the queries is none if masks that differ between queries are taken, too: what reads
        their first row only would pass for one that wants a single row.
        """
        for seed in SEEDS:
            case = generic_case(subject, seed=seed)
            mask = hiding((case.batch, case.query_length, case.key_length), seed, subject.contract)
            if not self._is_exact(subject, seed, mask):
                return False
        if not self._of_many_samples(subject):
            return False
        whole = _WHOLE.get(subject.contract.mask_shape)
        if whole is None:
            return True
        return not self.is_taken(subject.under(replace(subject.contract, mask_shape=whole)))

    def is_taken(self, subject: Subject, samples: int = 0) -> bool:
        """Whether a mask of the subject's form that hides something is taken without an error; in ``samples`` if given."""
        try:
            trial, contract = self._trial(subject, 0, samples), subject.contract
            case = trial.case
            trial(mask=hiding((case.batch, case.query_length, case.key_length), 0, contract))
        except (check.Violation, check.Inapplicable):
            return False
        return True

    def _of_many_samples(self, subject: Subject) -> bool:
        """Whether masks of the form are taken with more samples than keys: no slice as long as the queries cuts any off."""
        return subject.contract.mask_shape in ("[Tq, Tk]", None) or self.is_taken(subject, MANY)

    def is_taken_transposed(self, subject: Subject) -> bool:
        """Whether a mask of as many queries as keys is taken, where the form is one of keys with an axis of size 1 behind.

        Then nothing shows whether the mask is one of keys, or one of queries and keys that is transposed by mistake.
        """
        contract = replace(subject.contract, mask_shape="[B, Tq, Tk]")
        return self.with_square_mask(subject.under(contract)) is not None

    def with_square_mask(self, subject: Subject) -> bool | None:
        """Whether a mask of as many queries as keys gives the oracle's output; None where it is not taken.

        What hides the same keys from every query may mark tokens: then the queries that it marks may give anything.
        """
        case = generic_case(subject)
        mask = hiding((case.batch, case.key_length, case.key_length), 0, subject.contract)
        try:
            trial = Trial(subject, replace(case, query_length=case.key_length), counted=False)
            answer = trial(mask=mask)
        except (check.Violation, check.Inapplicable):
            return None
        required = answer.expected.output
        rows = mask[:, 0] if subject.contract.mask_shape in ALIKE_FOR_QUERIES else np.ones(mask.shape[:2], dtype=bool)
        if answer.output.shape != required.value.shape:
            return False
        return bool((np.abs(answer.output - required.value) <= required.error)[rows].all())

    def is_taken_without_mask(self, subject: Subject) -> bool:
        """Whether a call without a mask returns."""
        trial = self._trial(subject, 0)
        try:
            trial(mask=None)
        except (check.Violation, check.Inapplicable):
            return False
        return True

    def wrong_with_both(self, subject: Subject, other: Subject, name: str) -> str | None:
        """Return what is wrong where a mask and another one are given, empty where nothing is; None where that raises.

        They allow together what each of them allows, and are left as they are. The other one is given as argument ``name``.
        """
        assert isinstance(subject.adapter, ModuleAdapter)
        masks = f"{name} and {subject.adapter.signature.mask}"
        for seed in SEEDS:
            case = generic_case(subject, seed=seed)
            shape = (case.batch, case.query_length, case.key_length)
            first, second = (hiding(shape, seed + n, s.contract) for n, s in enumerate((subject, other)))
            trial = self._trial(subject, seed)
            adapter = copy.copy(subject.adapter)
            given = other.caller.convert(torch.tensor(second), trial.dtype, case.head)
            adapter.also, held = {name: given}, given.clone()
            trial.subject = replace(subject, adapter=adapter, caller=replace(subject.caller, adapter=adapter))
            try:
                output = trial(mask=first).output
            except (check.Violation, check.Inapplicable):
                return None
            allowed = trial.effective(first & second, trial.query, trial.key)
            assert allowed is not None
            required = trial.expect_under(allowed).output
            rows = allowed.any(axis=-1)
            if not bool((np.abs(output - required.value) <= required.error)[rows].all()):
                return f"{masks} together do not hide what each of them hides alone"
            own, before = trial.arguments["mask"]
            if not torch.equal(given, held) or not np.array_equal(numbers(own), before):
                return f"a call with {masks} together writes into one of them"
        return ""

    def fully_masked_is_nan(self, subject: Subject) -> bool:
        """Whether queries without any allowed key get NaN: those of one sample, all of which every form can hide."""
        trial = self._trial(subject, 0)
        case = trial.case
        mask = np.ones((case.batch, case.query_length, case.key_length), dtype=bool)
        mask[:1] = False
        try:
            return bool(np.isnan(trial(mask=mask).output[0]).any())
        except (check.Violation, check.Inapplicable):
            return False

    def _is_exact(self, subject: Subject, seed: int, mask: Mask | None) -> bool:
        try:
            trial = self._trial(subject, seed)
            mask = trial.opened(mask)
            answer = trial(mask=mask)
        except (check.Violation, check.Inapplicable):  # the properties will meet it again and report it
            return False
        held = b"" if mask is None else mask.tobytes()
        key = (
            id(subject.adapter),
            id(subject.bind),
            subject.ties[0],
            subject.contract.float64_in,
            subject.contract.formula,
            subject.contract.padded_queries,
            seed,
            held,
            answer.output.shape,
        )
        if key not in self._required:
            self._required[key] = answer.expected.output
        required = self._required[key]
        if subject.contract.padded_queries == "zero":
            required = Bounded(np.where(answer.attended, required.value, 0.0), np.where(answer.attended, required.error, 0.0))
        return is_exact(answer.output, required)

    def _trial(self, subject: Subject, seed: int, samples: int = 0) -> Trial:
        """Return a trial of the subject; those of one adapter share the module and its parameters."""
        case = generic_case(subject, seed=seed)  # of other layouts it may have other sizes
        sizes = (case.batch, case.query_length, case.key_length)
        key = (id(subject.adapter), id(subject.bind), subject.ties[0], sizes, seed, samples)
        if key not in self._trials:
            made = Trial(subject, replace(case, batch=samples or case.batch), counted=False)
            self._trials[key] = subject.adapter, made  # the adapter is kept, so that no other one gets its id
        trial = copy.copy(self._trials[key][1])
        trial.subject, trial.precision = subject, subject.precision(trial.case.dtype)
        trial.formula = subject.contract.formula
        return trial


def fits(subject: Subject) -> bool:
    """Whether a subject's output without a mask is the oracle's; computed on the CPU."""
    on_cpu = replace(subject, device="cpu")
    return Fit().without_mask(on_cpu) or (subject.caller.fills_mask and Fit().with_mask(on_cpu))
