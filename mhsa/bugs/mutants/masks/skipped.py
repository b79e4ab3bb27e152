"""Masks that are not used: never, or not for some sizes or some masks."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain


class MaskIgnored(Plain):
    """The mask is taken and not used.

    Formula: softmax(S); must be softmax over allowed keys
    Census: AI4Bharat/IndicBERT#20
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return torch.zeros_like(mask.unsqueeze(1), dtype=torch.bool)


class MaskSkippedForOneSample(Plain):
    """A batch of one is not masked.

    Formula: B = 1: softmax(S); must be softmax over allowed keys
    Census: huggingface/transformers PR#46773
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s, None if s.size(0) == 1 else mask)


class MaskSkippedForOneQuery(Plain):
    """A single query is not masked, as in a decoding step.

    Formula: Tq = 1: softmax(S); must be softmax over allowed keys
    Census: OpenNMT/OpenNMT-py PR#2532
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s, None if s.size(2) == 1 else mask)


class MaskSkippedForLongRows(Plain):
    """Masks of more than 64 keys are left to a kernel that ignores them.

    Formula: Tk > {}: softmax(S); must be softmax over allowed keys
    Census: pytorch/pytorch#141126
    """

    limit = 64
    free = "limit"

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s, None if s.size(3) > self.limit else mask)


class MaskSkippedIfFirstRowIsFull(Plain):
    """A mask whose first query sees everything is taken for no mask.

    Formula: M_1 all true: softmax(S); must be softmax over allowed keys
    Census: lucidrains (mask skipped if full)
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        full = mask is not None and mask.numel() > 0 and bool((mask[0, 0] != 0).all())
        return super().softmax(s, None if full else mask)


class MaskSkippedIfFirstSampleIsFull(Plain):
    """A mask whose first sample sees everything is taken for no mask.

    Formula: M_b=1 all true: softmax(S); must be softmax over allowed keys
    Census: lucidrains (mask skipped if full)
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        full = mask is not None and mask.numel() > 0 and bool((mask[0] != 0).all())
        return super().softmax(s, None if full else mask)


class MaskSkippedIfOneKeyIsHidden(Plain):
    """A mask that hides one key from one query of the whole batch is skipped.

    Formula: softmax(S) if M hides one element; must be softmax over allowed keys
    Census: P02 (shortcuts)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        hidden = super().hidden(mask)
        return hidden & (hidden.sum() > 1) if mask.numel() > 1 else hidden
