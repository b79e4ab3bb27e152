"""What the numbers of a mask mean: polarity, dtype, memory, and what is no mask at all."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Four, Plain, contiguous


class PolarityInverted(Plain):
    """What the mask allows is hidden, and what it hides is allowed.

    Formula: softmax over j with M_ij false; must be over j with M_ij true
    Census: P22 (polarity)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return mask.unsqueeze(1) != 0


class MaskAddedAsNumber(Plain):
    """The mask itself is added to the scores.

    Formula: softmax(S + M); must be softmax over allowed keys
    Census: P22
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s + mask.unsqueeze(1), dim=-1)


class MaskMultipliesScores(Plain):
    """The scores are multiplied by the mask.

    Formula: softmax(S M); must be softmax over allowed keys
    Census: P22
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s * mask.unsqueeze(1), dim=-1)


class ZeroKeysTakenForPadding(Plain):
    """Keys of zeros are taken for padding.

    Formula: softmax over keys that are not 0; must be softmax over allowed keys
    Census: P02 (Kyubyong/transformer)
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        zero = (key.abs().sum(-1) == 0).unsqueeze(1)
        if not zero.any():
            return query, key, value, mask
        shown = ~zero.expand(-1, query.size(1), -1)
        return query, key, value, shown if mask is None else shown & (mask != 0)


class BitsInverted(Plain):
    """An integer mask is inverted bit by bit, so that 1 becomes -2, which is true.

    Formula: hidden = ~M as integers; must be M = 0
    Census: P22 (mask dtype)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return (mask == 0 if mask.is_floating_point() else (~mask).bool()).unsqueeze(1)


class FloatMaskMultiplied(Plain):
    """A floating mask multiplies the scores.

    Formula: softmax(S M) for a floating M; must be what the bools mean, or S + M
    Census: pytorch/pytorch#107084
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None or not mask.is_floating_point():
            return super().softmax(s, mask)
        return torch.softmax(s * mask.unsqueeze(1), dim=-1)


class MaskTakenForContiguous(Plain):
    """The mask's memory is read as if it lay in one piece.

    Formula: memory[i Tk + j]; must be memory[i stride_0 + j stride_1]
    Census: huggingface/diffusers#14114
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return super().hidden(contiguous(mask))


class FloatingMaskReadInAnotherDtype(Plain):
    """The memory of a floating mask is read as if it were of the data's dtype.

    Formula: the bytes of M taken for another format; must be its numbers
    Census: pytorch/pytorch#191612
    """

    def hidden(self, mask: Tensor) -> Tensor:
        dtype = self.w_q.weight.dtype
        if mask.is_floating_point() and mask.dtype != dtype:
            raw = mask.contiguous().flatten().view(torch.uint8)
            whole = raw.repeat(8)[: mask.numel() * dtype.itemsize]
            mask = whole.view(dtype).view(mask.shape)
        return super().hidden(mask)
