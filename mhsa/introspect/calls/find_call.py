"""How a module or function is called: where its output is, in which layout, with a mask where it needs one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.introspect.calls.call_returns import giving_tokens
from mhsa.introspect.calls.find_mask_shape import find_mask_form, forms_of_mask
from mhsa.introspect.calls.find_query_mask import with_each_other_mask, with_query_mask
from mhsa.introspect.calls.other_queries import (
    keys_of_each_query,
    may_need_mask,
    one_sample,
    queries_of_no_sample,
    query_by_query,
    query_by_query_with_a_mask,
)
from mhsa.records.conventions.values import FUNCTION_LAYOUTS, Layout
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.learned_queries import learned_queries
from mhsa.subject.adapters.left_out_arguments import without_dropout
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.one_head import each_head_alone
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import first_sizes, generic_tensors

# What takes tokens in one of these layouts usually raises when called with [B, T, D]: a convolution looks for its channels,
# and where time comes first, queries and keys of different lengths look like different batches.
NOT_CALLED_AS_TOKENS: tuple[Layout, ...] = (
    "BCHW", "BDT", "TBD", "BNTD", "BTND", "BCDHW", "BDHWC", "BCHW,BTD", "BTD,BCHW", "BDT>BTD",
)  # fmt: skip


def find_call(adapter: Adapter, module: nn.Module, refused: Callable[[], None] = lambda: None) -> Caller:
    """Return the canonical call of ``module`` (float64, eval): where output and weights are, which form masks take.

    ``refused`` is called where the first, plainest call raises: it may raise itself, where every other call does so, too.
    """
    caller = Caller(adapter, adapter.contract, fills_mask=adapter.needs_mask, tries=True)
    return replace(_found(caller, module, refused), tries=False)


def _found(caller: Caller, module: nn.Module, refused: Callable[[], None]) -> Caller:
    adapter = caller.adapter
    given = generic_tensors(adapter)
    with torch.no_grad():
        try:
            caller = caller.locate(module, *given)
        except Exception:  # the properties will raise it again and report it
            needing = _with_a_mask(caller, module, given) if may_need_mask(adapter) else None
            needing = needing or _in_another_layout(caller, module, given) or query_by_query(caller, module, given)
            needing = needing or _without_weights(caller, module, given)
            needing = needing or _with_two_masks(caller, module, given) or _without_dropout(caller, given)
            needing = (
                needing or query_by_query_with_a_mask(caller, module, given) or queries_of_no_sample(caller, module, given)
            )
            needing = needing or keys_of_each_query(caller, module, given) or one_sample(caller, module, given)
            if needing is None:
                refused()
            caller = needing or caller
        else:
            caller = _with_more_axes(caller, module, given) or caller
        adapter = caller.adapter
        if not adapter.takes_mask:
            return caller
        given = generic_tensors(adapter)  # one of other inputs may have been found
        return find_mask_form(with_query_mask(caller, module, *given), module, *given)


def _with_more_axes(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call with samples in two axes, or one query for each, where tokens give no output of their shape."""
    declared = caller.contract.layout
    if not isinstance(caller.adapter, ModuleAdapter) or declared not in (None, "BTD"):
        return None
    output = caller.items(module, *given, None)[caller.output_from]
    learned = learned_queries(caller.adapter, module, output)
    if learned is not None and _is_as_long(caller, module, given, output):
        return giving_tokens(replace(caller, adapter=learned), module, generic_tensors(learned))
    if isinstance(output, Tensor) and output.shape == given[0].shape:
        return None
    laid = replace(caller, contract=replace(caller.contract, layout="BNTD"))
    in_two_axes = giving_tokens(laid, module, given) if declared is None else None
    return in_two_axes or query_by_query(caller, module, given, rows=(False,))


def _is_as_long(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor], output: Tensor) -> bool:
    """Whether the output keeps its shape where one token less is given."""
    shorter = given[0][:, :-1]
    with contextlib.suppress(Exception):
        other = caller.items(module, shorter, shorter, shorter, None)[caller.output_from]
        return isinstance(other, Tensor) and other.shape == output.shape
    return False


