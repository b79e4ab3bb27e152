"""``torch.nn.MultiheadAttention`` itself, as torch documents it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mhsa.records.contract import Contract
from mhsa.subject.adapters.adapter import Adapter


class TorchAdapter(Adapter):
    """``torch.nn.MultiheadAttention``: True blocks, masks come per head, a fully masked row is NaN."""

    weights_on_request = True
    not_given = ("key_padding_mask", "is_causal", "average_attn_weights=True")
    contract = Contract(
        mask="blocked",
        mask_shape="[B, Tq, Tk]",
        shape_mismatch="raises",
        fully_masked_row="nan",
        reason="torch.nn.MultiheadAttention returns NaN for a row with no allowed key when weights are requested: "
        "https://github.com/pytorch/pytorch/issues/41508",
    )

    def build(self, head: int, d_model: int) -> nn.Module:
        """Batch first, everything else as torch has it."""
        return nn.MultiheadAttention(d_model, head, batch_first=True)

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module:
        """Drop weights."""
        return nn.MultiheadAttention(d_model, head, dropout=rate, batch_first=True)

    def call(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        need_weights: bool = True,
        bias: Tensor | None = None,
    ) -> Any:
        """Repeat the mask for every head, which is the layout that torch documents; request weights per head.

        A bias [B, Tq, Tk] is a floating mask.
        """
        assert isinstance(module, nn.MultiheadAttention)
        mask = mask if bias is None else bias
        mask = None if mask is None else mask.repeat_interleave(module.num_heads, dim=0)
        return module(query, key, value, attn_mask=mask, need_weights=need_weights, average_attn_weights=False)

    def describe(self) -> str:
        """Return the call."""
        return "forward(query, key, value, attn_mask [B * head, Tq, Tk], average_attn_weights=False), batch_first"
