"""What a module computes on one case: everything that can be compared with another module's numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from mhsa.bugs.diagnosis.crossed_bugs import name_of
from mhsa.bugs.diagnosis.every_quantity import RATE, quantities_of
from mhsa.bugs.diagnosis.kept_answers import inputs_of, kept
from mhsa.bugs.diagnosis.quantity import Quantity
from mhsa.bugs.mutants.plain import Plain
from mhsa.oracle.attention import FullyMaskedRow
from mhsa.oracle.bounded import Array
from mhsa.oracle.precision import Precision
from mhsa.records.case import Case
from mhsa.records.contract import Contract
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.forms.bias_form import BiasForm
from mhsa.subject.guard import guard
from mhsa.subject.projection_views import Projections
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# Two modules compute the same if they agree within the oracle's bound for arithmetic of 40 bits, while both compute with
# 53: a mutant's numbers may be some thousand times larger than the oracle's (scores without a scale), and their rounding
# with them, which leaves 2^13 of tolerance. Bugs differ from each other by much more.
COARSE = Precision("40 bits", 2.0**-40, 2.0**-40, 2.0**-1022)


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

    @functools.cached_property
    def inputs(self) -> bytes:
        """A digest of the parameters and tensors."""
        return inputs_of(self.trial)


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
    """Call a mutant on the same case with the subject's parameters, one quantity after the other.

    What another subject of the same formula and parameters was compared with is not computed again, and has no tolerance.
    """
    trial, rate = observation.trial, observation.rate
    key = (kind, fully_masked_row, rate, trial.case, trial.formula, trial.key_heads, trial.subject.device, observation.inputs)
    name = name_of(kind)
    words = None if name is None else repr((name, *key[1:]))
    return kept(key, words, lambda: _ask(kind, trial, rate, fully_masked_row))


def _ask(kind: type[Plain], given: Trial, rate: float, fully_masked_row: FullyMaskedRow) -> Iterator[Quantity]:
    case = given.case
    grouped = {"kv_heads": given.key_heads} if given.formula.shared else {}

    def make() -> nn.Module:
        module = kind(case.head, case.d_model, rate, **grouped)
        module.fully_masked_row = fully_masked_row
        module.use_parameters_like(given.projections)
        return module

    trial = given.with_module(_as_subject(kind, given.subject), make())
    yield from quantities_of(trial, make)


_adapters: dict[tuple[Any, Contract], ModuleAdapter] = {}


def _adapter(kind: type[Plain]) -> ModuleAdapter:
    """Return how a mutant is called: those with one forward and one contract are called alike, and need be read once."""
    alike = kind.forward, kind.mhsa_contract
    if alike not in _adapters:
        _adapters[alike] = ModuleAdapter(kind, kind.__name__)
    return _adapters[alike]


def _as_subject(kind: type[Plain], judged: Subject) -> Subject:
    """Return a mutant as a subject, without the calls by which one is understood: everything about it is known."""
    adapter = _adapter(kind)
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
