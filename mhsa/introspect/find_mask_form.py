"""Finding out by calling: only what is interface (which form a mask takes) or has no usual answer (an empty row).

What has a usual answer (which way a mask points, which axis the softmax takes) is never found out this way: that
would take a bug for a convention. The sizes are all different, so that nothing fits by coincidence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from mhsa.oracle.bounded import Array
from mhsa.records.contract import FUNCTION_LAYOUTS, LENGTH_SHAPES, Contract, FullyMaskedRow, Layout, MaskShape
from mhsa.subject import check
from mhsa.subject.adapter import Adapter, FunctionAdapter, ModuleAdapter
from mhsa.subject.answer import Answer
from mhsa.subject.caller import Caller, heads_of
from mhsa.subject.generic_inputs import first_sizes, generic_case, generic_tensors
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

# "The same function or another one?": half the digits of float64, far above rounding, far below any real difference.
_SAME = 2.0**-26
# Of masks, where nothing is known of their meaning. One that is the same for every sample is not among them: a mask without a
# batch axis fits into a slip of axes, too, and everything that is equal on both sides says nothing of that.
_USUAL_SHAPES: tuple[MaskShape, ...] = ("[B, Tq, Tk]", "[B, 1, Tq, Tk]", "[B, Tk]", "[B, 1, 1, Tk]")
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
        return find_mask_form(caller, module, *given) if adapter.takes_mask else caller


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


def forms_of_mask(caller: Caller) -> list[Caller]:
    """Return the call with each form of a mask, the usual one first."""
    declared = caller.contract.mask_shape
    shapes = LENGTH_SHAPES if caller.contract.mask == "lengths" else _USUAL_SHAPES
    shapes = shapes if declared is None else (declared,)
    return [
        replace(caller, contract=replace(caller.contract, mask_shape=shape), float_masks=floating)
        for floating in ((False,) if caller.contract.mask == "additive" else (False, True))
        for shape in shapes
    ]


def find_mask_form(caller: Caller, module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Caller:
    """Return ``caller`` with the shape of the masks that the module takes, and whether they must be floating.

    A form is understood if a mask that says the same everywhere, everything allowed or everything blocked, gives
    what no mask gives: so the finding does not depend on which of the two True means. Where none is understood
    the documented form, bool [B, Tq, Tk], is used, and the properties will show what is wrong with it.
    """
    if isinstance(caller.adapter, FunctionAdapter):  # the reference around it takes every shape
        return replace(caller, contract=replace(caller.contract, mask_shape=caller.adapter.form.shape))
    forms = forms_of_mask(caller)
    sizes = first_sizes(caller.adapter)
    head = heads_of(module, caller.adapter.sizes or (sizes.head, sizes.d_model))
    everything = torch.ones(query.size(0), query.size(1), key.size(1), dtype=torch.bool)
    last_key = everything.clone()
    # A causal module hides the last key by itself.
    last_key[..., 0 if caller.contract.formula.positional else -1] = False
    try:
        plain = caller(module, query, key, value, None)[0]
    except Exception:  # the properties will raise it again and report it
        return forms[0]
    for form in forms:
        outputs = []
        for mask in (everything, ~everything, last_key):
            with contextlib.suppress(Exception):
                output = form(module, query, key, value, form.convert(mask, query.dtype, head))[0]
                outputs.append(isinstance(output, Tensor) and output.shape == plain.shape and _same(output, plain))
        if len(outputs) == 3 and any(outputs[:2]) and not outputs[2]:  # the last: the mask is not just ignored
            return form
    return forms[0]


def _same(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= _SAME * b.abs().max())


def call_with_mask(
    subject: Subject, mask: str, dtype: str = "float64", watch: AbstractContextManager[Any] | None = None
) -> Answer | None:
    """Return the answer to one generic case with this kind of mask; None where the call raises."""
    case = generic_case(subject, mask, dtype=dtype)
    try:
        trial = Trial(subject, case)
        with watch or contextlib.nullcontext():
            return trial()
    except (check.Violation, check.Inapplicable):  # the properties will raise it again and report it
        return None


def find_fully_masked_row(subject: Subject) -> FullyMaskedRow | None:
    """Return what a query without any allowed key gets, or None where that is not even finite, or no such call can be made.

    The call is made in float64, which distinguishes most, and in every dtype to be judged; where the answers differ, as for
    masks that are added and absorb the scores in one format only, nothing but being finite is promised.
    """
    if subject.contract.fully_masked_row is not None or "fully_masked_row" not in subject.masks:
        return subject.contract.fully_masked_row
    found = {_fully_masked_row(subject, dtype) for dtype in ("float64", *subject.dtypes)}
    return found.pop() if len(found) == 1 else None if None in found else "finite"


def _fully_masked_row(subject: Subject, dtype: str) -> FullyMaskedRow | None:
    rows: Array = np.empty(0)
    kinds: tuple[FullyMaskedRow, ...] = ("zeros", "uniform")
    for kind in kinds:
        contract = replace(subject.contract, fully_masked_row=kind)
        answer = call_with_mask(replace(subject, contract=contract), "fully_masked_row", dtype)
        if answer is None or answer.mask is None:
            return None
        empty = ~answer.mask.any(axis=-1)
        if inside(answer.output[empty], answer.expected.output.value[empty], answer.expected.output.error[empty]):
            return kind
        rows = answer.output[empty]
    if not np.isfinite(rows).all():
        return None
    return "finite" if rows.any() else "zero-output"


def find_float64(subject: Subject) -> Contract:
    """Say in the contract whether float64 data is computed in float32 inside, as modules with ``.float()`` do.

    An error of float32's size is not evidence: an epsilon or a rounded constant looks like that. Some tensor of a coarser
    format must take part in the call, or a constant that the module keeps, which was made in torch's default format.
    """
    if subject.contract.float64_in is not None:
        return subject.contract
    watch = _Watch()
    answer = call_with_mask(subject, "none", watch=watch)
    if answer is None or not (watch.coarse or _keeps_constants(subject)):
        return replace(subject.contract, float64_in="float64")
    single = replace(subject.contract, float64_in="float32")
    coarse = call_with_mask(replace(subject, contract=single), "none")
    sharp = answer.expected.output
    needed = not inside(answer.output, sharp.value, sharp.error)
    if needed and coarse is not None and inside(coarse.output, coarse.expected.output.value, coarse.expected.output.error):
        return single
    return replace(subject.contract, float64_in="float64")


def _keeps_constants(subject: Subject) -> bool:
    """Whether its modules have a buffer or a frozen scalar: they were rounded before the module was turned to float64."""
    sizes = first_sizes(subject.adapter)
    module = subject.adapter.build(sizes.head, sizes.d_model)
    frozen = (p for p in module.parameters() if not p.requires_grad and p.numel() == 1)
    return any(x.is_floating_point() and x.dtype != torch.float64 for x in (*module.buffers(), *frozen))


class _Watch(TorchFunctionMode):
    """Notes whether any torch function takes or gives a floating tensor that is coarser than float64."""

    coarse = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        leaves = tree_leaves((args, kwargs, result))
        self.coarse |= any(isinstance(x, Tensor) and x.is_floating_point() and x.dtype != torch.float64 for x in leaves)
        return result


def inside(observed: Array, value: Array, error: Array) -> bool:
    """Whether every number is within its bound."""
    return bool((np.abs(observed - value) <= error).all())
