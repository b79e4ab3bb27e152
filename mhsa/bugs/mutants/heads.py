"""Heads: how features become heads and heads become features again."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain

Heads = tuple[Tensor, Tensor, Tensor]


class SplitWithoutTranspose(Plain):
    """[B, T, D] is viewed as [B, H, T, d_k] without a transpose, so that tokens and features mix.

    Formula: view(B, H, T, d_k); must be view(B, T, H, d_k).transpose(1, 2)
    Census: fuxictr (view without transpose), P09
    """

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(x.size(0), self.head, x.size(1), self.d_k)


class HeadsFoldedByView(Plain):
    """Heads are folded into the batch and unfolded again by views alone, so that tokens and features mix both ways.

    Formula: view(B H, T, d_k) and view(B, T, D); must be with a transpose each
    Census: reczoo/FuxiCTR#30
    """

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(x.size(0), self.head, x.size(1), self.d_k)

    def merge(self, z: Tensor) -> Tensor:
        return z.reshape(z.size(0), z.size(2), self.d_model)


class HeadsStackedFirst(Plain):
    """Heads are stacked before the batch and read as if the batch came first.

    Formula: [H, B, T, d_k] viewed as [B, H, T, d_k]; must be transposed
    Census: gazelle93/Transformer-Various-Positional-Encoding#1
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z.transpose(0, 1).reshape(z.shape)


class HeadsStackedIntoFeatures(Plain):
    """Heads are stacked before the batch and viewed as features.

    Formula: [H, B, T, d_k] viewed as [B, T, D]; must be permuted to [B, T, H, d_k] first
    Census: gazelle93/Transformer-Various-Positional-Encoding#1
    """

    def merge(self, z: Tensor) -> Tensor:
        return z.transpose(0, 1).reshape(z.size(0), z.size(2), self.d_model)


class MergeWithoutTranspose(Plain):
    """[B, H, T, d_k] is viewed as [B, T, D] without a transpose.

    Formula: view(B, T, D); must be transpose(1, 2).view(B, T, D)
    Census: jsbaan/transformer-from-scratch PR#6
    """

    def merge(self, z: Tensor) -> Tensor:
        return z.reshape(z.size(0), z.size(2), self.d_model)


class HeadsInterleaved(Plain):
    """Each head takes every H-th feature instead of d_k neighbours; the merge does not undo it.

    Formula: feature d H + h belongs to head h; must be feature h d_k + d
    Census: NVIDIA-NeMo/RL PR#2802, awslabs/slapo PR#46
    """

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.d_k, self.head).permute(0, 3, 1, 2)


class MergeInterleaved(Plain):
    """The merge puts features outside and heads inside.

    Formula: feature d H + h comes from head h; must be feature h d_k + d
    Census: P09
    """

    def merge(self, z: Tensor) -> Tensor:
        return z.permute(0, 2, 3, 1).reshape(z.size(0), z.size(2), self.d_model)


class QueryHeadsInterleaved(Plain):
    """Queries are split with heads inside, keys and values with heads outside.

    Formula: query feature d H + h belongs to head h; must be h d_k + d
    Census: NVIDIA-NeMo/RL PR#2802
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        q, k, v = super().project(query, key, value)
        return q.reshape(*q.shape[:2], self.d_k, self.head).transpose(2, 3).reshape(q.shape), k, v


class HeadsReversed(Plain):
    """Heads are merged in the opposite order.

    Formula: Z = [Z_H ... Z_1]; must be [Z_1 ... Z_H]
    Census: P10
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z.flip(1)


class LastHeadLost(Plain):
    """A loop over heads ends one too early.

    Formula: Z_H = 0; must be A_H V_H
    Census: huggingface/diffusers (last slice dropped)
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return torch.cat([z[:, :-1], torch.zeros_like(z[:, -1:])], 1) if z.size(1) > 1 else z


class FirstHeadForAll(Plain):
    """All heads use the weights of the first.

    Formula: Z_h = A_1 V_h; must be A_h V_h
    Census: P10
    """

    def weights(self, w: Tensor, mask: Tensor | None) -> Tensor:
        return w[:, :1].expand_as(w)


class KeysOfTheFirstHead(Plain):
    """One head's keys serve all queries, as in multi-query attention.

    Formula: Q_h K_1^T; must be Q_h K_h^T
    Census: PSAL-POSTECH/ONNXim PR#34
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        return q, k[:, :1].expand_as(k), v


class ValuesOfTheNextHead(Plain):
    """Heads are off by one where values are read.

    Formula: Z_h = A_h V_(h+1); must be A_h V_h
    Census: onnx/onnx PR#7274
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        return q, k, v.roll(-1, 1)


class HeadsMixed(Plain):
    """Each head sees a tenth of the mean of all.

    Formula: Z_h + mean(Z) / 10; must be Z_h
    Census: A25
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z + 0.1 * z.mean(1, keepdim=True)


class WeightsAveragedInside(Plain):
    """The weights are averaged over heads before they are used.

    Formula: Z_h = mean(A) V_h; must be A_h V_h
    Census: fairseq (averaged weights)
    """

    def weights(self, w: Tensor, mask: Tensor | None) -> Tensor:
        return w.mean(1, keepdim=True).expand_as(w)


class FirstHeadLouder(Plain):
    """The first head counts a tenth more.

    Formula: 1.1 Z_1; must be Z_1
    Census: A4
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return torch.cat([z[:, :1] * 1.1, z[:, 1:]], 1)


class HeadsSwapTokensWhenEqual(Plain):
    """Where there are as many tokens as heads, the merge guesses the wrong axis.

    Formula: T = H: merge without transpose; must be transpose(1, 2)
    Census: equal-size coincidence, P09
    """

    def merge(self, z: Tensor) -> Tensor:
        if z.size(1) == z.size(2):
            return z.reshape(z.size(0), z.size(2), self.d_model)
        return super().merge(z)


class BatchTakenForHeads(Plain):
    """Where batch and heads are equally many, values are read with the two exchanged.

    Formula: B = H: V_hb; must be V_bh
    Census: equal-size coincidence, city96/ComfyUI_ExtraModels PR#33
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        return q, k, v.transpose(0, 1) if v.size(0) == v.size(1) else v


class MoreHeadsThanFeatures(Plain):
    """With more heads than features per head, the two are taken for each other.

    Formula: H > d_k: feature d H + h; must be h d_k + d
    Census: P09
    """

    def split(self, x: Tensor) -> Tensor:
        if self.head <= self.d_k:
            return super().split(x)
        return x.reshape(*x.shape[:2], self.d_k, self.head).permute(0, 3, 1, 2)


class Beyond5HeadsLost(Plain):
    """Heads beyond the fifth add nothing.

    Formula: Z_h = 0 for h > 5; must be A_h V_h
    Census: size threshold, P10
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return torch.cat([z[:, :5], torch.zeros_like(z[:, 5:])], 1)
