"""Bugs in the order of a soft cap, a bias and the mask. The classes without a formula of their own are right."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mhsa.bugs.mutants.declared.given_bias import Biased

CAP = 5.0


def capped(s: Tensor) -> Tensor:
    """Return capped scores."""
    return CAP * torch.tanh(s / CAP)


class CappedThenBiased(Biased):
    """A bias is added to capped scores."""

    mhsa_contract = replace(Biased.mhsa_contract, softcap=CAP)

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Cap, then add."""
        return super().with_bias(capped(s), bias, mask)


class BiasedThenCapped(Biased):
    """The cap takes scores and bias together."""

    mhsa_contract = replace(Biased.mhsa_contract, softcap=CAP, softcap_order="after-bias")

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Add, then cap."""
        return capped(super().with_bias(s, bias, mask))


class BiasAddedAfterTheCap(BiasedThenCapped):
    """The bias is added to capped scores, where the cap has to take both.

    Formula: 5 tanh(s / 5) + b; must be 5 tanh((s + b) / 5)
    Census: P22
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Cap, then add."""
        return Biased.with_bias(self, capped(s), bias, mask)


class BiasCappedWithTheScores(CappedThenBiased):
    """The cap takes scores and bias together, where the bias has to be added to capped scores.

    Formula: 5 tanh((s + b) / 5); must be 5 tanh(s / 5) + b
    Census: onnx/onnx#7865
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Add, then cap."""
        return capped(Biased.with_bias(self, s, bias, mask))


class CapOfEachApart(BiasedThenCapped):
    """Scores and bias are capped one by one.

    Formula: 5 tanh(s / 5) + 5 tanh(b / 5); must be 5 tanh((s + b) / 5)
    Census: P22
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Cap each."""
        return Biased.with_bias(self, capped(s), None if bias is None else capped(bias), mask)


class SumCappedAfterTheMask(BiasedThenCapped):
    """Scores and bias are capped after the mask, so that a masked key has minus the cap for a score.

    Formula: 5 tanh(-inf / 5) = -5 where masked; must be minus infinity
    Census: onnx/onnx#7865
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Leave the cap for later."""
        return Biased.with_bias(self, s, bias, mask)

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Mask, then cap."""
        return self.normalise(capped(s if mask is None else s.masked_fill(self.hidden(mask), torch.finfo(s.dtype).min)))


class BiasCutOffByTheCap(BiasedThenCapped):
    """The sum is clamped to the cap, so that bias and scores beyond it receive no gradient.

    Formula: min(max(s + b, -5), 5); must be 5 tanh((s + b) / 5)
    Census: P22
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Clamp."""
        return Biased.with_bias(self, s, bias, mask).clamp(-CAP, CAP)
