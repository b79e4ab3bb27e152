"""What a module computes on one case: everything that can be compared with another module's numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mhsa.bugs.mutants.plain import Plain
from mhsa.oracle.attention import FullyMaskedRow
from mhsa.oracle.bounded import Array
from mhsa.oracle.precision import Precision
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.answer import Answer, Differentiated
from mhsa.subject.caller import Caller
from mhsa.subject.forms.bias_form import BiasForm
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import numbers
from mhsa.subject.projection_views import Projections
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# Two modules compute the same if they agree within the oracle's bound for arithmetic of 40 bits, while both compute with
# 53: a mutant's numbers may be some thousand times larger than the oracle's (scores without a scale), and their rounding
# with them, which leaves 2^13 of tolerance. Bugs differ from each other by much more.
COARSE = Precision("40 bits", 2.0**-40, 2.0**-40, 2.0**-1022)
# Nor does a difference count that is this small relative to the tensor's largest number: where the oracle's weight is all
# but zero, so is its bound, and a mutant's weight need not be.
NEGLIGIBLE = 2.0**-36
RATE = 0.25  # of dropout; not one half, where the rate and its complement are the same
_MADE_GOOD = 1.0 / (1.0 - RATE) ** 2  # by how much two dropouts in a row magnify, rounding included

RAISES = " raises"  # ends the name of a quantity that is nothing but an error
ASPECTS = ("eval", "backward", "later", "training")  # of a quantity: the call, its gradients, what it leaves behind, training


@dataclass(frozen=True)
class Quantity:
    """One quantity that is compared.

    Attributes:
        name: what it is; it begins with its aspect, one of ``ASPECTS``.
        numbers: of it; flags are 0 or 1.
        tolerance: returns by how much another module's numbers may differ, infinite where only finiteness counts.
        relative_to: a magnitude relative to which a difference may be negligible, where it is larger than these numbers.
    """

    name: str
    numbers: Array
    tolerance: Callable[[], Array] = lambda: np.zeros(())
    relative_to: float = 0.0

    @property
    def aspect(self) -> str:
        """The first word of the name."""
        return self.name.partition(" ")[0]


@dataclass(frozen=True)
class Observation:
    """One case with a subject's answer to it.

    Attributes:
        trial: the subject's, called already.
        rate: of its dropout, in training; 0 if that cannot be set.
        empty: whether mask and formula leave a query without any key.
        quantities: what was observed, in order, by name.
        tolerances: functions that return by how much each may differ; most are never called, and cost more than the calls.
    """

    trial: Trial
    rate: float
    empty: bool
    quantities: dict[str, Quantity]
    tolerances: dict[str, Callable[[], Array]]


def observe(subject: Subject, case: Case) -> Observation:
    """Call the subject, and return what is observed."""

    module = guard("building it", lambda: subject.adapter.build_dropping(case.head, case.d_model, RATE))
    rate = 0.0 if module is None else RATE

    def make() -> nn.Module:
        dropping = subject.adapter.build_dropping(case.head, case.d_model, RATE)
        return subject.adapter.build(case.head, case.d_model) if dropping is None else dropping

    trial = Trial(subject, case, counted=False, module=module or make())
    coarse = case.dtype == "float64" and subject.contract.float64_in != "float32"
    if coarse:  # else a difference within the dtype's rounding cannot be distinguished
        trial.precision = COARSE
    mask = trial.mask
    quantities = {quantity.name: quantity for quantity in quantities_of(trial, make)}
    # Of two modules that round, each may be off by the bound.
    times = 1 if coarse else 2
    tolerances: dict[str, Callable[[], Array]] = {
        n: functools.cache(functools.partial(_tolerance, s, times)) for n, s in quantities.items()
    }
    seen = trial.effective(mask, trial.query, trial.key)  # a formula may leave a query without any key, too
    return Observation(trial, rate, seen is not None and not bool(seen.any(-1).all()), quantities, tolerances)


def _tolerance(quantity: Quantity, times: int) -> Array:
    return quantity.tolerance() * times


def observe_mutant(kind: type[Plain], observation: Observation, fully_masked_row: FullyMaskedRow) -> Iterator[Quantity]:
    """Call a mutant on the same case with the subject's parameters, one quantity after the other."""
    case = observation.trial.case
    grouped = {"kv_heads": observation.trial.key_heads} if observation.trial.formula.shared else {}

    def make() -> nn.Module:
        module = kind(case.head, case.d_model, observation.rate, **grouped)
        module.fully_masked_row = fully_masked_row
        module.use_parameters_like(observation.trial.projections)
        return module

    trial = observation.trial.with_module(_as_subject(kind, observation.trial.subject), make())
    yield from quantities_of(trial, make)


