"""The softmax: its axis, its maximum, its normalisation, and what tiled forms of it forget."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain


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

    Formula: exp(S - max) / (sum + {}); must be exp(S - max) / sum
    Census: P12
    """

    epsilon = 1e-3
    free = "epsilon"

    def normalise(self, s: Tensor) -> Tensor:
        if s.size(-1) == 0:
            return s
        e = torch.exp(s - s.amax(-1, keepdim=True))
        return e / (e.sum(-1, keepdim=True) + self.epsilon)


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
    """An online softmax does not rescale earlier blocks of keys when the maximum grows.

    Formula: exp(S_j - max of its block of {} and before); must be exp(S_j - max of all)
    Census: A14
    """

    block = 16
    free = "block"

    def normalise(self, s: Tensor) -> Tensor:
        if s.size(-1) <= self.block:
            return super().normalise(s)
        top = s.cummax(-1).values
        ends = (torch.arange(s.size(-1), device=s.device) // self.block + 1) * self.block - 1
        e = torch.exp(s - top[..., ends.clamp(max=s.size(-1) - 1)])
        return e / e.sum(-1, keepdim=True)


class TailBlockLost(Plain):
    """Keys beyond the last full block get no weight.

    Formula: blocks of {}: softmax over the full ones; must be over all keys
    Census: P21 (tail block dropped)
    """

    block = 16
    free = "block"

    def normalise(self, s: Tensor) -> Tensor:
        keys = s.size(-1)
        if keys <= self.block or keys % self.block == 0:
            return super().normalise(s)
        tail = torch.arange(keys, device=s.device) >= keys // self.block * self.block
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
    """Only the best few keys of a row get weight.

    Formula: softmax over the {} largest; must be over all
    Census: P21
    """

    most = 8
    free = "most"

    def normalise(self, s: Tensor) -> Tensor:
        if s.size(-1) <= self.most:
            return super().normalise(s)
        least = s.topk(self.most, dim=-1).values[..., -1:]
        return super().normalise(s.masked_fill(s < least, torch.finfo(s.dtype).min))


class SmallWeightsCut(Plain):
    """Small weights are set to zero.

    Formula: A where A >= {}, else 0; must be A
    Census: P12
    """

    least = 1e-3
    free = "least"

    def normalise(self, s: Tensor) -> Tensor:
        w = super().normalise(s)
        return w.masked_fill(w < self.least, 0.0)


class SoftmaxTwice(Plain):
    """The softmax is taken of weights that are one already.

    Formula: softmax(softmax(S)); must be softmax(S)
    Census: P12
    """

    def weights(self, w: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(w, mask)


class LogSoftmax(Plain):
    """The logarithm of the softmax is taken for the weights.

    Formula: ln softmax(S); must be softmax(S)
    Census: P12
    """

    def normalise(self, s: Tensor) -> Tensor:
        return torch.log_softmax(s, dim=-1)


class Softmin(Plain):
    """The scores have the wrong sign, so that the least fitting keys get most weight.

    Formula: softmax(-S); must be softmax(S)
    Census: P12
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return -s


class WeightsInHalf(Plain):
    """The weights are rounded to bfloat16 before they are used.

    Formula: softmax(S) rounded to 8 bits; must be as exact as the dtype
    Census: pytorch/pytorch#163588
    """

    def weights(self, w: Tensor, mask: Tensor | None) -> Tensor:
        return w.bfloat16().to(w.dtype)


class NoMaximumAndMaskTimesExponential(Plain):
    """The exponential is taken without subtracting the maximum, and masked by multiplication.

    Formula: M exp(S) / sum M exp(S) overflows; must be exp(S - max S) / sum exp(S - max S)
    Census: P20, ultralytics/ultralytics PR#24990
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        e = torch.exp(s) if mask is None else torch.exp(s) * ~self.hidden(mask)
        total = e.sum(-1, keepdim=True)
        return e / torch.where(total == 0, 1.0, total)


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