def _in_another_layout(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call in the first layout that is taken where [B, T, D] is not; None where there is none."""
    if isinstance(caller.adapter, FunctionAdapter) and caller.contract.layout in (None, "BHTD"):
        found = None if caller.contract.layout else _function_in_another_layout(caller, caller.adapter, given)
        return found or _of_each_head(caller, each_head_alone(caller.adapter), given)
    if caller.contract.layout is not None:
        return None
    if not isinstance(caller.adapter, ModuleAdapter):
        return None
    for layout in _layouts_of(caller.adapter):
        laid = replace(caller, contract=replace(caller.contract, layout=layout))
        if (found := giving_tokens(laid, module, given)) is not None:
            return found
        needing = _with_a_mask(laid, module, given) if may_need_mask(caller.adapter) else None
        if needing is not None:
            return needing
    return _with_equal_lengths(caller, module, given)


def _layouts_of(adapter: Adapter) -> list[Layout]:
    """Return the layouts to try; those in which keys lie in another way where there are keys."""
    return [layout for layout in NOT_CALLED_AS_TOKENS if adapter.inputs != "x" or "," not in layout]


def _with_equal_lengths(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call in the first other layout that takes as many queries as keys; others raise, and are asked about.

    [B, T, D] with equal lengths looks like time first, and is taken by its names.
    """
    query, key, value = given
    same = query, key[:, : query.size(1)], value[:, : query.size(1)]
    if caller.adapter.inputs == "x" or giving_tokens(caller, module, same) is not None:
        return None
    for layout in (each for each in NOT_CALLED_AS_TOKENS if each != "TBD" and "," not in each):
        laid = replace(caller, contract=replace(caller.contract, layout=layout))
        if (found := giving_tokens(laid, module, same)) is not None:
            return found
    return None


# Of what a function takes, where what it returns is [B, Tq, H * d], or has its tokens last as they have.
_MERGED: tuple[Layout, ...] = ("BHTD", "BTHD", "BHDT", "BDHT")


def _function_with_a_mask(
    caller: Caller, adapter: FunctionAdapter, given: tuple[Tensor, Tensor, Tensor]
) -> Caller | None:  # fmt: skip
    """Return the call of a function in the first layout and form of its mask in which one that allows everything is taken."""
    declared = caller.contract.layout
    layouts = FUNCTION_LAYOUTS if declared is None else (declared,)
    for layout, merges in [*((each, False) for each in layouts), *((each, True) for each in layouts if each in _MERGED)]:
        for form in forms_of_mask(replace(caller, fills_mask=True)):
            other = adapter.read_as(form.contract, float_masks=form.float_masks)
            other = other.merging(layout) if merges else other
            other.callable_in = layout
            sizes = first_sizes(other)
            with contextlib.suppress(Exception):
                built = other.build(sizes.head, sizes.d_model).double().eval()
                return replace(form, adapter=other).locate(built, *given)
    return None


def _function_in_another_layout(
    caller: Caller, adapter: FunctionAdapter, given: tuple[Tensor, Tensor, Tensor]
) -> Caller | None:
    others = []
    for layout in FUNCTION_LAYOUTS[1:]:
        other = adapter.read_as(adapter.contract)
        other.callable_in = layout
        others.append(other)
    for other in (*others, *(adapter.merging(layout) for layout in _MERGED)):
        sizes = first_sizes(other)
        built = other.build(sizes.head, sizes.d_model).double().eval()
        with contextlib.suppress(Exception):
            return replace(caller, adapter=other).locate(built, *given)
    return None


def _of_each_head(caller: Caller, adapter: FunctionAdapter, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call of a function with one head of one sample at a time; None where it is not taken so."""
    sizes = first_sizes(adapter)
    with contextlib.suppress(Exception):
        return replace(caller, adapter=adapter).locate(adapter.build(sizes.head, sizes.d_model).double().eval(), *given)
    return _function_with_a_mask(caller, adapter, given) if adapter.mask_required else None


def _with_two_masks(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call with a mask of the queries next to that of the keys, where only then one returns."""
    each = (_with_a_mask(other, module, given) for other in with_each_other_mask(caller))
    return next((found for found in each if found is not None), None)


def _without_dropout(caller: Caller, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call of a function with its dropout left out, where only then one returns."""
    adapter = caller.adapter
    other = without_dropout(adapter) if isinstance(adapter, FunctionAdapter) else None
    if other is None:
        return None
    caller, sizes = replace(caller, adapter=other), first_sizes(other)
    with contextlib.suppress(Exception):
        return caller.locate(other.build(sizes.head, sizes.d_model).double().eval(), *given)
    with_a_mask = _function_with_a_mask(caller, other, given) if other.mask_required else None
    return with_a_mask or _function_in_another_layout(caller, other, given)


def _without_weights(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call in which no weights are asked for, where only then one returns."""
    adapter = caller.adapter
    if type(adapter) is not ModuleAdapter or adapter.signature.want_weights is None:
        return None
    name = adapter.signature.want_weights
    signature = replace(adapter.signature, want_weights=None, not_given=(*adapter.signature.not_given, name))
    other = adapter.with_signature(signature)
    said = Understood("output", f"no weights are asked for: calls with {name} raise", "fitted")
    other.understood = (*adapter.understood, said)
    with contextlib.suppress(Exception):
        return replace(caller, adapter=other).locate(module, *given)
    return None


def _filling(caller: Caller) -> Iterator[Caller]:
    """Yield the forms of a mask that allows everything; where samples have several axes, those that they share first."""
    forms = forms_of_mask(replace(caller, fills_mask=True))
    if caller.layout.count("b") > 1:
        yield from (replace(form, shares_mask=True) for form in forms)
    yield from forms


def _is_co_attention(adapter: Adapter) -> bool:
    """Whether a call needs the masks of two streams that attend to each other."""
    return isinstance(adapter, ModuleAdapter) and bool(adapter.signature.stream_mask)


def _with_a_mask(caller: Caller, module: nn.Module, given: tuple[Tensor, Tensor, Tensor]) -> Caller | None:
    """Return the call in the first form in which a mask that allows everything is taken, None where there is none."""
    if isinstance(caller.adapter, FunctionAdapter):
        return _function_with_a_mask(caller, caller.adapter, given)
    for form in _filling(caller):
        with contextlib.suppress(Exception):
            if form.shares_mask:  # of the generic batch the first axis has one sample: too few to see what is shared
                form.locate(module, *(x.repeat(3, 1, 1) for x in given))
            found = form.locate(module, *given)
            if _is_co_attention(caller.adapter) and giving_tokens(form, module, given) is None:
                continue  # the two masks of co-attention fit together in other shapes, too
            return found if caller.mask_is_required or found.error_without_mask(module, *given) else None
    return None