def alike(quantity: Quantity, other: Quantity, tolerance: Callable[[], Array]) -> bool:
    """Whether two quantities are the same: finite at the same places, and there equal within the tolerance."""
    a, b = quantity.numbers, other.numbers
    if a.shape != b.shape:
        return False
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return False
    a, b = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
    difference, negligible = np.abs(a - b), NEGLIGIBLE * np.abs(a).max(initial=quantity.relative_to)
    return bool((difference <= negligible).all() or (difference <= tolerance() + negligible).all())


def quantities_of(trial: Trial, make: Callable[[], nn.Module]) -> Iterator[Quantity]:
    """Call a module in every way that is compared; what raises is a quantity, too.

    ``make`` gives another module of the same kind, which has not been put into eval mode yet.
    """
    # Keys made equal on purpose tie in a way of their own when they are queries too: which is the larger, rounding decides.
    apart = trial.case.tie == "none" and trial.case.data != "ties"
    apart = apart and trial.bias is None  # which has the sizes of the case
    parts = [_call, _derivatives, _second_call, *([_shared] if apart else [])]
    for part in parts:
        yield from _guarded(part, trial)
    if trial.case.grad:  # a third of the cases; the other parts take most of the time
        views = [numbers(view.read()) for _, view in (*trial.views.views(), *trial.views.sources)]
        trial.use(make().to(device=trial.subject.device, dtype=trial.dtype))
        for (_, view), values in zip((*trial.views.views(), *trial.views.sources), views, strict=True):
            view.write(torch.from_numpy(values))
        trial.train()
        yield from _guarded(_training, trial, "")
        trial.module.eval()
        yield from _guarded(_call_between, trial)
        trial.train()
        yield from _guarded(_training, trial, " after eval")


def _guarded(part: Callable[..., Iterator[Quantity]], trial: Trial, *words: str) -> Iterator[Quantity]:
    names = {
        _call: "eval",
        _derivatives: "backward",
        _second_call: "later call",
        _shared: "eval where query is key",
        _call_between: "later eval",
    }
    what = names.get(part, "training")
    try:
        yield from part(trial, *words)
    except check.Violation:
        yield Quantity(f"{what}{''.join(words)}{RAISES}", np.ones(()))


def _call(trial: Trial) -> Iterator[Quantity]:
    state = [t.detach().clone() for t in trial.module.state_dict().values()]
    answer = trial()
    drawn = _has_drawn(trial)
    yield Quantity("eval output", answer.output, lambda: _output_tolerance(answer))
    yield Quantity("eval output's bytes per number", np.array(answer.tensors[0].element_size()))
    if answer.weights is not None:
        yield Quantity("eval weights", answer.weights, lambda: _weights_tolerance(answer))
    if answer.lse is not None:
        yield Quantity("eval log-sum-exp", answer.lse, lambda: _logarithm_tolerance(answer))
    yield Quantity("eval random numbers drawn", np.array(drawn))
    for name, (tensor, before) in trial.arguments.items():
        changed = numbers(tensor)
        yield Quantity(f"later {name} written to", np.array(not np.array_equal(changed, before)))
    yield Quantity("later change of state", _changes(state, list(trial.module.state_dict().values())))


def _changes(before: list[Tensor], after: list[Tensor]) -> Array:
    """By how much numbers of the state changed, sorted: it may be stored in any way; infinite where there are others now."""
    pairs = list(zip(before, after, strict=False))
    if len(before) != len(after) or any(a.dtype != b.dtype or a.shape != b.shape for a, b in pairs):
        return np.full(1, np.inf)
    changes = [(numbers(b) - numbers(a)).ravel() for a, b in pairs if not torch.equal(a, b)]
    return np.sort(np.concatenate([c[c != 0.0] for c in changes])) if changes else np.zeros(0)


def _derivatives(trial: Trial) -> Iterator[Quantity]:
    differentiated = trial.differentiate(trial.cotangent(20, trial.case.output_shape))
    yield Quantity("eval output with autograd", differentiated.answer.output, lambda: _output_tolerance(differentiated.answer))
    for name, gradient in differentiated.observed.items():
        # What is added to all keys changes no weight: the gradient of their bias is zero, and what is seen of it is rounding.
        relative_to = _largest(differentiated.observed["key.weight"]) if name == "key.bias" else 0.0
        yield Quantity(
            f"backward gradient of {name}", gradient, functools.partial(_gradient_tolerance, differentiated, name), relative_to
        )


