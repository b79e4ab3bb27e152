"""Sizes and precision: wrong beyond a threshold, at the edges, or in fewer digits than the dtype has."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Four, Plain, contiguous


class Beyond64KeysLost(Plain):
    """A kernel for 64 keys leaves out what is beyond them.

    Formula: softmax over min(Tk, {}) keys; must be over Tk
    Census: size threshold, P21
    """

    limit = 64
    free = "limit"

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        if s.size(-1) <= self.limit:
            return s
        late = torch.arange(s.size(-1), device=s.device) >= self.limit
        return s.masked_fill(late, torch.finfo(s.dtype).min)


class Beyond64QueriesRepeated(Plain):
    """Queries beyond a limit get the answer of the last one within it.

    Formula: O_i = O_{} for i > {}; must be O_i
    Census: size threshold, P21
    """

    limit = 64
    free = "limit"

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        n = self.limit
        if z.size(2) <= n:
            return z
        return torch.cat([z[:, :, :n], z[:, :, n - 1 : n].expand(-1, -1, z.size(2) - n, -1)], 2)


class Beyond512KeysInHalf(Plain):
    """Beyond 512 keys the scores are formed in bfloat16.

    Formula: Tk > 512: S rounded to 8 bits; must be as exact as the dtype
    Census: pytorch/pytorch#127055 (long rows)
    """

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        if k.size(-2) <= 512:
            return super().product(q, k)
        return super().product(q.bfloat16(), k.bfloat16()).to(q.dtype)


class SumStopsInHalf(Plain):
    """In half formats exponentials are added up one after the other, until the sum is too large to grow.

    Formula: sum_j exp(S_ij) stops at 256 or 2048; must be the sum
    Census: P20
    """

    def normalise(self, s: Tensor) -> Tensor:
        if s.dtype not in (torch.float16, torch.bfloat16):
            return super().normalise(s)
        e = torch.exp(s - s.amax(-1, keepdim=True))
        total = torch.zeros_like(e[..., :1])
        for one in e.split(1, dim=-1):
            total = total + one
        return e / total


class WideModelsOff(Plain):
    """Beyond 512 features the result is 1.01 times too large.

    Formula: D > 512: 1.01 O; must be O
    Census: size threshold, P21
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out * 1.01 if out.size(-1) > 512 else out


class LargeBatchesRepeated(Plain):
    """Samples beyond the fifth get the mean of the first five.

    Formula: O_b = mean(O_1..5) for b > 5; must be O_b
    Census: ggml-org/llama.cpp#7903
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return torch.cat([out[:5], out[:5].mean(0, keepdim=True).expand_as(out[5:])]) if len(out) > 5 else out


class LastSliceOfBatchLost(Plain):
    """The batch goes through in slices, and a last one that is not full is left out.

    Formula: slices of {}: Z_b = 0 beyond the full ones; must be A V
    Census: huggingface/diffusers#8837
    """

    size = 4
    free = "size"

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        full = max(len(z) // self.size, 1) * self.size
        return torch.cat([z[:full], torch.zeros_like(z[full:])])


class OneKeyForgotten(Plain):
    """A single key is taken for none.

    Formula: Tk = 1: Z = 0; must be V
    Census: P21
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 0 if k.size(2) == 1 else z


class OneTokenHalved(Plain):
    """One query and one key give half of the result.

    Formula: Tq = Tk = 1: O / 2; must be O
    Census: P21
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out * 0.5 if query.size(1) == key.size(1) == 1 else out


class EmptyBatchLost(Plain):
    """An empty output loses its batch axis.

    Formula: shape [Tq, D]; must be [0, Tq, D]
    Census: pytorch/pytorch#27968, P21
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out.sum(0) if out.numel() == 0 else out


class BatchOfOneSqueezed(Plain):
    """A batch of one loses its first axis on the way and gets it back in the wrong place.

    Formula: B = 1: O as [Tq, 1, D]; must be [1, Tq, D]
    Census: batch-of-one coincidence
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out.transpose(0, 1) if out.size(0) == 1 else out


class OddWidthTruncated(Plain):
    """With an odd number of features per head the last one is lost.

    Formula: d_k odd: Z_d_k = 0; must be Z
    Census: pytorch/pytorch#97128 (odd heads)
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if self.d_k % 2 == 0 or self.d_k == 1:
            return z
        return torch.cat([z[..., :-1], torch.zeros_like(z[..., -1:])], -1)


class AlwaysSingle(Plain):
    """The output is float32, whatever came in.

    Formula: dtype float32; must be the dtype of query
    Census: P21
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out.float()


class RoundedOnTheWay(Plain):
    """Values pass through bfloat16.

    Formula: V rounded to 8 bits; must be as exact as the dtype
    Census: ikawrakow/ik_llama.cpp#217
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return q, k, v.bfloat16().to(v.dtype)


class DoubleThroughSingle(Plain):
    """Values of float64 pass through float32, and nothing says so.

    Formula: V rounded to 24 bits; must be as exact as the dtype
    Census: P20
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return q, k, v.float().to(v.dtype)


class HalfOverflows(Plain):
    """In float16 the product is formed before it is scaled.

    Formula: (Q K^T) / sqrt(d_k) overflows in float16; must be (Q / sqrt(d_k)) K^T
    Census: philipturner/metal-flash-attention#8, ultralytics/ultralytics PR#24990
    Killed in: quick --dtype float16 (nothing else is wrong)
    """

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1)) * self.scale(k)


class LargeScoresInfinite(Plain):
    """Scores are formed in float32 from a product that overflows there.

    Formula: float32(16 Q) K^T / 16 beyond 2^127; must be finite where the exact result is
    Census: pytorch/pytorch#60939
    """

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        return super().product(q * 2.0**60, k * 2.0**60) * 2.0**-120


class QueryTakenForContiguous(Plain):
    """The query's memory is read as if it lay in one piece.

    Formula: memory[i D + c]; must be memory[i stride_0 + c stride_1]
    Census: pytorch/pytorch#187506, #181133
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        return contiguous(query), key, value, mask


class ValueTakenForContiguous(Plain):
    """The value's memory is read as if it lay in one piece.

    Formula: memory[j D + c]; must be memory[j stride_0 + c stride_1]
    Census: flagos-ai/FlagGems#5896
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        return query, key, contiguous(value), mask


class PartsOfKeysMergedAlike(Plain):
    """For up to four queries keys are split in parts of 512, which are merged as if each weighed the same.

    Formula: mean of softmax over each {} keys where Tq <= 4; must be softmax over Tk
    Census: P21 (split keys)
    """

    part = 512
    free = "part"

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        if s.size(-2) > 4 or s.size(-1) <= self.part:
            return super().softmax(s, mask)
        masks = [None] * len(s.split(self.part, -1)) if mask is None else mask.split(self.part, -1)
        parts = [super(PartsOfKeysMergedAlike, self).softmax(x, m) for x, m in zip(s.split(self.part, -1), masks, strict=True)]
        return torch.cat(parts, -1) / len(parts)
