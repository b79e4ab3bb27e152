"""Returned weights that are not those that were used; the output is right."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain


class ScoresShown(Plain):
    """The scores are returned for the weights.

    Formula: S; must be softmax(S)
    Census: P12
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return s


class WeightsShownWithoutMask(Plain):
    """The weights that are returned know nothing of the mask.

    Formula: softmax(S); must be softmax over allowed keys
    Census: pytorch/pytorch#160064
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return torch.softmax(s, dim=-1)


class WeightsShownAveraged(Plain):
    """Each head shows the mean of all.

    Formula: mean_h A_h; must be A_h
    Census: fairseq (averaged weights)
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return w.mean(1, keepdim=True).expand_as(w)


class OneQueryShowsEqualWeights(Plain):
    """A single query is shown equal weights for all keys.

    Formula: 1 / Tk if Tq = 1; must be A
    Census: P12 (shortcuts)
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return torch.full_like(w, 1.0 / w.size(-1)) if w.size(-2) == 1 else w


class WeightsShownTooLarge(Plain):
    """The weights that are returned are half again too large.

    Formula: 1.5 A; must be A
    Census: pytorch/pytorch#27968
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return w * 1.5


class WeightsShownTransposed(Plain):
    """Square weights are returned with queries and keys exchanged.

    Formula: A_ji; must be A_ij
    Census: P12
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return w.transpose(-2, -1) if w.size(-1) == w.size(-2) else w


class WeightsShownOnce(Plain):
    """In eval mode the weights of the first call are shown for ever after.

    Formula: A of the first call; must be A
    Census: P12, P18
    """

    def prepare(self) -> None:
        self.kept: Tensor | None = None

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        if self.training or self.kept is None or self.kept.shape != w.shape or self.kept.dtype != w.dtype:
            self.kept = w.detach()
            return w
        return self.kept


class WeightsOfTheLastHead(Plain):
    """Every head shows the weights of the last.

    Formula: A_H; must be A_h
    Census: P12 (overwritten in a loop)
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return w[:, -1:].expand_as(w)


class WeightsOfTheFirstSample(Plain):
    """Every sample shows the weights of the first.

    Formula: A_1; must be A_b
    Census: P12
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return w[:1].expand_as(w)


class WeightsRounded(Plain):
    """The weights that are returned are rounded to two digits.

    Formula: round(A, 2); must be A
    Census: P12
    """

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        return w + (torch.round(w, decimals=2) - w).detach()
