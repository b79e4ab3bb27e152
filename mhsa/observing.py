"""What a module computes on one case: everything that can be compared with another module's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mhsa import check, oracle
from mhsa.answer import expected_gradients
from mhsa.autograd import backward_pass
from mhsa.bounded import Array
from mhsa.cases import Case
from mhsa.mutants.plain import Plain
from mhsa.oracle import EmptyRow
from mhsa.placing import numbers, tied
from mhsa.precision import Precision
from mhsa.projections import Projections
from mhsa.subject import Subject
from mhsa.trial import Trial

# Two modules compute the same if they agree within the oracle's bound for arithmetic of 40 bits, while both compute with
# 53: a mutant's numbers may be some thousand times larger than the oracle's (scores without a scale), and their rounding
# with them, which leaves 2^13 of room. Bugs differ from each other by much more.
COARSE = Precision("40 bits", 2.0**-40, 2.0**-40, 2.0**-1022)
# Nor is a difference looked at that is this small beside the tensor's largest number: where the oracle's weight is all
# but zero, so is its bound, and a mutant's weight need not be.
NEGLIGIBLE = 2.0**-36

Observed = dict[str, Array]


@dataclass(frozen=True)
class Scene:
    """One case with a subject's answer to it.

    Attributes:
        trial: the subject's.
        seen: what it gave: ``output``, ``weights``, ``output with autograd`` and gradients by name; None if it raised.
        room: by how much another module's numbers may differ, for each; infinite where only finiteness is compared.
    """

    trial: Trial
    seen: Observed | None
    room: Observed


def stage(subject: Subject, case: Case) -> Scene:
    """Let the subject answer."""
    trial = Trial(subject, case, counted=False)
    seen: Observed = {}
    room: Observed = {}
    try:
        answer = trial()
        cotangent = trial.cotangent(20, case.output_shape)
        found = trial.differentiate(cotangent)
    except check.Violation:
        return Scene(trial, None, room)
    arguments = (trial.query, trial.key, trial.value, trial.projections, case.head, trial.mask)
    expected = oracle.multi_head(*arguments, COARSE)
    seen["output"], room["output"] = answer.output, np.where(answer.judged, expected.output.error, np.inf)
    if answer.weights is not None:
        seen["weights"] = answer.weights
        room["weights"] = np.where(answer.judged[:, None], expected.weights.error, np.inf)
    seen["output with autograd"], room["output with autograd"] = found.answer.output, room["output"]
    settled = bool(answer.judged.all())
    ties: dict[int, list[str]] = {}
    for name, x in (("query", trial.query), ("key", trial.key), ("value", trial.value)):
        ties.setdefault(id(x), []).append(name)
    roles = {names[0]: names for names in ties.values()}
    widened = replace(answer, ask_oracle=lambda: expected)
    coarse = expected_gradients(widened, roles, cotangent, None, COARSE) if settled else {}
    for name, gradient in found.observed.items():
        seen[f"gradient of {name}"] = gradient
        room[f"gradient of {name}"] = coarse[name].error if settled else np.full(gradient.shape, np.inf)
    return Scene(trial, seen, room)


def imitate(kind: type[Plain], scene: Scene, empty_row: EmptyRow) -> Observed | None:
    """Let a mutant answer the same case with the subject's parameters; None if it raises."""
    trial = scene.trial
    module = kind(trial.case.head, trial.case.d_model, 0.0).to(dtype=trial.dtype)
    module.empty_row = empty_row
    _copy(trial, module)
    try:
        return _observe(module.eval(), trial)
    except Exception:  # whatever it is, the mutant cannot answer this
        return None


def alike(a: Observed | None, b: Observed | None, room: Mapping[str, Array]) -> bool:
    """Whether two answers are the same: finite at the same places, and within the room there."""
    if a is None or b is None:
        return a is b
    return all(_alike(a[name], b[name], room[name]) for name in room if name in a and name in b)


def _alike(a: Array, b: Array, room: Array) -> bool:
    if a.shape != b.shape:
        return False
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return False
    a, b = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
    return bool((np.abs(a - b) <= room + NEGLIGIBLE * np.abs(a).max(initial=0.0)).all())


def _copy(trial: Trial, module: Plain) -> None:
    p = trial.projections
    with torch.no_grad():
        for linear, given in ((module.w_q, p.query), (module.w_k, p.key), (module.w_v, p.value), (module.w_o, p.out)):
            linear.weight.copy_(torch.from_numpy(given.weight))
            linear.bias.copy_(torch.zeros(linear.bias.shape) if given.bias is None else torch.from_numpy(given.bias))


def _observe(module: Plain, trial: Trial) -> Observed:
    case = trial.case
    mask = None if trial.mask is None else torch.tensor(trial.mask)
    seen: Observed = {}
    with torch.set_grad_enabled(case.grad):
        output, weights = module(*_tensors(trial, leaves=False), mask)
    seen["output"] = numbers(output)
    if weights is not None:
        seen["weights"] = numbers(weights)
    tensors = _tensors(trial, leaves=True)
    with torch.enable_grad():
        output, _ = module(*tensors, mask)
    seen["output with autograd"] = numbers(output)
    roles: dict[Tensor, str] = {}  # a tensor that is passed several times goes by the first of its roles
    for tensor, name in zip(tensors, ("query", "key", "value"), strict=True):
        roles.setdefault(tensor, name)
    gradients = backward_pass([(output, trial.place(trial.cotangent(20, case.output_shape)))], [*roles, *module.parameters()])
    for tensor, name in roles.items():
        seen[f"gradient of {name}"] = numbers(gradients.get(tensor, torch.zeros_like(tensor)))
    maps = Projections.of_linears(module.w_q, module.w_k, module.w_v, module.w_o)
    for name, view in maps.views():
        seen[f"gradient of {name}"] = numbers(view.gradient(gradients)[0])
    return seen


def _tensors(trial: Trial, *, leaves: bool) -> list[Tensor]:
    place = trial.place
    return tied(lambda x: place(x, trial.case.layout).requires_grad_(leaves), trial.query, trial.key, trial.value)
