"""Bugs of a table of clipped distances. The classes without a formula of their own are right; mutants replace one step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.bugs.mutants.declared.bias_table import Bucketed
from mhsa.bugs.mutants.plain import Plain
from mhsa.oracle.formula.bias_fields import BiasTable


class Clipped(Bucketed):
    """A table of nine rows, of the distances -4 to 4, is added to the scores; further ones share the first and the last."""

    mhsa_contract = replace(Plain.mhsa_contract, bias=BiasTable("clipped"))

    def prepare(self) -> None:
        """Make the table."""
        self.relative_bias = nn.Parameter(torch.zeros(9, self.head))

    def bucket(self, later: Tensor, count: int) -> Tensor:
        """Return the row of each distance."""
        return self.clip(later, count // 2) + count // 2

    def clip(self, later: Tensor, farthest: int) -> Tensor:
        """Take what is further for the furthest."""
        return later.clamp(-farthest, farthest)


class ClippedPast(Clipped):
    """Row 0 is that of the own place, attention is causal, and the last query is at the last key."""

    mhsa_contract = replace(Plain.mhsa_contract, bias=BiasTable("clipped"), causal="bottom-right")
    offset = True

    def bucket(self, later: Tensor, count: int) -> Tensor:
        """Return the row of each distance."""
        return (-later).clamp(0, count - 1)

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weights over what both the given mask and the places allow."""
        seen = torch.ones(s.shape[-2:], dtype=torch.bool, device=s.device).tril(s.size(-1) - s.size(-2))[None]
        return super().softmax(s, seen if mask is None else seen & (mask != 0))


class ClippedOneTooNear(Clipped):
    """The furthest distance that has a row of its own is one less than the table has.

    Formula: clip(j - i, 1 - m, m - 1) + m; must be clip(j - i, -m, m) + m
    Census: P22
    """

    def clip(self, later: Tensor, farthest: int) -> Tensor:
        """Stop one earlier."""
        return later.clamp(1 - farthest, max(farthest - 1, 1 - farthest))


class DistancesWrapAround(Clipped):
    """Distances beyond the largest begin anew at the other end of the table, as negative indices do.

    Formula: (j - i + m) mod (2 m + 1); must be clip(j - i, -m, m) + m
    Census: P22
    """

    def clip(self, later: Tensor, farthest: int) -> Tensor:
        """Begin anew."""
        return (later + farthest) % (2 * farthest + 1) - farthest


class OrderOfTheTableReversed(Clipped):
    """The distance is counted from the key to the query.

    Formula: clip(i - j, -m, m) + m; must be clip(j - i, -m, m) + m
    Census: P22
    """

    def distance(self, later: Tensor) -> Tensor:
        """Turn it round."""
        return -later


class LaterKeysHaveTheirDistance(Clipped):
    """Later keys have the row of as many places before, as if the distance had no sign.

    Formula: clip(-|j - i|, -m, m) + m; must be clip(j - i, -m, m) + m
    Census: P22
    """

    def distance(self, later: Tensor) -> Tensor:
        """Take the sign away."""
        return -later.abs()


class ClippedFromTheFirstQuery(ClippedPast):
    """Distances are counted from place i where the query is at i + Tk - Tq, as with a cache.

    Formula: clip(i - j, 0, m); must be clip(i + Tk - Tq - j, 0, m)
    Census: A20; P22
    """

    offset = False


class KeptBiasGetsNoGradient(Clipped):
    """In eval mode the biases of the last call are kept without their graph, and are added again until the table changes.

    Formula: dL/db = 0 from the second call on; must be the gradient of the scores, summed over the pairs of each row
    Census: P14; P16
    """

    def prepare(self) -> None:
        """Keep nothing yet."""
        super().prepare()
        self.kept: tuple[Any, Tensor] | None = None

    def of_bucket(self, bucket: Tensor, s: Tensor) -> Tensor:
        """Keep it."""
        table = self.relative_bias
        stamp = (bucket.shape, table._version, table.data_ptr(), table.dtype)
        if not self.training and self.kept is not None and self.kept[0] == stamp:
            return self.kept[1]
        bias = super().of_bucket(bucket, s)
        self.kept = None if self.training else (stamp, bias.detach())
        return bias
