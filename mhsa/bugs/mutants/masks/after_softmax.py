"""Masks that come after the softmax, on weights or values, and NaN or infinity in masked values, times a weight of zero."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Four, Plain


class MaskAfterSoftmax(Plain):
    """Masked weights are set to zero after the softmax, and the rest is not normalised again.

    Formula: M softmax(S); must be softmax over allowed keys
    Census: P03
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        w = torch.softmax(s, dim=-1)
        return w if mask is None else w.masked_fill(self.hidden(mask), 0.0)


class MaskOnValues(Plain):
    """Masked values are set to zero, and their keys keep their share of the weights.

    Formula: softmax(S) (M V); must be softmax over allowed keys
    Census: P03
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return torch.softmax(s, -1)

    def drop(self, w: Tensor) -> Tensor:
        return super().drop(w if self.open is None else w * self.open)

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        self.open = None if mask is None else (mask != 0).unsqueeze(1).to(query.dtype)
        return query, key, value, mask


class PoisonTimesZero(Plain):
    """Masked values are multiplied by a weight of zero, though the contract says that they are not read.

    Formula: 0 NaN = NaN; must be 0
    Census: pytorch/pytorch#101967
    """

    mhsa_contract = replace(Plain.mhsa_contract, masked="never-read")


class InfinityTimesZero(PoisonTimesZero):
    """Masked values that are NaN are not read, and infinite ones are.

    Formula: 0 inf = NaN; must be 0
    Census: pytorch/pytorch#101967
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        q, k, v = super().project(query, key, value)
        return q, k, v.masked_fill(v.isnan(), 0.0)
