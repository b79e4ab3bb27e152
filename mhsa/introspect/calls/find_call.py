"""How a module or function is called: where its output is, in which layout, with a mask where it needs one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.introspect.calls.find_mask_shape import find_mask_form, forms_of_mask
from mhsa.introspect.calls.find_query_mask import with_query_mask
from mhsa.records.contract import FUNCTION_LAYOUTS, Layout
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import first_sizes, generic_tensors

# What takes tokens in one of these layouts usually raises when called with [B, T, D]: a convolution looks for its channels,
# and where time comes first, queries and keys of different lengths look like different batches.
NOT_CALLED_AS_TOKENS: tuple[Layout, ...] = ("BCHW", "BDT", "TBD")


def find_call(adapter: Adapter, module: nn.Module, refused: Callable[[], None] = lambda: None) -> Caller:
    """Return the canonical call of ``module`` (float64, eval): where output and weights are, which form masks take.

    ``refused`` is called where the first, plainest call raises: it may raise itself, where every other call does so, too.
    """
    given = generic_tensors(adapter)
    caller = Caller(adapter, adapter.contract, fills_mask=adapter.needs_mask)
    with torch.no_grad():
        try:
            caller = caller.locate(module, *given)
        except Exception:  # the properties will raise it again and report it
            needing = _with_a_mask(caller, module, given) if _may_need_mask(adapter) else None
            needing = needing or _in_another_layout(caller, module, given)
            if needing is None:
                refused()
            caller = needing or caller
        if not adapter.takes_mask:
            return caller
        return find_mask_form(with_query_mask(caller, module, *given), module, *given)


def _in_another_layout(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call in the first layout that is taken where [B, T, D] is not; None where there is none."""
    if caller.contract.layout is not None:
        return None
    if isinstance(caller.adapter, FunctionAdapter):
        return _function_in_another_layout(caller, caller.adapter, given)
    if not isinstance(caller.adapter, ModuleAdapter):
        return None
    for layout in NOT_CALLED_AS_TOKENS:
        laid = replace(caller, contract=replace(caller.contract, layout=layout))
        with contextlib.suppress(Exception):
            found = laid.locate(module, *given)
            output = found.items(module, *given, None)[found.output_from]
            if isinstance(output, Tensor) and output.shape == given[0].shape:
                return found
        needing = _with_a_mask(laid, module, given) if _may_need_mask(caller.adapter) else None
        if needing is not None:
            return needing
    return None


def _function_in_another_layout(
    caller: Caller, adapter: FunctionAdapter, given: tuple[Tensor, Tensor, Tensor]
) -> Caller | None:
    for layout in FUNCTION_LAYOUTS[1:]:
        other = adapter.read_as(adapter.contract)
        other.callable_in = layout
        sizes = first_sizes(other)
        built = other.build(sizes.head, sizes.d_model).double().eval()
        with contextlib.suppress(Exception):
            return replace(caller, adapter=other).locate(built, *given)
    return None


def _may_need_mask(adapter: Adapter) -> bool:
    """Whether a call without a mask is not promised: it has no default, or one of None, which may be there for other masks."""
    if isinstance(adapter, FunctionAdapter):
        return adapter.mask_required
    return isinstance(adapter, ModuleAdapter) and adapter.signature.mask is not None and not adapter.signature.mask_omitted


def _with_a_mask(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call in the first form in which a mask that allows everything is taken, None where there is none."""
    for form in forms_of_mask(replace(caller, fills_mask=True)):
        with contextlib.suppress(Exception):
            found = form.locate(module, *given)
            return found if caller.mask_is_required or found.error_without_mask(module, *given) else None
    return None
