"""Gradients: right in the forward pass, wrong on the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain, contiguous

Heads = tuple[Tensor, Tensor, Tensor]


def on_gradient(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Return x, whose gradient will be changed."""
    if x.requires_grad:
        x = x.view_as(x)
        x.register_hook(change)
    return x


def identity(
    backward: Callable[[Tensor], Tensor], forward: Callable[[Tensor], Tensor] = lambda t: t
) -> Callable[[Tensor], Tensor]:
    """Return the identity with these derivatives in reverse and forward mode."""

    class Identity(torch.autograd.Function):
        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return backward(g)

        @staticmethod
        def jvp(ctx: Any, t: Tensor) -> Tensor:
            return forward(t)

    apply: Callable[[Tensor], Tensor] = Identity.apply
    return apply


class SoftmaxWithoutRowSum(torch.autograd.Function):
    """Softmax whose backward pass is p dp instead of p (dp - sum p dp)."""

    @staticmethod
    def forward(ctx: Any, s: Tensor) -> Tensor:
        """Return softmax(s)."""
        p = torch.softmax(s, dim=-1)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx: Any, dp: Tensor) -> Tensor:
        """Return p dp."""
        (p,) = ctx.saved_tensors
        found: Tensor = p * dp
        return found


class ScaleTwiceInBackward(Plain):
    """The gradient of the queries is scaled twice.

    Formula: dQ = dS K / d_k; must be dS K / sqrt(d_k)
    Census: fla-org/flash-linear-attention PR#6, P16
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        return on_gradient(q, lambda g: g * self.scale(k) if self.d_k > 1 else g * 0.5), k, v


class RowSumForgotten(Plain):
    """The softmax's backward pass forgets the row sum.

    Formula: dS = P dP; must be P (dP - rowsum(P dP))
    Census: P16 (hand-written backward)
    """

    def normalise(self, s: Tensor) -> Tensor:
        w: Tensor = SoftmaxWithoutRowSum.apply(s)
        return w


class QueryDetached(Plain):
    """The queries receive no gradient.

    Formula: dQ = 0; must be dS K / sqrt(d_k)
    Census: P16
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        return q.detach(), k, v


class KeyDetached(Plain):
    """The keys receive no gradient.

    Formula: dK = 0; must be dS^T Q / sqrt(d_k)
    Census: P16
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        return q, k.detach(), v


class WeightsDetached(Plain):
    """The weights are cut off, so that only values learn.

    Formula: dS = 0; must be P (dP - rowsum(P dP))
    Census: P16
    """

    def drop(self, w: Tensor) -> Tensor:
        return super().drop(w).detach()


class LongRowsDetached(Plain):
    """Beyond 64 keys the weights are cut off.

    Formula: Tk > 64: dS = 0; must be P (dP - rowsum(P dP))
    Census: size threshold, P16
    """

    def drop(self, w: Tensor) -> Tensor:
        return super().drop(w.detach() if w.size(-1) > 64 else w)


class ValueGradientDoubled(Plain):
    """The gradient of the values is twice too large.

    Formula: dV = 2 P^T dZ; must be P^T dZ
    Census: P16
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        return q, k, on_gradient(v, lambda g: 2 * g)


class QueryGradientFlipped(Plain):
    """The gradient of the queries has its features in the opposite order.

    Formula: dQ with features d_k ... 1; must be 1 ... d_k
    Census: P16
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        return on_gradient(q, lambda g: g.flip(-1)), k, v


class KeyGradientShifted(Plain):
    """One is added to the gradient of the keys.

    Formula: dK + 1; must be dK
    Census: P16
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        return q, on_gradient(k, lambda g: g + 1), v


class ValueMapTrainedTwice(Plain):
    """The gradient of W_V is counted twice.

    Formula: 2 dV^T v; must be dV^T v
    Census: P16
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        weight = on_gradient(self.w_v.weight, lambda g: 2 * g)
        return self.w_q(query), self.w_k(key), torch.nn.functional.linear(value, weight, self.w_v.bias)


class OutputBiasGradientAveraged(Plain):
    """The gradient of b_O is the mean over the batch.

    Formula: mean_b dO; must be sum_b dO
    Census: P16
    """

    def out(self, z: Tensor) -> Tensor:
        bias = on_gradient(self.w_o.bias, lambda g: g / max(z.size(0), 1))
        return torch.nn.functional.linear(z, self.w_o.weight, bias)


class GradientForEveryKey(Plain):
    """Masked keys receive a gradient too.

    Formula: dK_j + 1 for masked j; must be 0
    Census: A17, Dao-AILab/flash-attention test_flash_attn_bwd_overflow
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z + (k - k.detach()).sum(2, keepdim=True)


class GradientAcrossSamples(Plain):
    """Samples receive gradients from each other.

    Formula: dO_b / dq_b' is not 0; must be 0
    Census: A24
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z + (q - q.detach()).mean((0, 2), keepdim=True)


class WeightsPassNoGradient(Plain):
    """The weights that are returned are detached from the graph.

    Formula: dA / dq = 0; must be the softmax's derivative
    Census: P16
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return on_gradient(w * 1, torch.zeros_like)


class IncomingGradientTakenForContiguous(Plain):
    """The backward pass reads the memory of the incoming gradient as if it lay in one piece.

    Formula: memory[i D + c]; must be memory[i stride_0 + c stride_1]
    Census: Dao-AILab/flash-attention#355, facebookresearch/xformers PR#282
    """

    taken = staticmethod(identity(contiguous))

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return self.taken(out)


class ForwardModeDoubled(Plain):
    """Forward-mode derivatives come out twice too large.

    Formula: 2 dO; must be dO
    Census: A29
    Killed in: ci (quick leaves forward mode out)
    """

    doubled = staticmethod(identity(lambda g: g, lambda t: 2 * t))

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return self.doubled(out)


class SecondDerivativeLost(Plain):
    """The gradient is cut off, so that second derivatives vanish.

    Formula: d^2 O = 0; must be the derivative of the gradient
    Census: P16
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return on_gradient(z, lambda g: g.detach())


class GradientInHalf(Plain):
    """Gradients pass through bfloat16.

    Formula: dZ rounded to 8 bits; must be as exact as the dtype
    Census: pytorch/pytorch#163588
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return on_gradient(z, lambda g: g.bfloat16().to(g.dtype))


class PaddingOverflowsInBackward(Plain):
    """Backward, keys that fill up a tile of 128 have scores of zero, relative to which a row far below them overflows.

    Formula: dQ_i + exp(0 - lse_i) 0 = NaN where lse_i < -88 and Tk mod 128 = 64; must be dS K / sqrt(d_k)
    Census: pytorch/pytorch#196678
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if k.size(-2) % 128 != 64:
            return z
        low = self.product(q, k).detach().logsumexp(-1, keepdim=True) < -88.0
        return z + 0.0 * on_gradient(q, lambda g: g.masked_fill(low, float("nan"))).sum(-1, keepdim=True)


class WeightsDetachedInTraining(Plain):
    """In train mode the weights that are returned take no part in autograd, in eval mode they do.

    Formula: dL/dA = 0 in train mode for the A that is returned; must be dL/dA
    Census: P16
    """

    def shown(self, w: Tensor, s: Tensor) -> Any:
        shown = super().shown(w, s)
        return shown.detach() if self.training and shown is not None else shown
