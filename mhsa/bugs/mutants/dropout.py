"""Dropout: when, of what, how much, and how it is made good."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mhsa.bugs.mutants.plain import Plain


class DropsInEval(Plain):
    """Dropout goes on in eval mode.

    Formula: dropout(A) always; must be A in eval
    Census: huggingface/pytorch-image-models PR#1978, karpathy/nanoGPT PR#240
    """

    def drop(self, w: Tensor) -> Tensor:
        return F.dropout(w, self.rate, training=True)


class DropoutNotMadeGood(Plain):
    """What is kept is not scaled up.

    Formula: A keep; must be A keep / (1 - p)
    Census: P25
    """

    def drop(self, w: Tensor) -> Tensor:
        return w * (torch.rand_like(w) >= self.rate) if self.training else w


class DropoutScaledByRate(Plain):
    """What is kept is divided by the rate of dropping.

    Formula: A keep / p; must be A keep / (1 - p)
    Census: NVIDIA/apex PR#816
    """

    def drop(self, w: Tensor) -> Tensor:
        return w * (torch.rand_like(w) >= self.rate) / max(self.rate, 1e-3) if self.training and self.rate else w


class DropsHalfAsMuch(Plain):
    """Half of the rate is used.

    Formula: dropout(A, p / 2); must be dropout(A, p)
    Census: P25
    """

    def drop(self, w: Tensor) -> Tensor:
        return F.dropout(w, self.rate / 2, self.training)


class ValueBiasNotDropped(Plain):
    """The bias of the values is added behind the mixing, where dropped weights do not sum to one.

    Formula: dropout(A, p) (V - b) + b in training; must be dropout(A, p) V
    Census: P25
    """

    def drop(self, w: Tensor) -> Tensor:
        self.whole = w.sum(-1, keepdim=True)
        return super().drop(w)

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        if not (self.training and self.rate):
            return super().mix(w, v)
        bias = self.w_v.bias.view(self.head, 1, self.d_k)
        return super().mix(w, v - bias) + self.whole * bias


class NothingOfNothing(Plain):
    """At a rate of one, what is left is divided by its share, 0.

    Formula: 0 / (1 - p) = NaN if p = 1; must be 0
    Census: P25
    """

    def drop(self, w: Tensor) -> Tensor:
        return w * (torch.rand_like(w) >= self.rate) / (1.0 - torch.tensor(self.rate)).to(w.dtype) if self.training else w


class OneHeadDropsNothing(Plain):
    """One head takes a way of its own, on which nothing is dropped.

    Formula: A if H = 1; must be dropout(A, p)
    Census: P25 (shortcuts)
    """

    def drop(self, w: Tensor) -> Tensor:
        return w if self.head == 1 else super().drop(w)


class KeepsWhatItShouldDrop(Plain):
    """The rate is taken for the share that is kept.

    Formula: dropout(A, 1 - p); must be dropout(A, p)
    Census: P25
    """

    def drop(self, w: Tensor) -> Tensor:
        return F.dropout(w, 1.0 - self.rate if self.rate else 0.0, self.training)


class NeverDrops(Plain):
    """The rate is kept and never used.

    Formula: A in training; must be dropout(A, p)
    Census: NVIDIA/Megatron-LM PR#411
    """

    def drop(self, w: Tensor) -> Tensor:
        return w


class DropsTheSameInAllHeads(Plain):
    """One pattern serves all heads.

    Formula: keep_bij; must be keep_bhij
    Census: P25
    """

    def drop(self, w: Tensor) -> Tensor:
        return w * F.dropout(torch.ones_like(w[:, :1]), self.rate, self.training)


class DropsTheSameInAllSamples(Plain):
    """One pattern serves the whole batch.

    Formula: keep_hij; must be keep_bhij
    Census: P25
    """

    def drop(self, w: Tensor) -> Tensor:
        return w * F.dropout(torch.ones_like(w[:1]), self.rate, self.training)


class DropsWholeKeys(Plain):
    """A key is dropped for all queries at once.

    Formula: keep_bhj; must be keep_bhij
    Census: P25
    """

    def drop(self, w: Tensor) -> Tensor:
        return w * F.dropout(torch.ones_like(w[..., :1, :]), self.rate, self.training)


class DropsScores(Plain):
    """Scores are set to zero before the softmax.

    Formula: softmax(dropout(S)); must be dropout(softmax(S))
    Census: P25
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return F.dropout(s, self.rate, self.training)

    def drop(self, w: Tensor) -> Tensor:
        return w


class NormalisedAfterDropout(Plain):
    """Rows are brought back to one after dropping.

    Formula: keep A / sum keep A; must be keep A / (1 - p)
    Census: P25
    """

    def drop(self, w: Tensor) -> Tensor:
        dropped = super().drop(w)
        return dropped / dropped.sum(-1, keepdim=True).clamp(min=1e-9) if self.training and self.rate else dropped


class _ScaledByRateInBackward(torch.autograd.Function):
    """Dropout whose backward pass multiplies by the rate."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, kept: Tensor, rate: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.rate = rate
        return w * kept / (1.0 - rate)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return g * kept * ctx.rate, None, None


class BackwardScaledByRate(Plain):
    """The backward pass of dropout multiplies by the rate.

    Formula: dA = keep p dW; must be keep dW / (1 - p)
    Census: NVIDIA/apex PR#816
    """

    def drop(self, w: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return w
        dropped: Tensor = _ScaledByRateInBackward.apply(w, (torch.rand_like(w) >= self.rate).to(w.dtype), self.rate)
        return dropped


class BackwardDropsAnew(Plain):
    """The backward pass draws a pattern of its own.

    Formula: dV = dropout'(A)^T dZ; must be dropout(A)^T dZ
    Census: P25, P16
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if v.requires_grad and self.training and self.rate:
            v.register_hook(lambda g: F.dropout(g, self.rate))
        return q, k, v


class DropoutGoneAfterEval(Plain):
    """eval() sets the rate to zero for ever.

    Formula: p = 0 after eval; must be p again after train
    Census: NVIDIA/Megatron-LM PR#411
    """

    def train(self, mode: bool = True) -> DropoutGoneAfterEval:
        if not mode:
            self.rate = 0.0
        return super().train(mode)


class WeightsShownFromAnotherDraw(Plain):
    """The weights that are returned are dropped anew.

    Formula: D' P returned where D P was used; must be D P or P
    Census: A36
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return self.drop(w)


class RateKeptForCallsWithoutGradients(Plain):
    """Without gradients the rate of the constructor counts, whatever it was changed to.

    Formula: dropout(A, p at construction) under no_grad; must be dropout(A, p)
    Census: P18 (a rate that is latched)
    """

    def prepare(self) -> None:
        self._first = self.rate

    def drop(self, w: Tensor) -> Tensor:
        return F.dropout(w, self.rate if torch.is_grad_enabled() else self._first, self.training)


class DropsTheSameInEachTile(Plain):
    """The random numbers of the first 256 queries are those of the next ones, too.

    Formula: dropped(i) = dropped(i mod {}); must be drawn for each query
    Census: P25 (a seed without the number of the tile)
    """

    tile = 256
    free = "tile"

    def drop(self, w: Tensor) -> Tensor:
        if not self.training or w.size(-2) <= self.tile:
            return F.dropout(w, self.rate, self.training)
        kept = F.dropout(torch.ones_like(w[..., : self.tile, :]), self.rate)
        return w * kept.repeat(1, 1, -(-w.size(-2) // self.tile), 1)[..., : w.size(-2), :]
