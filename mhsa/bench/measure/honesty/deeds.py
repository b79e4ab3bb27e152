"""What a contender does that makes its time say something else than how long the computation takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mhsa.bench.measure.captured.own_tools import replaced
from mhsa.bench.measure.honesty.fresh_calls import FreshCalls
from mhsa.bench.measure.honesty.going_on import goes_on
from mhsa.bench.measure.honesty.observed_operators import ObservedOperators
from mhsa.bench.measure.honesty.plain_result import hidden_form
from mhsa.bench.measure.implementation import Built
from mhsa.bench.measure.measurement import KNOWN, Pass


def deeds(built: Built, passes: Pass, calls: FreshCalls) -> list[str]:
    """Return in words what is seen of a contender in some calls, apart from whether its results are right.

    Raises whatever the contender raises.
    """
    device = built.trial.subject.device
    replaced()  # what another one has replaced meanwhile is put back
    threads = torch.get_num_threads()
    found: list[str] = []
    with torch.set_grad_enabled(passes == "training"):
        calls.fresh(1)[0].call()  # what is done once only, is done
        for look in (_remembers, _confuses, _hands_out_again):
            found += filter(None, [look(calls)])
        slot = calls.fresh(1)[0]
        found += filter(None, [hidden_form(slot.call(), device)])
        if built.contender.name not in KNOWN:  # those start nothing, and others may have
            found += filter(None, [goes_on(slot.call, device)])
    if names := [*dict.fromkeys((*built.replaced, *replaced()))]:
        found.insert(0, f"it has replaced {', '.join(names[:3])}, which times are taken with")
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
        found.append("it changes how many threads torch uses")
    return found


def precision_inside(built: Built, passes: Pass) -> str:
    """Return in words in which lower precision than its input's a call computes something; empty if in none."""
    observed = ObservedOperators(built.x.dtype)
    with torch.set_grad_enabled(passes == "training"):
        observed.of(built.bind(built.x))
    return f"it computes in {observed.lower} inside" if observed.lower else ""


def _remembers(calls: FreshCalls) -> str:
    """Whether a call does less where it is given what it was given before."""
    slot = calls.fresh(1)[0]
    before = slot.x.detach().clone()
    counts = []
    for _ in range(2):
        observed = ObservedOperators(before.dtype)
        observed.of(slot.call)
        counts.append(observed.operators)
        if not torch.equal(slot.x.detach(), before):
            return "a call writes into its input, so the next one is given something else"
    if counts[1] >= counts[0]:
        return ""
    return (
        f"it keeps its answers: a call with tensors that it has seen makes {counts[1]} of torch's operators, "
        f"one with new ones {counts[0]}"
    )


def _confuses(calls: FreshCalls) -> str:
    """Whether a call gives what another one has given, though the numbers in its tensors are others."""
    slot = calls.fresh(1)[0]
    before, first = slot.x.detach().clone(), [t.clone() for t in _tensors(slot.call())]
    slot = calls.fresh(1)[0]
    second = _tensors(slot.call())
    if torch.equal(slot.x.detach(), before) or not first or not torch.equal(first[0], second[0]) or not first[0].any():
        return ""
    return "it gives an answer that it has kept, though other numbers are in the same memory by now"


def _hands_out_again(calls: FreshCalls) -> str:
    """Whether two results share memory, so that the second call changes what the first has given."""
    slots = calls.fresh(2)
    results = [_tensors(slot.call()) for slot in slots]
    places = [{t.untyped_storage().data_ptr() for t in some if t.numel()} for some in results]
    own = {slot.x.untyped_storage().data_ptr() for slot in slots}
    if (places[0] & places[1]) - own - {0}:
        return "it gives the same memory out in every call: the next one changes what the last has returned"
    return ""


def _tensors(result: Any) -> list[Tensor]:
    some = result if isinstance(result, (tuple, list)) else (result,)
    return [part for part in some if isinstance(part, Tensor)]
