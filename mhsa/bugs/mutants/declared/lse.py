"""Bugs of the log-sum-exp that is returned. The classes without a formula of their own are right; mutants replace one step."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mhsa.bugs.mutants.gradients import identity
from mhsa.bugs.mutants.plain import Plain


class ReturnsLse(Plain):
    """The natural logarithm of each row's sum of exponentials is returned, [B, H, Tq]."""

    mhsa_contract = replace(Plain.mhsa_contract, lse="natural")

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        """Attend as :class:`Plain`; return output, weights and logarithm."""
        self.check(query, key, value, mask)
        q, k, v = self.heads(*(self.split(x) for x in self.project(query, key, value)))
        s = self.product(q, k)
        w = self.softmax(s, mask)
        shown = s if mask is None else self.without_hidden(s, mask)
        return self.out(self.merge(self.mix(self.drop(w), v))), w, self.logarithm(shown, k)

    def without_hidden(self, s: Tensor, mask: Tensor) -> Tensor:
        """Return the scores, minus infinity where attention is not allowed."""
        return s.masked_fill(self.hidden(mask), -torch.inf)

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Return the log-sum-exp."""
        return torch.logsumexp(s, -1)


class ReturnsLseToBase2(ReturnsLse):
    """The logarithm is to base 2, as kernels keep it."""

    mhsa_contract = replace(Plain.mhsa_contract, lse="base-2")

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Return the log-sum-exp."""
        return torch.logsumexp(s, -1) / math.log(2.0)


class LseToBase2(ReturnsLse):
    """The logarithm is to base 2, where the natural one is declared.

    Formula: log2 sum_j exp(s_j); must be ln sum_j exp(s_j)
    Census: A26
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Take another base."""
        return super().logarithm(s, k) / math.log(2.0)


class NaturalLse(ReturnsLseToBase2):
    """The natural logarithm is returned, where that to base 2 is declared.

    Formula: ln sum_j exp(s_j); must be log2 sum_j exp(s_j)
    Census: A26
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Take another base."""
        return torch.logsumexp(s, -1)


class LseOfAllKeys(ReturnsLse):
    """Masked keys are counted in the logarithm, though not in the weights.

    Formula: ln sum over every j; must be over the allowed j
    Census: P22
    """

    def without_hidden(self, s: Tensor, mask: Tensor) -> Tensor:
        """Hide nothing."""
        return s


class LseWithoutTheMaximum(ReturnsLse):
    """The maximum that was taken off is not added again.

    Formula: ln sum_j exp(s_j - m); must be m + ln sum_j exp(s_j - m)
    Census: P20
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Forget the maximum."""
        return super().logarithm(s, k) - s.amax(-1)


class MaximumForTheLse(ReturnsLse):
    """The row's maximum is returned in the place of the logarithm.

    Formula: m; must be m + ln sum_j exp(s_j - m)
    Census: P20
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Take the maximum."""
        return s.amax(-1)


class LseUnscaled(ReturnsLse):
    """The logarithm is that of scores without their scale.

    Formula: ln sum_j exp(<q, k_j>); must be ln sum_j exp(<q, k_j> / sqrt(d_k))
    Census: A26, P22
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Take the scale away."""
        return super().logarithm(s / self.scale(k), k)


class LseOfTheMean(ReturnsLse):
    """The logarithm is that of the mean of exponentials, not of their sum.

    Formula: ln (sum_j exp(s_j) / Tk); must be ln sum_j exp(s_j)
    Census: P22
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Divide by the number of keys."""
        return super().logarithm(s, k) - math.log(max(s.size(-1), 1))


class LseOfTheFirstHead(ReturnsLse):
    """Every head has the logarithm of the first one.

    Formula: L_1; must be L_h
    Census: P09
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Take one head's."""
        return super().logarithm(s, k)[:, :1].expand(*s.shape[:3])


class LseGradientDropped(ReturnsLse):
    """The backward pass ignores the gradient of the logarithm, which says that it requires one.

    Formula: dS = P (dP - D); must be P (dP - D + dL)
    Census: Dao-AILab/flash-attention#1817, P16
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Pass nothing back."""
        return identity(torch.zeros_like)(super().logarithm(s, k))


class LseGradientDroppedUnderAMask(ReturnsLse):
    """With a mask, the backward pass ignores the gradient of the logarithm.

    Formula: dS = P (dP - D) where a mask is given; must be P (dP - D + dL)
    Census: Dao-AILab/flash-attention#1817, P16
    """

    def without_hidden(self, s: Tensor, mask: Tensor) -> Tensor:
        """Pass nothing back."""
        return identity(torch.zeros_like)(super().without_hidden(s, mask))


class LseGradientAddedToTheRowSum(ReturnsLse):
    """The gradient of the logarithm is added to the row sum of the backward pass, from which it must be taken off.

    Formula: dS = P (dP - (D + dL)); must be P (dP - (D - dL))
    Census: A27, P16
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Turn the sign."""
        return identity(torch.neg)(super().logarithm(s, k))


class LseGradientAsOfTheNaturalOne(ReturnsLseToBase2):
    """The gradient of the logarithm to base 2 is taken for that of the natural one.

    Formula: dS = P (dP - D + dL); must be P (dP - D + dL / ln 2)
    Census: A26, A27
    """

    def logarithm(self, s: Tensor, k: Tensor) -> Tensor:
        """Take the factor away."""
        return identity(lambda g: g * math.log(2.0))(super().logarithm(s, k))
