"""What a module computes on one case: everything that can be compared with another module's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mhsa import check
from mhsa.adapter import ModuleAdapter
from mhsa.bounded import Array
from mhsa.calling import Caller
from mhsa.cases import Case
from mhsa.mutants.plain import Plain
from mhsa.oracle import EmptyRow
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
    trial.precision = COARSE
    room: Observed = {}
    seen = _see(trial, room)
    return Scene(trial, seen, room)


def imitate(kind: type[Plain], scene: Scene, empty_row: EmptyRow) -> Observed | None:
    """Let a mutant answer the same case with the subject's parameters; None if it raises."""
    case = scene.trial.case
    module = kind(case.head, case.d_model, 0.0)
    module.empty_row = empty_row
    trial = Trial(_as_subject(kind, scene.trial.subject), case, counted=False, module=module)
    p = scene.trial.projections
    none = np.zeros(case.d_model)  # where the subject has no bias
    numbers = {}
    for name, linear in (("query", p.query), ("key", p.key), ("value", p.value), ("out", p.out)):
        numbers[f"{name}_weight"] = linear.weight
        numbers[f"{name}_bias"] = none if linear.bias is None else linear.bias
    trial.write(**numbers)
    return _see(trial)


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


def _see(trial: Trial, room: Observed | None = None) -> Observed | None:
    """Return what a module gives, None if it raises; ``room`` is filled with the oracle's bounds."""
    try:
        answer = trial()
        found = trial.differentiate(trial.cotangent(20, trial.case.output_shape))
    except check.Violation:
        return None
    seen = {"output": answer.output, "output with autograd": found.answer.output}
    if answer.weights is not None:
        seen["weights"] = answer.weights
    seen |= {f"gradient of {name}": gradient for name, gradient in found.observed.items()}
    if room is not None:
        expected = answer.expected
        room["output"] = room["output with autograd"] = np.where(answer.judged, expected.output.error, np.inf)
        room["weights"] = np.where(answer.judged[:, None], expected.weights.error, np.inf)
        settled = bool(answer.judged.all())
        for name, gradient in found.observed.items():
            error = found.expected[name].error if settled else np.full(gradient.shape, np.inf)
            room[f"gradient of {name}"] = error
    return seen


def _as_subject(kind: type[Plain], judged: Subject) -> Subject:
    """Return a mutant as a subject, without the calls by which one is understood: everything about it is known."""
    adapter = ModuleAdapter(kind, kind.__name__)
    return Subject(
        name=kind.__name__, adapter=adapter, contract=adapter.contract, dtypes=judged.dtypes, device=judged.device,
        bind=lambda module, sizes: Projections.of_linears(module.w_q, module.w_k, module.w_v, module.w_o),
        caller=Caller(adapter, adapter.contract, weights_from=1),
    )  # fmt: skip
