"""Grouped heads of keys and values: they are the same as heads of their own that hold the same numbers."""

import copy
from dataclasses import replace

from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.adapter import in_eval_mode
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "all", "padding", "random", "causal")


def repeated(trial: Trial) -> tuple[Trial, int]:
    """Return a trial whose module has a key head for each query head, alike within a group, and the size of a group."""
    subject, case = trial.subject, trial.case
    if not subject.contract.formula.shared:
        check.inapplicable('needs a contract with kv_heads = "grouped"')
    group = case.head // max(len(trial.projections.key.weight) // trial.d_k, 1)
    if not isinstance(subject.adapter, ModuleAdapter) or group < 1:
        check.inapplicable("needs a constructor that takes the number of heads of keys and values")
    whole = copy.copy(subject.adapter)
    whole.contract = replace(whole.contract, kv_heads=None)
    twin = copy.copy(trial)
    module = guard("building it with as many heads of keys as of queries", lambda: whole.build(case.head, case.d_model))
    twin.use(in_eval_mode(module.to(device=subject.device, dtype=trial.dtype)))
    for (name, view), (_, own) in zip(twin.views.views(), trial.views.views(), strict=True):
        values = numbers(own.read())
        if name.partition(".")[0] in ("key", "value"):
            values = heads_of(values, trial.d_k).repeat(group, axis=0).reshape(-1, *values.shape[1:])
        if values.shape != view.shape:
            check.inapplicable("needs a constructor that takes the number of heads of keys and values")
        view.write(trial.tensor(values))
    twin.reread()
    return twin, group


def heads_of(x: Array, d_k: int) -> Array:
    """Return [heads * d_k, ...] as [heads, d_k, ...]."""
    return x.reshape(-1, d_k, *x.shape[1:])


@light
@given(case=cases(masks=ANY))
def test_groups_are_repeated_heads(subject: Subject, case: Case) -> None:
    """Heads of keys and values that a group of query heads shares are heads of its own that hold the same numbers.

    Statement: O with kv_heads = g equals O with kv_heads = H where W_K and W_V have every head H / g times in a row.
    Requires: kv_heads is declared, and the constructor takes the number of heads of keys and values.
    Source: Ainslie et al., arXiv 2305.13245; HazyResearch/HipKittens PR#22.
    Breaks it: query heads that read key heads in turns, a table that takes the number of groups for their size.
    """
    trial = Trial(subject, case)
    twin, _ = repeated(trial)
    shared, apart = trial(), twin()
    check.agree("output with repeated heads", apart.output_and_bound, shared.output_and_bound, shared.judged)


@light
@given(case=cases(masks=ANY, small=True))
def test_gradients_of_a_group_are_summed(subject: Subject, case: Case) -> None:
    """The map of a shared head receives the sum of what maps of its own would receive.

    Statement: dW_K[g] = sum over the heads h of group g of dW_K[h] of the module with repeated heads; W_V and biases alike.
    Requires: kv_heads is declared, and the constructor takes the number of heads of keys and values; autograd.
    Source: the chain rule; Ainslie et al., arXiv 2305.13245.
    Breaks it: a backward pass that keeps the gradient of one head of each group, or averages them.
    """
    trial = Trial(subject, case)
    twin, group = repeated(trial)
    start = trial.cotangent(20, case.output_shape)
    shared, apart = trial.differentiate(start), twin.differentiate(start)
    for name, _ in trial.views.views():
        if name.partition(".")[0] not in ("key", "value"):
            continue
        total, bound = (
            heads_of(x, trial.d_k).reshape(-1, group, trial.d_k, *x.shape[1:]).sum(axis=1).reshape(shared.observed[name].shape)
            for x in (apart.observed[name], apart.expected[name].error)
        )
        check.agree(f"gradient of {name}", (shared.observed[name], shared.expected[name].error), (total, bound))
