"""What rows without any allowed key get, and what they do to others and to gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.bugs.mutants.masks.fills import Filled
from mhsa.bugs.mutants.plain import Plain


class FullyMaskedRowsAreNaN(Filled):
    """A row without any allowed key is 0 / 0.

    Formula: exp(-inf - -inf) = NaN; must be zero, or the mean
    Census: pytorch/pytorch#41508, #103963
    """

    number = float("-inf")


class NaNRepairedTooLate(FullyMaskedRowsAreNaN):
    """Rows of NaN are set to zero after the mixture, where their gradient is NaN already.

    Formula: nan_to_num(A V); must be A = 0 before it is differentiated
    Census: pytorch/pytorch#41508
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return torch.nan_to_num(z)


class FullyMaskedRowsSpread(Plain):
    """One row without any allowed key changes all others.

    Formula: 1.01 Z if some row is empty; must be Z
    Census: allenai/OLMo#322
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 1.01 if mask is not None and not bool((mask != 0).any(-1).all()) else z


class FullyMaskedRowsSeeEverything(Plain):
    """A row without any allowed key attends as if it had no mask.

    Formula: softmax(S) if no key is allowed; must be zero
    Census: P06
    """

    def hidden(self, mask: Tensor) -> Tensor:
        return super().hidden(mask) & (mask != 0).any(-1, keepdim=True).unsqueeze(1)
