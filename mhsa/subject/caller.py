"""One call of a subject's module: the mask in its own form, the output and the weights out of whatever it returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.contract import Contract
from mhsa.records.names import HEAD, WEIGHTS_ATTRIBUTE, number
from mhsa.subject.adapter import Adapter
from mhsa.subject.returned import in_usual_order, listed


@dataclass(frozen=True)
class Caller:
    """The canonical call: query [B, Tq, D], key and value [B, Tk, D]; masks go through :meth:`convert` first.

    ``returns`` is how many values a call gives; ``weights_form`` names the axes of the weights among them, where they are not
    [B, H, Tq, Tk] (:mod:`mhsa.subject.returned`). With ``fills_mask`` a call without a mask is given one that allows
    everything: the subject cannot be called without.
    """

    adapter: Adapter
    contract: Contract
    float_masks: bool = False
    output_from: int = 0
    weights_from: int | str | None = None
    fills_mask: bool = False
    weights_form: tuple[str, ...] = ()
    returns: int = 1

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool = True
    ) -> tuple[Any, Any]:
        """Return (output, weights); what the module returned is passed on unjudged."""
        items = self.items(module, query, key, value, mask, need_weights)
        output = items[self.output_from] if self.output_from < len(items) else None
        weights: Any = None
        if isinstance(self.weights_from, int) and self.weights_from < len(items):
            weights = items[self.weights_from]
            if self.weights_form:
                weights = in_usual_order(weights, self.weights_form, query.size(0))
        if isinstance(self.weights_from, str) and need_weights:
            weights = getattr(module, self.weights_from, None)
        return output, weights

    def items(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool = True
    ) -> list[Any]:
        """Return what the module returns, as a list: one tensor, or the members of a tuple, list, mapping or object."""
        if mask is None and self.fills_mask:
            everything = torch.ones(query.size(0), query.size(1), key.size(1), dtype=torch.bool, device=query.device)
            mask = self.convert(everything, query.dtype)
        more = {"need_weights": need_weights} if self.adapter.weights_on_request else {}
        return listed(self.adapter.call(module, query, key, value, mask, **more))

    def locate(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Caller:
        """Return a caller that knows where output and weights are, found by shape; sizes should all differ.

        The output is the first [B, Tq, d_model], the weights the first [B, H, Tq, Tk] among the other members, or else
        among the usual attributes. They are looked for once, so that a case whose sizes coincide confuses nothing.
        What the call raises is raised.
        """
        items = self.items(module, query, key, value, None)
        fitting = [i for i, x in enumerate(items) if isinstance(x, Tensor) and x.shape == query.shape]
        output = fitting[0] if fitting else 0
        shape = (query.size(0), number(module, HEAD), query.size(1), key.size(1))
        where: list[int | str] = [i for i, x in enumerate(items) if i != output and _is_weights(x, shape)]
        where += [name for name in WEIGHTS_ATTRIBUTE if _is_weights(getattr(module, name, None), shape)]
        return replace(self, output_from=output, weights_from=where[0] if where else None, returns=len(items))

    def convert(self, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """Turn a canonical mask, bool [B, Tq, Tk] that is True where attention is allowed, into the contract's form."""
        if self.contract.mask_shape == "[B, 1, Tq, Tk]":
            mask = mask.unsqueeze(1)
        elif self.contract.mask_shape == "[B, Tk]":  # such masks are the same for every query
            mask = mask[:, 0]
        if self.contract.mask == "additive":
            return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)
        if self.contract.mask == "blocked":
            mask = ~mask
        return mask.to(dtype) if self.float_masks else mask


def _is_weights(x: Any, expected: tuple[int, int | None, int, int]) -> bool:
    """Whether this is a tensor [B, H, Tq, Tk] (any H where the module does not say how many heads it has)."""
    if not isinstance(x, Tensor) or x.dim() != 4 or not x.is_floating_point():
        return False
    batch, head, tq, tk = expected
    return (x.size(0), x.size(2), x.size(3)) == (batch, tq, tk) and head in (None, x.size(1))
