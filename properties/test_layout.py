"""The layout of tensors in memory, which must not change the result."""

import itertools

import numpy as np
import torch
from hypothesis import given
from torch import Tensor

from mhsa.judge.budget import light
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import ALL_LAYOUTS, numbers, tied
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "random")


def compare(trial: Trial, q: Tensor, k: Tensor, v: Tensor, what: str) -> None:
    """Call with the case's numbers in these tensors; the oracle judges."""
    mask = None if trial.mask is None else trial.convert(trial.mask)
    with torch.set_grad_enabled(trial.case.grad):
        output, weights = guard(f"the call with {what}", lambda: trial.call_unchecked(q, k, v, mask))
    trial.check_form(output, weights, *q.shape[:2], k.shape[1])
    required = trial()
    check.within(f"output with {what}", numbers(output), required.expected.output, required.judged)


def strided(subject: Subject) -> str:
    """Return the declaration under which tensors must be contiguous; empty where they may lie in any way."""
    return 'strides = "contiguous"' if subject.contract.strides == "contiguous" else ""


@light
@given(case=cases(masks=ANY), layouts=one_of(tuple(itertools.product(ALL_LAYOUTS, repeat=3))))
def test_each_tensor_in_its_own_layout(subject: Subject, case: Case, layouts: tuple[str, str, str]) -> None:
    """Query, key and value may lie in memory in three different ways.

    Statement: O depends on the numbers of q, k and v only: contiguous, transposed, sliced, offset, expanded, or with features
        that are not next to each other.
    Requires: nothing.
    Source: P17; pytorch/pytorch#187506 (non-unit innermost stride), #181133, FlagGems#5896 (V that is not contiguous).
    Breaks it: view, as_strided or a data pointer on what is taken for contiguous; the strides of one used for another.
    """
    check.not_under(strided(subject), "tensors may lie in memory in any way")
    trial = Trial(subject, case)
    following = iter(layouts)
    q, k, v = tied(lambda x: trial.tensor(x, next(following)), trial.query, trial.key, trial.value)
    compare(trial, q, k, v, f"query, key, value laid out {', '.join(layouts)}")


@light
@given(case=cases(masks=ANY, ties=("none",), small=True))
def test_slices_of_one_tensor(subject: Subject, case: Case) -> None:
    """Query, key and value may be slices of one tensor, as a packed projection hands them out.

    Statement: as above, with q, k, v = chunks of one [B, T, 3 D], and of one [3, B, T, D].
    Requires: key and value apart from query.
    Source: P17; awslabs/slapo PR#46, triton#2626 (layouts of packed q, k, v).
    Breaks it: a write into one that reaches the others, an offset in storage that is ignored.
    """
    check.not_under(strided(subject), "tensors may lie in memory in any way")
    case = case.resized(query_length=case.key_length)
    trial = Trial(subject, case)
    parts = [trial.tensor(x) for x in (trial.query, trial.key, trial.value)]
    wide, stacked = torch.cat(parts, dim=-1).chunk(3, dim=-1), torch.stack(parts).unbind(0)
    for chunks, what in ((wide, "slices of one [B, T, 3 D]"), (stacked, "slices of one [3, B, T, D]")):
        compare(trial, *chunks, what)


@light
@given(case=cases(masks=ANY, ties=("none",), small=True))
def test_tensors_that_begin_at_one_place(subject: Subject, case: Case) -> None:
    """Query, key and value may begin at one place of memory, have one shape, and be different all the same.

    Statement: as above, with q = x[:, ::2] and k = v = x[:, :T] of one x [B, 2 T, D]; and with k = x[:, ::2], q = v = x[:, :T].
    Requires: key and value apart from query.
    Source: P17; self-attention that is told by data pointers.
    Breaks it: a shortcut for one tensor in several roles that compares addresses and shapes, and no strides.
    """
    check.not_under(strided(subject), "tensors may lie in memory in any way")
    case = case.resized(query_length=case.key_length)
    trial = Trial(subject, case)
    rows = trial.tensor(np.concatenate([trial.query, trial.key], axis=1))
    every_second, first = rows[:, ::2], rows[:, : case.key_length]
    for q, k, v in ((every_second, first, first), (first, every_second, first)):
        trial.query, trial.key, trial.value = map(numbers, (q, k, v))
        compare(trial, q, k, v, "tensors that begin at one place")
