"""The first stage: a module with generic numbers is built, and how it is called is found, or asked about."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.introspect.calls.find_call import find_call
from mhsa.introspect.calls.finite_call import finite_call
from mhsa.introspect.calls.generic_module import randomised
from mhsa.introspect.calls.one_vector import ask_about_one_vector
from mhsa.introspect.declared_contract import require_use
from mhsa.introspect.failing_builds import failed_build
from mhsa.introspect.failing_calls import require_a_call
from mhsa.introspect.late_parameters import require_no_growth
from mhsa.introspect.limited_lengths import require_lengths
from mhsa.introspect.readings.equal_lengths import declared_equal
from mhsa.introspect.readings.formula.qk_norm import with_epsilon
from mhsa.introspect.readings.masks.ignored import without_ignored_mask
from mhsa.introspect.readings.one_length import of_one_length
from mhsa.introspect.readings.options.two_streams import without_other_direction
from mhsa.introspect.surroundings.several_attentions import one_of_several
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import first_sizes, generic_tensors
from mhsa.subject.guard import attempt
from mhsa.subject.parameter_layout import Sizes


@dataclass(frozen=True)
class BuiltAndCalled:
    """A module with generic numbers, and how it is called.

    Attributes:
        adapter: which has built it.
        module: float64, in eval mode, on the CPU.
        caller: of the module.
        finite: the same with a mask that leaves its output finite, where one must be given.
        sizes: of the module.
        given: the number of heads and the width that its constructor was given.
        understood: what was found out on the way.
    """

    adapter: Adapter
    module: nn.Module
    caller: Caller
    finite: Caller
    sizes: Sizes
    given: tuple[int, int]
    understood: tuple[Understood, ...]

    def output(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return what the module gives, without a mask or with one that leaves it finite; it may change what it is given."""
        own = {id(x): x.clone() for x in (query, key, value)}  # one tensor in several roles stays one
        output: Tensor = self.finite(self.module, own[id(query)], own[id(key)], own[id(value)], None)[0]
        return output


def build_and_call(adapter: Adapter, target: Any, request: Request, *, whole: bool = False) -> BuiltAndCalled:
    """Build a module and find out how it is called: which attention of it, with which lengths, and whether with a mask.

    A ``whole`` layer is called as it is, with all of its attentions.

    Raises:
        SubjectError: it cannot be built.
        Question: no call returns, or what it does in a call cannot be judged.
    """
    name, sizes = request.label, first_sizes(adapter)
    given = adapter.sizes or (sizes.head, sizes.d_model)
    module = _built(adapter, name, given)
    adapter, about_epsilon = with_epsilon(adapter, target, module)
    there = {path for path, _ in module.named_parameters()}
    returning: list[str] = []  # the dtype of a call that returns, where the plainest one does not
    caller = find_call(adapter, module, lambda: returning.append(_require_a_call(adapter, module, request, target)))
    if returning == ["float32"] and isinstance(adapter, ModuleAdapter):
        adapter.in_float32 = True
        caller = find_call(adapter, module)
    one = None
    if isinstance(adapter, ModuleAdapter) and not whole:
        one = one_of_several(adapter, module, caller, _spec(target, request))
    if one is not None:
        adapter, module = one, randomised(one.build(*given), name)
        caller = find_call(adapter, module)
    alike: ModuleAdapter | FunctionAdapter | None = declared_equal(adapter) or of_one_length(caller, module)
    if alike is not None:
        adapter, caller = alike, find_call(alike, module)
    caller = without_ignored_mask(caller, module)
    if caller.adapter is not adapter:  # a function that is called in another layout, or a mask that is not read
        adapter = caller.adapter
        module = randomised(adapter.build(*given), name)
    if isinstance(adapter, ModuleAdapter) and adapter.signature.co_attention:
        adapter = without_other_direction(adapter, caller, module)
        caller = replace(caller, adapter=adapter)
    require_use(name, target, adapter, request.contract, caller.contract)
    require_no_growth(module, there, request, target, lambda: caller(module, *generic_tensors(adapter), None))
    tabled = isinstance(adapter.contract.formula.bias, BiasTable)
    require_lengths(module, given[1], lambda x: caller(module, x, x, x, None), tabled=tabled)
    about_reset = _about_reset(adapter, caller, module)
    finite = finite_call(caller, module)  # before anybody watches what is called within the module
    understood = tuple(part for part in (about_epsilon, about_reset) if part)
    return BuiltAndCalled(adapter, module, caller, finite, sizes, given, understood)


def _about_reset(adapter: Adapter, caller: Caller, module: nn.Module) -> Understood | None:
    """Say which method is called before each call, where another call is answered otherwise without; else leave it uncalled."""
    if not isinstance(adapter, ModuleAdapter) or not adapter.reset:
        return None
    tensors, name = generic_tensors(adapter), adapter.reset

    def output() -> Tensor | None:
        returned = attempt(lambda: caller(module, *tensors, None)[0])[0]
        return returned[0] if returned and isinstance(returned[0], Tensor) else None

    first = output()
    adapter.reset = ""
    again = output()
    if first is None or (again is not None and torch.equal(first, again)):
        return None
    adapter.reset = name
    return Understood("state", f"{name}() is called before each call, which is answered otherwise without it", "fitted")


def _built(adapter: Adapter, name: str, given: tuple[int, int]) -> nn.Module:
    try:
        module = adapter.build(*given)
    except SubjectError:
        raise
    except Exception as error:
        raise failed_build(name, adapter, given, error) from error
    if not isinstance(module, nn.Module):
        raise SubjectError(f"{name} builds a {type(module).__name__}; must build an nn.Module")
    return randomised(module, name)


def _spec(target: Any, request: Request) -> str:
    """Return the spec that names the class of a subject; empty where it is no class that a spec names."""
    if not inspect.isclass(target) or not request.is_unnamed:
        return ""
    return f"{request.spec}:{target.__name__}" if request.spec.endswith(".py") else request.spec


def _require_a_call(adapter: Adapter, module: nn.Module, request: Request, target: Any) -> str:
    try:
        return require_a_call(adapter, module, request, target)
    except Question:
        if isinstance(adapter, ModuleAdapter) and adapter.signature.asks:
            raise Question(adapter.signature.asks) from None
        ask_about_one_vector(adapter, module)
        raise