def _second_call(trial: Trial) -> Iterator[Quantity]:
    """With other numbers and another mask of the same sizes: what the first call left behind shows here."""
    first = trial()
    query, key, value = trial.each(np.negative)
    mask = None if trial.mask is None else np.roll(trial.mask, 1, -1)
    second = trial(query, key, value, mask)
    yield Quantity("later output", second.output, lambda: _output_tolerance(second))
    if second.weights is not None:
        yield Quantity("later weights", second.weights, lambda: _weights_tolerance(second))
    yield Quantity("later first output", numbers(first.tensors[0]), lambda: _output_tolerance(first))


def _shared(trial: Trial) -> Iterator[Quantity]:
    """Query and key one tensor, and a value of its own."""
    answer = trial(query=trial.key, mask=None)
    yield Quantity("eval output where query is key", answer.output, lambda: _output_tolerance(answer))


def _call_between(trial: Trial) -> Iterator[Quantity]:
    yield Quantity("later output in eval after training", (answer := trial()).output, lambda: _output_tolerance(answer))


def _training(trial: Trial, words: str) -> Iterator[Quantity]:
    differentiated = trial.differentiate(trial.cotangent(21, trial.case.output_shape))
    yield Quantity(
        f"training{words} output", differentiated.answer.output, lambda: _MADE_GOOD * _output_tolerance(differentiated.answer)
    )
    if "value" in differentiated.observed and not words:
        gradient = differentiated.observed["value"]
        yield Quantity(
            "training gradient of value", gradient, lambda: _MADE_GOOD * _gradient_tolerance(differentiated, "value")
        )


def _has_drawn(trial: Trial) -> bool:
    """Whether the last call moved the generator of random numbers on."""
    if trial.subject.device != "cpu":
        return False
    now = torch.default_generator.get_state()
    torch.default_generator.manual_seed(trial.case.seed)
    return not torch.equal(now, torch.default_generator.get_state())


def _largest(x: Array) -> float:
    """Return the largest finite magnitude."""
    return float(np.abs(x[np.isfinite(x)]).max(initial=0.0))


def _output_tolerance(answer: Answer) -> Array:
    return np.where(answer.judged, answer.expected.output.error, np.inf)


def _weights_tolerance(answer: Answer) -> Array:
    return np.where(answer.judged[:, None], answer.expected.weights.error, np.inf)


def _logarithm_tolerance(answer: Answer) -> Array:
    must = answer.expected.lse
    assert must is not None
    return np.where(answer.attended[:, None, :, 0], must.error, np.inf)


def _gradient_tolerance(differentiated: Differentiated, name: str) -> Array:
    # In a fully masked row, -1e9 that is added lets a gradient through, and a fill does not: both are usual.
    settled = differentiated.answer.mask is None or bool(differentiated.answer.mask.any(-1).all())
    return differentiated.expected[name].error if settled else np.full(differentiated.observed[name].shape, np.inf)


@functools.lru_cache(maxsize=1024)  # all kinds, on all observations and for all subjects: a fifth of the time of a comparison
def _adapter(kind: Any) -> ModuleAdapter:
    return ModuleAdapter(kind, kind.__name__)


def _as_subject(kind: type[Plain], judged: Subject) -> Subject:
    """Return a mutant as a subject, without the calls by which one is understood: everything about it is known."""
    hashable: Any = kind  # a class of modules is, and mypy does not know
    adapter = _adapter(hashable)
    return Subject(
        name=kind.__name__, adapter=adapter, contract=adapter.contract, dtypes=judged.dtypes, device=judged.device,
        bind=lambda module, sizes: Projections.of_linears(
            module.w_q, module.w_k, module.w_v, module.w_o, getattr(module, "sinks", None),
            getattr(module, "query_norm", None), getattr(module, "key_norm", None),
            getattr(module, "relative_bias", None),
        ),
        caller=Caller(
            adapter, adapter.contract, weights_from=1, bias_form=BiasForm(),
            lse_from=None if adapter.contract.lse is None else 2, lse_form=("B", "H", "Tq"),
        ),
    )  # fmt: skip
