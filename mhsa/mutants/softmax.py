"""The softmax: its axis, its maximum, its normalisation, and what tiled forms of it forget."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.mutants.plain import Plain


class SoftmaxOverQueries(Plain):
    """The softmax runs over the queries.

    Formula: sum_i A_ij = 1; must be sum_j A_ij = 1
    Census: labml#146
    """

    def normalise(self, s: Tensor) -> Tensor:
        return torch.softmax(s, dim=-2)


class SoftmaxOverHeads(Plain):
    """The softmax runs over the heads.

    Formula: sum_h A_hij = 1; must be sum_j A_hij = 1
    Census: P12
    """

    def normalise(self, s: Tensor) -> Tensor:
        return torch.softmax(s, dim=1)


class SoftmaxOverBatch(Plain):
    """The softmax runs over the batch, as dim=0 does on folded tensors.

    Formula: sum_b A_bij = 1; must be sum_j A_bij = 1
    Census: P12
    """

    def normalise(self, s: Tensor) -> Tensor:
        return torch.softmax(s, dim=0)


class SoftmaxOverEverything(Plain):
    """Queries and keys share one softmax.

    Formula: sum_ij A_ij = 1; must be sum_j A_ij = 1
    Census: P12
    """

    def normalise(self, s: Tensor) -> Tensor:
        return torch.softmax(s.flatten(-2), dim=-1).reshape(s.shape)


class NoMaximum(Plain):
    """The exponential is taken without subtracting the maximum.

    Formula: exp(S) / sum exp(S) overflows; must be exp(S - max S) / sum exp(S - max S)
    Census: P20
    """

    def normalise(self, s: Tensor) -> Tensor:
        e = torch.exp(s)
        return e / e.sum(-1, keepdim=True).clamp(min=torch.finfo(s.dtype).tiny)


class MaximumOfEverything(Plain):
    """The largest score of the whole tensor is subtracted, so that rows far below it vanish.

    Formula: exp(S - max_bhij S); must be exp(S - max_j S)
    Census: P20
    """

    def normalise(self, s: Tensor) -> Tensor:
        if s.numel() == 0:
            return super().normalise(s)
        e = torch.exp(s - s.max())
        return e / e.sum(-1, keepdim=True).clamp(min=torch.finfo(s.dtype).tiny)


class EpsilonInSum(Plain):
    """A small number is added to the sum of exponentials.

    Formula: exp(S - max) / (sum + 1e-3); must be exp(S - max) / sum
    Census: P12
    """

    def normalise(self, s: Tensor) -> Tensor:
        if s.size(-1) == 0:
            return s
        e = torch.exp(s - s.amax(-1, keepdim=True))
        return e / (e.sum(-1, keepdim=True) + 1e-3)


class ExtraSink(Plain):
    """The sum counts one key too many, with a score of zero.

    Formula: exp(S) / (1 + sum exp(S)); must be exp(S) / sum exp(S)
    Census: P12
    """

    def normalise(self, s: Tensor) -> Tensor:
        return torch.softmax(torch.cat([s, torch.zeros_like(s[..., :1])], -1), -1)[..., :-1] if s.size(-1) else s


class BaseTwo(Plain):
    """Powers of two stand for powers of e, without the factor log2(e).

    Formula: 2^S / sum 2^S; must be e^S / sum e^S
    Census: P01
    """

    def normalise(self, s: Tensor) -> Tensor:
        return torch.softmax(s * 0.6931471805599453, dim=-1)


class NotNormalised(Plain):
    """The exponentials are not divided by their sum.

    Formula: exp(S - max); must be exp(S - max) / sum
    Census: P12
    """

    def normalise(self, s: Tensor) -> Tensor:
        return torch.exp(s - s.amax(-1, keepdim=True)) if s.size(-1) else s


class Sigmoid(Plain):
    """A sigmoid stands where the softmax belongs.

    Formula: 1 / (1 + exp(-S)); must be exp(S) / sum exp(S)
    Census: P12
    """

    def normalise(self, s: Tensor) -> Tensor:
        return torch.sigmoid(s)


class BlocksNotRescaled(Plain):
    """An online softmax does not rescale earlier blocks of 16 keys when the maximum grows.

    Formula: exp(S_j - max of block and before); must be exp(S_j - max of all)
    Census: A14
    """

    def normalise(self, s: Tensor) -> Tensor:
        if s.size(-1) <= 16:
            return super().normalise(s)
        top = s.cummax(-1).values
        last = torch.clamp((torch.arange(s.size(-1), device=s.device) // 16 + 1) * 16 - 1, max=s.size(-1) - 1)
        e = torch.exp(s - top[..., last])
        return e / e.sum(-1, keepdim=True)


class TailBlockLost(Plain):
    """Keys beyond the last full block of 16 get no weight.

    Formula: softmax over 16 floor(Tk / 16) keys; must be over Tk
    Census: P21 (tail block dropped)
    """

    def normalise(self, s: Tensor) -> Tensor:
        keys = s.size(-1)
        if keys <= 16 or keys % 16 == 0:
            return super().normalise(s)
        tail = torch.arange(keys, device=s.device) >= keys // 16 * 16
        return super().normalise(s.masked_fill(tail, torch.finfo(s.dtype).min)).masked_fill(tail, 0.0)


class LastKeyLost(Plain):
    """The last key gets no weight.

    Formula: softmax over Tk - 1 keys; must be over Tk
    Census: P21
    """

    def normalise(self, s: Tensor) -> Tensor:
        if s.size(-1) < 2:
            return super().normalise(s)
        return torch.nn.functional.pad(super().normalise(s[..., :-1]), (0, 1))


class BestKeysOnly(Plain):
    """Only the eight best keys of a row get weight.

    Formula: softmax over the 8 largest; must be over all
    Census: P21
    """

    def normalise(self, s: Tensor) -> Tensor:
        if s.size(-1) <= 8:
            return super().normalise(s)
        least = s.topk(8, dim=-1).values[..., -1:]
        return super().normalise(s.masked_fill(s < least, torch.finfo(s.dtype).min))


class SmallWeightsCut(Plain):
    """Weights below a thousandth are set to zero.

    Formula: A where A >= 0.001, else 0; must be A
    Census: P12
    """

    def normalise(self, s: Tensor) -> Tensor:
        w = super().normalise(s)
        return w.masked_fill(w < 1e-3, 0.0)


class WeightsQuantised(Plain):
    """Weights are rounded to 256 steps, with their gradient passed straight through.

    Formula: round(256 A) / 256; must be A
    Census: P01
    """

    def normalise(self, s: Tensor) -> Tensor:
        w = super().normalise(s)
        return w + (torch.round(w * 256) / 256 - w).detach()


class SoftmaxInHalf(Plain):
    """The softmax is taken in bfloat16, whatever the dtype.

    Formula: softmax rounded to 8 bits; must be as exact as the dtype
    Census: huggingface/transformers PR#17437, pytorch/pytorch#163588
    """

    def normalise(self, s: Tensor) -> Tensor:
        return super().normalise(s.bfloat16()).to(s.dtype)


class SoftmaxInSingle(Plain):
    """The softmax is taken in float32 also where the data are float64.

    Formula: softmax rounded to 24 bits; must be as exact as the dtype
    Census: P20
    """

    def normalise(self, s: Tensor) -> Tensor:
        return super().normalise(s.float()).to(s.dtype)
