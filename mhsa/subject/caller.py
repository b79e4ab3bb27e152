"""One call of a subject's module: the mask in its own form, the output and the weights out of whatever it returns."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.oracle.formula.causal import visible
from mhsa.oracle.formula.fields import WITHOUT_MASK, causal_of
from mhsa.records.contract import Contract
from mhsa.records.conventions.values import FUNCTION_LAYOUTS
from mhsa.records.errors import one_line
from mhsa.records.names import HEAD, WEIGHTS_ATTRIBUTE, number
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.as_before import as_before
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import OfOneLength
from mhsa.subject.forms.bias_form import BiasForm
from mhsa.subject.forms.mask_conversion import MaskForm
from mhsa.subject.forms.token_layout import TokenLayout
from mhsa.subject.returned import in_usual_order, listed, lse_in_usual_order, softmax_of_scores

_OFF = 2.0**-5  # of a sum of weights, which may be kept in bfloat16; scores sum to anything


@dataclass(frozen=True)
class Caller:
    """The canonical call: query [B, Tq, D], key and value [B, Tk, D]; masks go through :meth:`convert` first.

    ``returns`` is how many values a call gives; ``weights_form`` names the axes of the weights among them, where they are not
    [B, H, Tq, Tk] (:mod:`mhsa.subject.returned`). With ``fills_mask`` a call without a mask is given one that allows
    everything: the subject cannot be called without. With ``shares_mask`` that one has the first axis of samples alone, where
    the layout has several. With ``finite_masks`` what an additive mask hides is the least finite
    number instead of -inf. ``lse_from`` is the place of the log-sum-exp, ``lse_form`` its axes. ``bias`` is added to the scores
    in this call, in the ``bias_form`` that the subject takes. One that ``tries`` leaves a module in which a call raises as it
    was before.
    """

    adapter: Adapter
    contract: Contract
    float_masks: bool = False
    output_from: int = 0
    weights_from: int | str | None = None
    fills_mask: bool = False
    shares_mask: bool = False
    weights_form: tuple[str, ...] = ()
    returns: int = 1
    finite_masks: bool = False
    lse_from: int | None = None
    lse_form: tuple[str, ...] = ()
    bias_form: BiasForm | None = None
    bias: Tensor | None = field(default=None, compare=False)
    tries: bool = field(default=False, compare=False)

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool = True
    ) -> tuple[Any, Any]:
        """Return (output, weights); what the module returned is passed on unjudged."""
        return self.with_lse(module, query, key, value, mask, need_weights)[:2]

    def with_lse(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool = True
    ) -> tuple[Any, Any, Any]:
        """Return (output, weights, log-sum-exp), the last as [B, H, Tq], or None where none is looked for."""
        items = self.items(module, query, key, value, mask, need_weights)
        output = items[self.output_from] if self.output_from < len(items) else None
        weights: Any = None
        if isinstance(self.weights_from, int) and self.weights_from < len(items):
            weights = items[self.weights_from]
            if self.weights_form:
                weights = in_usual_order(weights, self.weights_form, query.size(0))
        if isinstance(self.weights_from, str) and need_weights:
            weights = getattr(module, self.weights_from, None)
        if self.contract.weights == "scores":
            weights = softmax_of_scores(weights, self.contract.fully_masked_row)
        lse = items[self.lse_from] if self.lse_from is not None and self.lse_from < len(items) else None
        return output, weights, lse if lse is None else lse_in_usual_order(lse, self.lse_form, query.size(0))

    def items(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool = True
    ) -> list[Any]:
        """Return what the module returns, as a list: one tensor, or the members of a tuple, list, mapping or object."""
        items = self._as_returned(module, query, key, value, mask, need_weights)
        if self.output_from < len(items):
            items[self.output_from] = self.layout.take(items[self.output_from])
        return items

    @property
    def layout(self) -> TokenLayout:
        """How query, key and value are laid out for the adapter; one of a function is laid out in its slot."""
        laid = self.contract.layout
        return TokenLayout("BTD" if laid is None or laid in FUNCTION_LAYOUTS else laid)

    def _as_returned(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool = True
    ) -> list[Any]:
        masked = mask is not None
        if mask is None and self.fills_mask:
            masked = not self.shares_mask
            mask = self.convert(self.everything(query, key), query.dtype, heads_of(module, self.adapter.sizes))
        more: dict[str, Any] = {"need_weights": need_weights} if self.adapter.weights_on_request else {}
        if self.bias is not None:
            more["bias"] = self.bias
        if mask is not None and isinstance(self.adapter, ModuleAdapter) and self.adapter.query_mask:
            more["of_queries"] = self._of_queries(module, self.adapter, query, key)
        if isinstance(self.adapter, OfOneLength):
            more |= {"mask_shape": self.contract.mask_shape, "layout": self.layout.layout}
        query, key, value = self.layout.give(query, key, value, masked=masked)
        with as_before(module) if self.tries else contextlib.nullcontext():
            return listed(self.adapter.call(module, query, key, value, mask, **more))

    def everything(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the canonical mask that allows everything, given to a subject that needs one."""
        samples = self.layout.samples(query.size(0)) if self.shares_mask else query.size(0)
        return torch.ones(samples, query.size(1), key.size(1), dtype=torch.bool, device=query.device)

    def _of_queries(self, module: nn.Module, adapter: ModuleAdapter, query: Tensor, key: Tensor) -> Tensor:
        """Return the second mask, which allows everything: that of the queries, or of the other direction of co-attention."""
        if adapter.query_mask == adapter.signature.stream_mask:
            heads = heads_of(module, adapter.sizes)
            return self.form.of_other_stream(query.size(0), query.size(1), key.size(1), query, heads)
        every = self.form.all_queries(query.size(0), query.size(1), query)
        return every.unsqueeze(-1) if adapter.query_mask_axis else every

    def locate(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Caller:
        """Return a caller that knows where output and weights are, found by shape; sizes should all differ.

        The output is the first [B, Tq, d_model], the weights the first [B, H, Tq, Tk] among the other members, or else
        among the usual attributes. They are looked for once, so that a case whose sizes coincide confuses nothing.
        What the call raises is raised.
        """
        items = self._as_returned(module, query, key, value, None)
        laid = query.shape if self.layout.returns_tokens else self.layout.give(query, key, value)[0].shape
        fitting = [i for i, x in enumerate(items) if isinstance(x, Tensor) and x.shape == laid]
        output = fitting[0] if fitting else 0
        shape = (query.size(0), number(module, HEAD), query.size(1), key.size(1))
        found = [i for i, x in enumerate(items) if i != output and _is_weights(x, shape)]
        where: list[int | str] = [*sorted(found, key=lambda i: not _sums_to_one(items[i]))]  # scores may come before weights
        where += [name for name in WEIGHTS_ATTRIBUTE if _is_weights(getattr(module, name, None), shape)]
        return replace(self, output_from=output, weights_from=where[0] if where else None, returns=len(items))

    @property
    def mask_is_required(self) -> bool:
        """Whether the mask has no default."""
        return not isinstance(self.adapter, ModuleAdapter) or self.adapter.signature.mask_required

    def error_without_mask(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> str:
        """Return what every call without a mask raises, in one line, where the mask has a default; empty where one returns."""
        if self.mask_is_required or not self.fills_mask:
            return ""
        said = ""
        for length in (None, 4, 1):  # as given, then as many queries as keys
            q, k, v = (x if length is None else x[:, :1].repeat(1, length, 1) for x in (query, key, value))
            try:
                with torch.no_grad():
                    replace(self, fills_mask=False).items(module, q, k, v, None)
            except Exception as error:
                said = said or one_line(error)
            else:
                return ""
        return said

    @property
    def form(self) -> MaskForm:
        """The form of the masks that the implementation takes."""
        return MaskForm(self.contract.mask, self.contract.mask_shape, self.float_masks, self.finite_masks)

    def convert(self, mask: Tensor, dtype: torch.dtype, head: int = 1) -> Tensor:
        """Turn a canonical mask into the form that the implementation takes."""
        return self.form.convert(self._whole(mask), dtype, head)

    def can_express(self, mask: Tensor) -> bool:
        """Whether a canonical mask can be said in that form."""
        return self.form.can_express(self._whole(mask))

    def _whole(self, mask: Tensor) -> Tensor:
        """Return a canonical mask with what causality hides, too, where a mask that is given stands in for it."""
        causal = self.contract.causal
        if causal is None or not causal.endswith(WITHOUT_MASK):
            return mask
        return mask & torch.from_numpy(visible(causal_of(causal), mask.size(-2), mask.size(-1))).to(mask.device)


def heads_of(module: nn.Module, sizes: tuple[int, int] | None) -> int:
    """Return how many heads a module says that it has, itself or a part of it; 1 where nothing says it."""
    if sizes is not None:
        return sizes[0]
    return next((n for part in module.modules() if (n := number(part, HEAD)) is not None), 1)


def _sums_to_one(x: Tensor) -> bool:
    """Whether this may be weights by its numbers: none is negative, and over the keys they sum to one."""
    return bool((x >= 0).all()) and bool(((x.sum(-1) - 1).abs() <= _OFF).all())


def _is_weights(x: Any, expected: tuple[int, int | None, int, int]) -> bool:
    """Whether this is a tensor [B, H, Tq, Tk] (any H where the module does not say how many heads it has)."""
    if not isinstance(x, Tensor) or x.dim() != 4 or not x.is_floating_point():
        return False
    batch, head, tq, tk = expected
    return (x.size(0), x.size(2), x.size(3)) == (batch, tq, tk) and head in (None, x.size(1))
