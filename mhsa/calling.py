"""One call of a subject's module: the mask in its own form, the output and the weights out of whatever it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.adapter import Adapter
from mhsa.contract import Contract
from mhsa.names import WEIGHTS_ATTRIBUTE


@dataclass(frozen=True)
class Caller:
    """The canonical call: query [B, Tq, D], key and value [B, Tk, D], mask bool [B, Tq, Tk], True may attend."""

    adapter: Adapter
    contract: Contract
    float_masks: bool = False
    output_index: int = 0

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        need_weights: bool = True,
    ) -> tuple[Any, Tensor | None]:
        """Return (output, weights); what the module returned is passed on unjudged."""
        more = {"need_weights": need_weights} if self.adapter.weights_on_request else {}
        given = None if mask is None else self.convert(mask, query.dtype)
        result = self.adapter.call(module, query, key, value, given, **more)
        items = list(result) if isinstance(result, (tuple, list)) else [result]
        if self.output_index >= len(items):
            return None, None
        output = items.pop(self.output_index)
        expected = (query.size(0), self._heads(module), query.size(1), key.size(1))
        weights = next((x for x in items if _is_weights(x, expected)), None)
        if weights is None and need_weights:
            kept = (getattr(module, name, None) for name in WEIGHTS_ATTRIBUTE)
            weights = next((x for x in kept if _is_weights(x, expected)), None)
        return output, weights

    def convert(self, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """Turn a canonical mask into the form that the contract names."""
        if self.contract.mask_shape == "[B, 1, Tq, Tk]":
            mask = mask.unsqueeze(1)
        elif self.contract.mask_shape == "[B, Tk]":  # such masks are the same for every query
            mask = mask[:, 0]
        if self.contract.mask == "additive":
            return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)
        if self.contract.mask == "blocked":
            mask = ~mask
        return mask.to(dtype) if self.float_masks else mask

    @staticmethod
    def _heads(module: nn.Module) -> int | None:
        from mhsa.names import HEAD

        return next((v for n, v in vars(module).items() if n.lower() in HEAD and isinstance(v, int)), None)


def _is_weights(x: Any, expected: tuple[int, int | None, int, int]) -> bool:
    """Whether this is a tensor [B, H, Tq, Tk] (any H where the module does not say how many heads it has)."""
    if not isinstance(x, Tensor) or x.dim() != 4 or not x.is_floating_point():
        return False
    batch, head, tq, tk = expected
    return (x.size(0), x.size(2), x.size(3)) == (batch, tq, tk) and head in (None, x.size(1))
