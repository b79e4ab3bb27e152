"""The second stage: an attention with something around it, a norm say, is taken out, where that is certain."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from mhsa.introspect.calls.finite_call import finite_call
from mhsa.introspect.calls.generic_module import randomised
from mhsa.introspect.projections.bind import bind_projections
from mhsa.introspect.readings.read_call import reads
from mhsa.introspect.stages.built_and_called import BuiltAndCalled
from mhsa.introspect.surroundings.inner_attention import InnerAttention, Surroundings
from mhsa.introspect.surroundings.leave_out import (
    ask_about_residual,
    inner_attention,
    is_certain,
    is_declared,
    mistake_of,
    with_dropout_of_its_own,
    without_activations_of,
)
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.subject import Subject


def without_surroundings(whole: BuiltAndCalled, name: str) -> tuple[BuiltAndCalled, Surroundings | None]:
    """Return the attention within a module and what is around it; the module as it is, where nothing certainly is.

    Raises:
        Question: a residual is all that is around it.
    """
    adapter, module = whole.adapter, whole.module

    def call() -> Tensor:
        return whole.output(*generic_tensors(adapter))

    inner = inner_attention(adapter, module, call)
    activated = without_activations_of(adapter, inner, module, call)
    if activated is not None and inner is not None and _fits(whole, inner, name):
        activated = None  # they are those of a feed-forward next to the attention
    for each in (activated, inner):
        if each is not None and (found := _taken(whole, each, name)) is not None:
            return found, each.around
    return whole, None


def _taken(whole: BuiltAndCalled, inner: InnerAttention, name: str) -> BuiltAndCalled | None:
    """Return the attention without what is around it, where that is certain.

    Raises:
        Question: it is not certain, and the attention is exactly right so, or the output has no tokens.
    """
    alone, caller = _alone(whole, inner, name)
    open_after = inner.around.unexplained and not is_declared(inner) and not mistake_of(inner.around)
    if open_after and _fits_alone(name, inner, alone, caller, whole.sizes):  # where it is wrong, it is wrong in any case
        raise ask_about_residual(inner.around)
    if not is_certain(inner):
        if inner.around.pooled or _fits_alone(name, inner, alone, caller, whole.sizes):
            raise ask_about_residual(inner.around)
        return None
    with_dropout_of_its_own(inner, lambda module: caller(module, *generic_tensors(inner), None)[0])
    return replace(whole, adapter=inner, module=alone, caller=caller, finite=finite_call(caller, alone))


def _alone(whole: BuiltAndCalled, inner: InnerAttention, name: str) -> tuple[nn.Module, Caller]:
    """Return a module that gives what its attention gives, with generic numbers, and how it is called."""
    alone = randomised(inner.build(*whole.given), name)
    return alone, replace(whole.caller, adapter=inner).locate(alone, *generic_tensors(whole.adapter))


def _fits(whole: BuiltAndCalled, inner: InnerAttention, name: str) -> bool:
    """Whether an attention is exactly right without what is around it."""
    alone, caller = _alone(whole, inner, name)
    return _fits_alone(name, inner, alone, caller, whole.sizes)


def _fits_alone(name: str, adapter: Adapter, module: nn.Module, caller: Caller, sizes: Sizes) -> bool:
    """Whether what an adapter builds is attention to the last digit."""
    try:
        bind, _, _ = bind_projections(adapter, module, sizes, lambda m, q, k, v: caller(m, q, k, v, None)[0])
        subject = Subject(name, adapter, caller.contract, ("float64",), "cpu", bind, caller)
        return reads(subject, module)
    except Exception:  # it cannot be read so
        return False
