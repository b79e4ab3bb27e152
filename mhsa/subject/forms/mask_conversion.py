"""The form in which an implementation takes a mask: what it means, its shape, its numbers; masks turned into it and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mhsa.records.conventions.values import MaskMeaning, MaskShape

# Shapes of masks that hide the same keys from every query of a sample.
ALIKE_FOR_QUERIES: tuple[MaskShape, ...] = ("[B, Tk]", "[B, 1, Tk]", "[B, 1, 1, Tk]", "[B, Tk, 1]", "[B]")


@dataclass(frozen=True)
class MaskForm:
    """One form. ``None`` stands for allowed and for [B, Tq, Tk].

    Attributes:
        meaning, shape: as in :class:`mhsa.Contract`.
        floating: 0 and 1 are floating, or lengths are.
        finite: what an additive mask hides is the least finite number instead of -inf.
    """

    meaning: MaskMeaning | None = None
    shape: MaskShape | None = None
    floating: bool = False
    finite: bool = False

    def convert(self, mask: Tensor, dtype: torch.dtype, head: int = 1) -> Tensor:
        """Turn a canonical mask, bool [B, Tq, Tk] that is True where attention is allowed, into this form.

        Args:
            mask: one that the form can say, see :meth:`can_express`.
            dtype: of the data, and of floating masks.
            head: number of heads, for the shapes that have an axis for them.
        """
        if not mask.size(1) and self.shape in ALIKE_FOR_QUERIES:  # no row says which keys are allowed: all are
            mask = mask.new_ones(mask.size(0), 1, mask.size(2))
        if self.meaning == "lengths":
            lengths = mask.sum(-1)
            lengths = lengths if self.shape == "[B, Tq]" else lengths[:, 0]
            return lengths.to(dtype) if self.floating else lengths
        mask = self._shaped(mask, head)
        if self.meaning == "additive":
            hidden = torch.finfo(dtype).min if self.finite else -torch.inf
            return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, hidden)
        if self.meaning == "blocked":
            mask = ~mask
        return mask.to(dtype) if self.floating else mask

    def all_queries(self, batch: int, queries: int, like: Tensor) -> Tensor:
        """Return a mask [B, Tq] of the queries that allows them all, with the meaning and the numbers of this form."""
        everything = torch.ones(batch, queries, queries, dtype=torch.bool, device=like.device)
        return replace(self, shape="[B, Tk]").convert(everything, like.dtype)

    def of_other_stream(self, batch: int, queries: int, keys: int, like: Tensor, head: int) -> Tensor:
        """Return the mask of the other direction of co-attention, by which each key may attend to every query, in this form."""
        everything = torch.ones(batch, keys, queries, dtype=torch.bool, device=like.device)
        return self.convert(everything, like.dtype, head)

    def _shaped(self, mask: Tensor, head: int) -> Tensor:
        if self.shape == "[B, 1, Tq, Tk]":
            return mask.unsqueeze(1)
        if self.shape == "[B, H, Tq, Tk]":
            return mask.unsqueeze(1).repeat(1, head, 1, 1)
        if self.shape == "[B*H, Tq, Tk]":
            return mask.repeat_interleave(head, dim=0)
        if self.shape == "[Tq, Tk, B]":
            return mask.permute(1, 2, 0)
        if self.shape == "[Tq, Tk]":
            return mask[0]
        if self.shape == "[B, Tk]":
            return mask[:, 0]
        if self.shape == "[B, 1, Tk]":
            return mask[:, :1]
        if self.shape == "[B, Tk, 1]":
            return mask[:, 0].unsqueeze(-1)
        return mask[:, None, :1] if self.shape == "[B, 1, 1, Tk]" else mask

    def can_express(self, mask: Tensor) -> bool:
        """Whether a canonical mask can be said: not every form has a word for every query and every sample."""
        if not mask.size(0) or not mask.size(1):
            return True
        if self.shape in ALIKE_FOR_QUERIES and not bool((mask == mask[:, :1]).all()):
            return False
        if self.shape == "[Tq, Tk]" and not bool((mask == mask[:1]).all()):
            return False
        first = torch.arange(mask.size(-1), device=mask.device) < mask.sum(-1, keepdim=True)
        return self.meaning != "lengths" or bool((mask == first).all())

    def allowed(self, form: Tensor, keys: int, head: int) -> Tensor:
        """Turn a mask in this form into a bool one that is True where attention is allowed, with three axes or four.

        What has another shape than the form's keeps it.
        """
        if self.meaning == "lengths":
            return torch.arange(keys, device=form.device) < (form if form.dim() > 1 else form[:, None])[..., None]
        mask = form == 0 if self.meaning in ("additive", "blocked") else form != 0
        if self.shape == "[B, Tk]" and mask.dim() == 2:
            return mask[:, None]
        if self.shape == "[Tq, Tk, B]" and mask.dim() == 3:
            return mask.permute(2, 0, 1)
        if self.shape == "[B, Tk, 1]" and mask.dim() == 3:
            return mask.transpose(1, 2)
        if self.shape == "[B*H, Tq, Tk]" and mask.dim() == 3 and mask.size(0) % head == 0:
            return mask.reshape(-1, head, *mask.shape[1:])
        return mask
