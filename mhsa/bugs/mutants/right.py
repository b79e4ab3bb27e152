"""Variants that are right: other ways to the same numbers, on which no judge may raise an alarm."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mhsa.bugs.mutants.plain import Four, Plain
from mhsa.records.contract import Contract


class AsItIs(Plain):
    """The plain module itself."""


class ScaledAfterwards(Plain):
    """The product is scaled, not the query."""

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        # Half of the scale first: the product itself may be too large for float16.
        return ((q * self.scale(k) ** 0.5) @ k.transpose(-2, -1)) * self.scale(k) ** 0.5


class ScaledOnBothSides(Plain):
    """Query and key are each scaled by the root of the scale."""

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        root = self.scale(k) ** 0.5
        return (q * root) @ (k * root).transpose(-2, -1)


class Einsum(Plain):
    """Sums are written with einsum."""

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return torch.einsum("bhqd,bhkd->bhqk", q * self.scale(k), k)

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        return torch.einsum("bhqk,bhkd->bhqd", w, v)


class HeadByHead(Plain):
    """A loop over heads."""

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return torch.stack([super(HeadByHead, self).product(q[:, h], k[:, h]) for h in range(self.head)], 1)

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        return torch.stack([w[:, h] @ v[:, h] for h in range(self.head)], 1)


class Folded(Plain):
    """Batch and heads are one axis, as for bmm."""

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return torch.bmm((q * self.scale(k)).flatten(0, 1), k.flatten(0, 1).mT).unflatten(0, q.shape[:2])

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        return torch.bmm(w.flatten(0, 1), v.flatten(0, 1)).unflatten(0, v.shape[:2])


class OutputPerHead(Plain):
    """The output is a sum over heads of their own slices of the output map."""

    def out(self, z: Tensor) -> Tensor:
        parts = zip(z.split(self.d_k, -1), self.w_o.weight.split(self.d_k, -1), strict=True)
        return torch.stack([F.linear(x, w) for x, w in parts]).sum(0) + self.w_o.bias


class ExponentialsByHand(Plain):
    """exp(S - max) over its sum."""

    def normalise(self, s: Tensor) -> Tensor:
        if s.size(-1) == 0:
            return s
        e = torch.exp(s - s.detach().amax(-1, keepdim=True))
        return e / e.sum(-1, keepdim=True)


class LogSumExp(Plain):
    """exp(S - log-sum-exp), without a division."""

    def normalise(self, s: Tensor) -> Tensor:
        return torch.exp(s - torch.logsumexp(s, -1, keepdim=True)) if s.size(-1) else s


class LogSoftmax(Plain):
    """The exponential of log_softmax."""

    def normalise(self, s: Tensor) -> Tensor:
        return F.log_softmax(s, dim=-1).exp()


class BlocksOfKeys(Plain):
    """Weights are put together from blocks of 16 keys, rescaled when the maximum grows."""

    def normalise(self, s: Tensor) -> Tensor:
        if s.size(-1) <= 16:
            return super().normalise(s)
        top, total = s.new_full((*s.shape[:-1], 1), torch.finfo(s.dtype).min), s.new_zeros((*s.shape[:-1], 1))
        parts: list[Tensor] = []
        for block in s.split(16, -1):
            new = torch.maximum(top, block.detach().amax(-1, keepdim=True))
            shrink, e = torch.exp(top - new), torch.exp(block - new)
            parts = [part * shrink for part in parts] + [e]
            total, top = total * shrink + e.sum(-1, keepdim=True), new
        return torch.cat(parts, -1) / total


class FillOfABillion(Plain):
    """Masked scores are -1e9 (in float16 -6e4); rows without any key average."""

    mhsa_contract = Contract(shape_mismatch="raises")

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        fill = -6e4 if s.dtype == torch.float16 else -1e9
        return torch.softmax(s if mask is None else s.masked_fill(self.hidden(mask), fill), -1)


class MaskAsBias(Plain):
    """The mask is turned into a bias that is added to the scores."""

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return torch.softmax(s, -1)
        hidden = self.hidden(mask)
        bias = torch.zeros_like(hidden, dtype=s.dtype).masked_fill(hidden, torch.finfo(s.dtype).min)
        return torch.softmax((s + bias).clamp(min=torch.finfo(s.dtype).min), -1).masked_fill(hidden, 0.0)


class SoftmaxInSingleForHalf(Plain):
    """Half formats take the softmax in float32."""

    def normalise(self, s: Tensor) -> Tensor:
        return super().normalise(s.float() if s.dtype in (torch.float16, torch.bfloat16) else s).to(s.dtype)


class QueriesInChunks(Plain):
    """Five queries at a time."""

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return torch.cat([super(QueriesInChunks, self).product(part, k) for part in q.split(5, dim=2)], 2)


class PackedProjection(Plain):
    """One product for query, key and value where they are one tensor."""

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        if query is not key or key is not value:
            return super().project(query, key, value)
        weight = torch.cat([self.w_q.weight, self.w_k.weight, self.w_v.weight])
        return F.linear(query, weight, torch.cat([self.w_q.bias, self.w_k.bias, self.w_v.bias])).chunk(3, -1)


class TransposedScores(Plain):
    """Scores are formed as K Q^T and normalised over the other axis."""

    def normalise(self, s: Tensor) -> Tensor:
        return torch.softmax(s.mT.contiguous(), dim=-2).mT


class Contiguous(Plain):
    """Everything is copied into one piece first."""

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        return query.contiguous(), key.contiguous(), value.contiguous(), None if mask is None else mask.contiguous()


class KeysInOppositeOrder(Plain):
    """Keys and values are read from the end, and the weights turned round again."""

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        return w.flip(-1) @ v.flip(-2)


class HadamardScores(Plain):
    """Scores are sums of elementwise products."""

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        if q.dtype in (torch.float16, torch.bfloat16) or q.numel() * k.size(2) > 2**20:
            return super().product(q, k)
        return ((q * self.scale(k)).unsqueeze(3) * k.unsqueeze(2)).sum(-1)


class AddedToNothing(Plain):
    """The mixture is a baddbmm with nothing to add to."""

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        z = torch.baddbmm(v.new_zeros(1), w.flatten(0, 1), v.flatten(0, 1), beta=0)
        return z.unflatten(0, v.shape[:2])
