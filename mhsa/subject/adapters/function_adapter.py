"""A function on [B, H, T, d], judged inside the reference."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.contract import Contract
from mhsa.records.conventions.values import Layout
from mhsa.records.names import MASK
from mhsa.records.understood import Understood
from mhsa.reference.core_slot import slot_rest
from mhsa.reference.multi_head import MultiHeadAttention
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_slot import FunctionSlot
from mhsa.subject.adapters.given_options import GivenOptions, WithOptions, lending, options_given
from mhsa.subject.construction.argument_roles import DROPOUT_RATE
from mhsa.subject.forms.arranged_function import ArrangedFunction, Places, keeping
from mhsa.subject.forms.bias_form import WithBias, biased
from mhsa.subject.forms.heads_function import HeadsFunction, usual_form
from mhsa.subject.forms.key_heads import key_heads
from mhsa.subject.forms.mask_conversion import MaskForm
from mhsa.subject.forms.merged_heads import MergedHeads
from mhsa.subject.projection_views import Projections
from mhsa.subject.signature import bias_among, masks_among

_WIDTH = 8  # features of a head for which options are shown


class FunctionAdapter(Adapter):
    """A function on [B, H, T, d], judged inside the reference's one slot."""

    def __init__(self, function: Callable[..., Any], name: str, *, takes_mask: bool, takes_dropout: bool) -> None:
        self.function, self.name = function, name
        self.computes_with_numpy = getattr(function, "computes_with_numpy", False)  # and has no gradients
        self.weights_switch = ""  # the parameter that has it return its weights, which is on in every call
        self.said: tuple[Understood, ...] = ()  # of the call, beyond what is declared
        self.left_out: tuple[str, ...] = ()  # parameters that no call is given, because it would raise
        self.contract = Contract(shape_mismatch="raises")  # the reference looks at what it is given
        self.declared: Contract | None = None  # by the module whose forward the function is
        self.takes_mask = takes_mask
        self.takes_dropout = takes_dropout
        self.values: Places | None = None  # of Z, A and a log-sum-exp among what it returns, where not (Z, A)
        self.float_masks = self.finite_masks = False
        self.query_mask = ""  # the parameter for a mask of the queries, which is needed next to a mask
        self.more_of_values = 0  # features that values have in addition to those of queries and keys
        self.callable_in: Layout | None = None  # the layout that it can be called in, where it is not the usual one
        self.merges = False  # it returns [B, Tq, H * d]

    @property
    def contract(self) -> Contract:
        """What the function is judged by: options that state a declared feature are given, and no others."""
        return self._contract

    @contract.setter
    def contract(self, contract: Contract) -> None:
        self._contract = contract
        given, wider = self.options(_WIDTH), self.options(2 * _WIDTH)
        kept = [n for n, value in given.values.items() if value is False or value is None]  # it may be given something else
        left = [n for n in slot_rest(self.function) if n != self.mask_name]
        off = (f"{self.weights_switch} that is off",) if self.weights_switch else ()
        self.not_given = (*self.left_out, *off, *(n for n in left if n not in given.names or n in kept))
        width = "" if given == wider else f" (for heads of {_WIDTH} features)"
        what = "given what is usual" if given.usual else "given what is declared"
        words = [Understood("call", f"{what}{width}: {given.words}", "named")] if given.names else []
        if contract.kv_heads is not None:
            words.append(Understood("call", "keys and values are given with fewer heads than queries", "declared"))
        self.understood = (*self.said, *words)

    def options(self, d_k: int) -> GivenOptions:
        """Return what the function is given beyond heads, mask and dropout, for heads of ``d_k`` features."""
        given = options_given(self.function, self.contract, d_k)
        return replace(given, values={**given.values, self.weights_switch: True}) if self.weights_switch else given

    def with_options(self, head: int, d_k: int) -> Callable[..., Any]:
        """Return the function, given its options in every call."""
        options = self.options(d_k)
        function = WithOptions(self.function, options, head, self.contract) if options.names else self.function
        return WithBias(function, self.bias_name, required=True) if self.bias_required and self._has_bias else function

    @property
    def bias_required(self) -> bool:
        """Whether the function's parameter for a bias has no default."""
        if not self.bias_name:
            return False
        return inspect.signature(self.function).parameters[self.bias_name].default is inspect.Parameter.empty

    @property
    def _has_bias(self) -> bool:
        """Whether there is a bias, and the function has a parameter for it."""
        return bool(self.bias_name) and self.contract.bias == "given"

    @property
    def layout(self) -> Layout:
        """The axes of the heads that the function takes."""
        return self.contract.layout or self.callable_in or "BHTD"

    @property
    def bias_name(self) -> str:
        """Name of the function's parameter for a bias of the scores; empty where it has none."""
        try:
            parameters = inspect.signature(self.function).parameters
        except (TypeError, ValueError):
            return ""
        return bias_among(parameters, masks_among(parameters)) or ""

    @property
    def mask_name(self) -> str:
        """Name of the function's parameter for the mask; empty where it has no readable one."""
        try:
            masks = masks_among(inspect.signature(self.function).parameters)
        except (TypeError, ValueError):
            return ""
        return masks[0] if masks else ""

    @property
    def mask_required(self) -> bool:
        """Whether the function's parameter for the mask has no default."""
        if not self.mask_name:
            return False
        return inspect.signature(self.function).parameters[self.mask_name].default is inspect.Parameter.empty

    @property
    def form(self) -> MaskForm:
        """The form in which the function takes its mask."""
        shape = self.contract.mask_shape or ("[B]" if self.contract.mask == "lengths" else "[B, 1, Tq, Tk]")
        return MaskForm(self.contract.mask, shape, self.float_masks, self.finite_masks)

    def read_as(self, contract: Contract, *, float_masks: bool = False, finite_masks: bool = False) -> FunctionAdapter:
        """Return this adapter for a function that takes heads and masks as the contract says."""
        other = copy.copy(self)
        other.contract, other.float_masks, other.finite_masks = contract, float_masks, finite_masks
        return other

    def returning_weights(self, switch: str) -> FunctionAdapter:
        """Return this adapter for a function that returns its weights where a parameter is on."""
        other = copy.copy(self)
        other.weights_switch = switch
        other.contract = self.contract
        return other

    def of_one_length(self) -> FunctionAdapter:
        """Return this adapter for a function that takes as many queries as keys, and is judged with no others."""
        other = copy.copy(self)
        other.square = True
        return other

    def merging(self, layout: Layout) -> FunctionAdapter:
        """Return this adapter for a function that takes heads in this layout and returns them merged."""
        other = copy.copy(self)
        other.callable_in, other.merges = layout, True
        other.said = (*self.said, Understood("output", "heads are returned merged, [B, Tq, H * d]", "fitted"))
        other.contract = self.contract
        return other

    def build(self, head: int, d_model: int) -> nn.Module:
        """Plug the function into the reference module."""
        return self._built(head, d_model, DROPOUT_RATE if self.takes_dropout else 0.0)

    def _built(self, head: int, d_model: int, rate: float) -> nn.Module:
        d_k = d_model // head
        attention, kv_heads = self._in_slot(head, d_k), key_heads(self.contract.kv_heads, head, d_k) or head
        d_v, sinks = d_k + self.more_of_values, bool(self.options(d_k).sinks)
        built: MultiHeadAttention
        if (kv_heads, d_v, sinks) == (head, d_k, False):
            built = MultiHeadAttention(head, d_model, rate, attention=attention)
        else:
            built = FunctionSlot(head, d_model, rate, attention, kv_heads, d_v, learned_sinks=sinks)
        vars(built)["computes_with_numpy"] = self.computes_with_numpy
        return built

    def _passed_on(self, mask: Tensor) -> bool:
        """Whether the slot hands this mask on as it is, so that the function may write into it."""
        return mask.is_floating_point() and mask.dim() == 4 and self.form.meaning == "additive"

    def attend(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        """Call the function itself with heads [B, H, T, d] and a mask in the function's own form."""
        assert isinstance(module, MultiHeadAttention)
        if mask is not None and not usual_form(self.form) and not self._passed_on(mask):
            mask = self.form.allowed(mask, key.size(2), module.head)
            mask = mask.unsqueeze(1) if mask.dim() == 3 else mask
        if mask is None and self.mask_required:  # it may not be callable without
            mask = torch.ones(query.size(0), 1, query.size(2), key.size(2), dtype=torch.bool, device=query.device)
        with lending(module._parameters.get("sinks")):
            z, weights = module._attend(query, key, value, module.dropout, mask)
        return z, weights() if callable(weights) else weights

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Give the function its dropout, if it takes one."""
        return self._built(head, d_model, rate) if self.takes_dropout or not rate else None

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None = None
    ) -> Any:
        """Call the reference, whose masks are bool; ``HeadsFunction`` turns them back.

        A bias goes to the function's argument for it, or to that of its mask. A log-sum-exp that the function returns is
        returned next to the output.
        """
        with keeping() as kept, lending(module._parameters.get("sinks")):
            output = self._called(module, query, key, value, mask, bias)
        return (output, kept[-1]) if kept else output

    def _called(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> Any:
        if bias is not None and not self.bias_name:
            return self._biased(module, query, key, value, bias)
        with biased(bias):
            return self._of_reference(module, query, key, value, mask)

    def _biased(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Any:
        """Call the function with a bias as its mask: the reference around it knows of bool masks alone."""
        assert isinstance(module, MultiHeadAttention)
        z, module._weights = module._attend(*module._heads(query, key, value), module.dropout, bias)
        return module.linear_out(z.transpose(1, 2).flatten(2))

    def _of_reference(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        if mask is not None and not usual_form(self.form):
            assert isinstance(module, MultiHeadAttention)
            mask = self.form.allowed(mask, key.size(1), module.head)
        return module(query, key, value, mask)

    def _in_slot(self, head: int, d_k: int) -> Callable[..., Any]:
        function = self.with_options(head, d_k)
        function = MergedHeads(function, self.layout) if self.merges else function
        function = function if self.values is None else ArrangedFunction(function, self.values)
        if self._has_bias and not self.bias_required:
            function = WithBias(function, self.bias_name, required=False)
        layout = self.layout
        usual = layout == "BHTD" and usual_form(self.form)
        if usual and not self.query_mask and (not self.takes_mask or self.mask_name.lower() in MASK or not self.mask_name):
            return function
        return HeadsFunction(function, layout, self.form, self.mask_name, self.query_mask)

    def projections(self, module: nn.Module) -> Projections:
        """Return the reference's own."""
        linears = (module.linear_query, module.linear_key, module.linear_value, module.linear_out)
        return Projections.of_linears(*linears, module._parameters.get("sinks"))

    def describe(self) -> str:
        """Return the call."""
        return "function on [B, H, T, d] inside mhsa.MultiHeadAttention(head, d_model, attention=...)"
