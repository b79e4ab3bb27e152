"""The scale of the scores, and scores that are anything but a scaled product."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mhsa.bugs.mutants.plain import Plain


class ScaledByModelWidth(Plain):
    """The scores are divided by the root of the model's width instead of the head's.

    Formula: softmax(Q K^T / sqrt(d_model)); must be softmax(Q K^T / sqrt(d_k))
    Census: lucidrains/vit-pytorch#65
    """

    def scale(self, k: Tensor) -> float:
        return 1.0 / math.sqrt(self.d_model)


class NotScaled(Plain):
    """The scores are not scaled at all.

    Formula: softmax(Q K^T); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    def scale(self, k: Tensor) -> float:
        return 1.0


class ScaledTwice(Plain):
    """The scale is applied to the query and once more to the scores.

    Formula: softmax(Q K^T / d_k); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    def scale(self, k: Tensor) -> float:
        return 1.0 / self.d_k


class ScaledByHeads(Plain):
    """The scale is taken from the number of heads.

    Formula: softmax(Q K^T / sqrt(H)); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    def scale(self, k: Tensor) -> float:
        return 1.0 / math.sqrt(self.head)


class ScaledByLength(Plain):
    """The scale is taken from the wrong axis of the keys.

    Formula: softmax(Q K^T / sqrt(Tk)); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    def scale(self, k: Tensor) -> float:
        return 1.0 / math.sqrt(max(k.size(-2), 1))


class ScaleMultiplied(Plain):
    """The scores are multiplied by the root instead of divided.

    Formula: softmax(Q K^T sqrt(d_k)); must be softmax(Q K^T / sqrt(d_k))
    Census: perceiver (scale inverted), P01
    """

    def scale(self, k: Tensor) -> float:
        return math.sqrt(self.d_k)


class ScaledByQueryLength(Plain):
    """The scale is taken from the number of queries.

    Formula: softmax(Q K^T / sqrt(Tq)); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return (q / math.sqrt(max(q.size(-2), 1))) @ k.transpose(-2, -1)


class ScaleOfQueriesAlone(Plain):
    """The scale is split between queries and keys, and the keys do not get theirs.

    Formula: softmax(Q K^T / d_k^(1/4)); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    def scale(self, k: Tensor) -> float:
        return float(self.d_k**-0.25)


class ScaleIsFixed(Plain):
    """The scale of another head width is left in.

    Formula: softmax({} Q K^T); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    factor = 0.125
    free = "factor"

    def scale(self, k: Tensor) -> float:
        return self.factor


class RootRoundedDown(Plain):
    """The root is rounded to a whole number.

    Formula: softmax(Q K^T / floor(sqrt(d_k))); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    def scale(self, k: Tensor) -> float:
        return 1.0 / math.isqrt(self.d_k)


class RootOfOneMore(Plain):
    """The scores are divided by the root of one feature more.

    Formula: softmax(Q K^T / sqrt(d_k + 1)); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    def scale(self, k: Tensor) -> float:
        return 1.0 / math.sqrt(self.d_k + 1)


class ScaleAfterSoftmax(Plain):
    """The weights are scaled instead of the scores.

    Formula: softmax(Q K^T) / sqrt(d_k); must be softmax(Q K^T / sqrt(d_k))
    Census: P01
    """

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return q @ k.transpose(-2, -1)

    def weights(self, w: Tensor, mask: Tensor | None) -> Tensor:
        return w / math.sqrt(self.d_k)


class OneHeadUnscaled(Plain):
    """A short cut for one head forgets the scale.

    Formula: H = 1: softmax(Q K^T); must be softmax(Q K^T / sqrt(d_k))
    Census: P09
    """

    def scale(self, k: Tensor) -> float:
        return 1.0 if self.head == 1 else super().scale(k)


class ScaleRounded(Plain):
    """The scale is cut to three digits.

    Formula: round(1 / sqrt(d_k), 3); must be 1 / sqrt(d_k)
    Census: P01
    """

    def scale(self, k: Tensor) -> float:
        return round(super().scale(k), 3)


class ScaleGrowsWithLength(Plain):
    """The scores grow with the logarithm of the number of keys.

    Formula: softmax(ln(1 + Tk) Q K^T / sqrt(d_k)); must be softmax(Q K^T / sqrt(d_k))
    Census: A15
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return s * math.log(1 + k.size(-2))


class ScoresClamped(Plain):
    """The scores are clamped to keep the exponential small.

    Formula: softmax(clamp(S, -c, c)), c = {}; must be softmax(S)
    Census: A7
    """

    limit = 5.0
    free = "limit"

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return s.clamp(-self.limit, self.limit)


class SoftCapLeftIn(Plain):
    """A soft cap of another model's configuration is left in.

    Formula: softmax(c tanh(S / c)), c = {}; must be softmax(S)
    Census: A7
    """

    cap = 30.0
    free = "cap"

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return self.cap * torch.tanh(s / self.cap)


class DistanceBiasLeftIn(Plain):
    """A linear bias by distance is left in.

    Formula: softmax(S - {} |i - j|); must be softmax(S)
    Census: P24
    """

    slope = 0.1
    free = "slope"

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        i, j = (torch.arange(n, dtype=s.dtype, device=s.device) for n in s.shape[-2:])
        return s - self.slope * (i[:, None] - j).abs()


class PositionInScores(Plain):
    """Later keys score a little higher.

    Formula: softmax(S + j / 100); must be softmax(S)
    Census: A1
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return s + 0.01 * torch.arange(s.size(-1), dtype=s.dtype, device=s.device)


class CausalByDefault(Plain):
    """Queries see no later key although the call is not causal.

    Formula: softmax over j <= i; must be over all j
    Census: huggingface/transformers#48172, #36150
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return s.masked_fill(~torch.ones_like(s, dtype=torch.bool).tril(), torch.finfo(s.dtype).min)


class OwnPositionHidden(Plain):
    """With as many queries as keys, a token does not see itself.

    Formula: softmax over j != i; must be over all j
    Census: P02
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        if s.size(-1) != s.size(-2) or s.size(-1) < 2:
            return s
        return s.masked_fill(torch.eye(s.size(-1), dtype=torch.bool, device=s.device), torch.finfo(s.dtype).min)


class QueriesNormalised(Plain):
    """Queries are brought to length one before the product.

    Formula: softmax(Q / |Q| K^T / sqrt(d_k)); must be softmax(Q K^T / sqrt(d_k))
    Census: A9
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return F.normalize(q, dim=-1), k, v


class LastFeatureIgnored(Plain):
    """The product leaves out the last feature of each head.

    Formula: sum over d_k - 1 features; must be over d_k
    Census: P21 (tails of tiled kernels)
    """

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return super().product(q[..., :-1], k[..., :-1]) if q.size(-1) > 1 else super().product(q, k)


class FeaturesBeyond64Ignored(Plain):
    """A kernel for 64 features per head leaves out what is beyond them.

    Formula: sum over min(d_k, {}) features; must be over d_k
    Census: P21
    """

    limit = 64
    free = "limit"

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return super().product(q[..., : self.limit], k[..., : self.limit])
