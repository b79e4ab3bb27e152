"""What is frozen, or needs no gradient, changes nothing for what does."""

from collections.abc import Mapping

import torch
from hypothesis import given
from torch import Tensor
from torch.nn import Parameter

from mhsa.judge.budget import rare
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array, Bounded
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.autograd import of_call
from mhsa.subject.guard import guard
from mhsa.subject.projection_views import lies_in
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")
ROLES = ("query", "key", "value")
TRAINED = ("the parameters", *ROLES, "one parameter")


@rare
@given(case=cases(masks=ANY, min_keys=2, small=True))
def test_gradients_where_nothing_else_needs_one(subject: Subject, case: Case) -> None:
    """What needs a gradient receives the same one if nothing else needs any.

    Statement: for S each of {q}, {k}, {v}, all parameters, one parameter: dL/dx for x in S is that of the formula, within the
        bound, where requires_grad is set for S alone; also after a call with the same tensors under no_grad.
    Requires: autograd.
    Source: P16; fine-tuning with frozen layers, probes of a frozen model, the first layer on data; validation before training.
    Breaks it: a backward pass that returns what the query needs and nothing else, a shortcut without autograd where all
        parameters are frozen, a projection under no_grad where its input needs no gradient, projections of a memory that are
        kept from a call without autograd.
    """
    trial = Trial(subject, case)
    d_output = trial.cotangent(20, case.output_shape)
    expected = trial.differentiate(d_output).expected
    own = [p for p in trial.module.parameters() if p.requires_grad]
    for trained in TRAINED:
        leaves = chosen_leaves(trial, own, trained)
        if leaves:
            require_theirs(trial, own, leaves, d_output, expected, f"where nothing but {trained} needs a gradient")


def chosen_leaves(trial: Trial, own: list[Parameter], trained: str) -> list[Tensor]:
    """Return what is to need a gradient: of the tensors of the last call, or of the parameters ``own``."""
    if trained in ROLES:
        return [trial.last_tensors[ROLES.index(trained)]]
    return [*own] if trained == "the parameters" or not own else [own[int(trial.case.rng(23).integers(len(own)))]]


def require_theirs(
    trial: Trial, own: list[Parameter], leaves: list[Tensor], d_output: Array, expected: Mapping[str, Bounded], where: str
) -> None:
    """Call again with gradients for ``leaves`` alone, and fail unless they receive theirs."""
    for p in own:
        p.requires_grad_(any(p is leaf for leaf in leaves))
    q, k, v, mask = trial.last_tensors
    given = {id(t): t.detach().requires_grad_(any(t is leaf for leaf in leaves)) for t in (q, k, v)}
    with torch.no_grad():
        guard("a call under no_grad", lambda: trial.call_unchecked(given[id(q)], given[id(k)], given[id(v)], mask))
    with torch.enable_grad():
        output, _ = guard(f"the call {where}", lambda: trial.call_unchecked(given[id(q)], given[id(k)], given[id(v)], mask))
    if not output.requires_grad:
        check.fail(f"output does not require a gradient {where}, but must", what="gradients")
    needing = [t for t in (*given.values(), *own) if t.requires_grad]
    start = (output, trial.tensor(d_output))
    observed = guard(f"the backward pass {where}", lambda: of_call(start, (q, k, v), given, own, trial.views))
    judged = [name for name, t in zip(ROLES, (q, k, v), strict=True) if given[id(t)].requires_grad and name in observed]
    for name, view in trial.views.views():
        if view.pieces and all(any(lies_in(piece, p) for p in needing) for piece in view.pieces):
            judged.append(name)
    for name in judged:
        if name in expected:
            check.within(f"gradient of {name} {where}", observed[name], expected[name])
