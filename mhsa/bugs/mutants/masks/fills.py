"""How masked scores are filled, and what a mask does to the others."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain


class Filled(Plain):
    """Base of mutants that fill masked scores with a number and leave the rest to the softmax."""

    number = -1e9

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s.masked_fill(self.hidden(mask), self.number), dim=-1)


class FillOfMinusFive(Filled):
    """Masked scores are set to a number that is not small enough.

    Formula: S_ij = {} where masked; must be minus infinity
    Census: microsoft/onnxruntime#14363
    """

    number = -5.0
    free = "number"


class FillOfMinusTenThousand(Filled):
    """Masked scores are set to a number that only huge scores come near.

    Formula: S_ij = -10000 where masked; must be minus infinity
    Census: microsoft/onnxruntime#14363
    """

    number = -10000.0


class FillOfZero(Filled):
    """Masked scores are set to zero.

    Formula: S_ij = 0 where masked; must be minus infinity
    Census: P03
    """

    number = 0.0


class FillOfSmallestPositive(Filled):
    """Masked scores are set to the smallest positive number, which looks like a small one.

    Formula: S_ij = finfo.tiny where masked; must be minus infinity
    Census: P03
    """

    number = 2.2e-308


class FillAddedOfTen(Plain):
    """Ten is taken off masked scores.

    Formula: S_ij - {} where masked; must be minus infinity
    Census: microsoft/onnxruntime#14363
    """

    amount = 10.0
    free = "amount"

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s - self.amount * self.hidden(mask), dim=-1)


class MaskChangesScale(Plain):
    """With a mask the scores are a hundredth larger.

    Formula: softmax(1.01 S) with a mask; must be softmax(S)
    Census: P02
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s if mask is None else s * 1.01, mask)


class FillBeforeScale(Plain):
    """Masked scores are filled with -20 before the scale makes them small.

    Formula: S_ij = {} / sqrt(d_k) where masked; must be minus infinity
    Census: P03 (unscaled fill)
    """

    number = -20.0
    free = "number"

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s if mask is None else s.masked_fill(self.hidden(mask), self.number * self.scale(s)), dim=-1)
