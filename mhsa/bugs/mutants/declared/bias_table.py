"""Bugs of a learned table of biases. The classes without a formula of their own are right; mutants replace one step."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mhsa.bugs.mutants.plain import Plain
from mhsa.oracle.formula.bias_fields import BiasTable


class Bucketed(Plain):
    """A table of eight buckets, both directions, is added to the scores; distances of 20 and more share one."""

    mhsa_contract = replace(Plain.mhsa_contract, bias=BiasTable(max_distance=20))
    both: ClassVar[bool] = True
    far = 20
    offset: ClassVar[bool] = False  # of the queries, the last ones of more keys

    def prepare(self) -> None:
        """Make the table."""
        self.relative_bias = nn.Parameter(torch.zeros(8, self.head))

    def use_parameters_like(self, projections: Any) -> None:
        """Have as many buckets as another table."""
        if projections.table is not None:
            self.relative_bias = nn.Parameter(torch.zeros(projections.table.shape))

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Add the bias of each distance."""
        own = torch.arange(s.size(-2)) + (s.size(-1) - s.size(-2) if self.offset else 0)
        bucket = self.bucket(self.distance(torch.arange(s.size(-1)) - own[:, None]), len(self.relative_bias))
        return s + self.of_bucket(bucket.to(s.device), s)

    def distance(self, later: Tensor) -> Tensor:
        """Take the distance [Tq, Tk] from the query's place to the key's."""
        return later

    def bucket(self, later: Tensor, count: int) -> Tensor:
        """Return the bucket of each distance."""
        first = torch.zeros_like(later)
        if self.both:
            count //= 2
            first, later = count * (later > 0), later.abs()
        else:
            later = (-later).clamp_min(0)
        exact = max(count // 2, 1)
        return first + torch.where(later < exact, later, self.shared(later.clamp_min(exact), exact, count).clamp_max(count - 1))

    def shared(self, far: Tensor, exact: int, count: int) -> Tensor:
        """Return the bucket of distances that share one."""
        return exact + (torch.log(far.double() / exact) / math.log(self.far / exact) * (count - exact) + 1e-9).long()

    def of_bucket(self, bucket: Tensor, s: Tensor) -> Tensor:
        """Return the bias [H, Tq, Tk]."""
        return self.relative_bias[bucket].permute(2, 0, 1)


class BucketedPast(Bucketed):
    """Earlier keys alone have distances, attention is causal, and the last query is at the last key."""

    mhsa_contract = replace(Plain.mhsa_contract, bias=BiasTable(max_distance=20), causal="bottom-right")
    both, offset = False, True

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weights over what both the given mask and the places allow."""
        seen = torch.ones(s.shape[-2:], dtype=torch.bool, device=s.device).tril(s.size(-1) - s.size(-2))[None]
        return super().softmax(s, seen if mask is None else seen & (mask != 0))


class DirectionsExchanged(Bucketed):
    """Later keys have the buckets of earlier ones, and the other way round.

    Formula: bucket(i - j); must be bucket(j - i)
    Census: P22
    """

    def distance(self, later: Tensor) -> Tensor:
        """Turn it round."""
        return -later


class OneDirectionForBoth(Bucketed):
    """Later keys are at distance 0, and earlier ones have all buckets, where both directions are declared.

    Formula: bucket(max(i - j, 0)); must be bucket(j - i)
    Census: P22
    """

    both = False


class BothDirectionsForOne(BucketedPast):
    """Half of the buckets is kept for later keys, which are never seen.

    Formula: bucket(j - i) of both directions; must be bucket(max(i - j, 0))
    Census: P22
    """

    both = True


class FarDistancesClamped(Bucketed):
    """Distances from half of the buckets on have the last one: the logarithm is left out.

    Formula: min(|j - i|, n - 1); must be shared by the logarithm up to the largest distance
    Census: P22
    """

    def shared(self, far: Tensor, exact: int, count: int) -> Tensor:
        """Count on."""
        return far


class OtherLargestDistance(Bucketed):
    """The distance from which on all have one bucket is another one than is declared.

    Formula: log(x / n) / log({} / n); must be log(x / n) / log(20 / n)
    Census: P22
    """

    free = "far"
    far = 128


class TableScaled(Bucketed):
    """The bias is scaled as the scores are.

    Formula: (<q, k> + b) / sqrt(d_k); must be <q, k> / sqrt(d_k) + b
    Census: tenstorrent/tt-metal#55333
    """

    def of_bucket(self, bucket: Tensor, s: Tensor) -> Tensor:
        """Scale it."""
        return super().of_bucket(bucket, s) * self.scale(s)


class TableOfTheFirstHead(Bucketed):
    """Every head has the biases of the first one.

    Formula: b_1; must be b_h
    Census: P09
    """

    def of_bucket(self, bucket: Tensor, s: Tensor) -> Tensor:
        """Take one column."""
        return super().of_bucket(bucket, s)[:1]


class TableGetsNoGradient(Bucketed):
    """The table is left out of the backward pass.

    Formula: dL/db = 0; must be the gradient of the scores, summed over the pairs of each bucket
    Census: P16
    """

    def of_bucket(self, bucket: Tensor, s: Tensor) -> Tensor:
        """Cut it off."""
        return super().of_bucket(bucket, s).detach()


class TableForgotten(Bucketed):
    """A table is stored, and nothing is added to the scores.

    Formula: s; must be s + b
    Census: P22
    """

    def of_bucket(self, bucket: Tensor, s: Tensor) -> Tensor:
        """Add nothing."""
        return 0.0 * super().of_bucket(bucket, s)


class DistanceFromTheFirstQuery(BucketedPast):
    """Distances are counted from place i where the query is at i + Tk - Tq, as with a cache.

    Formula: bucket(i - j); must be bucket(i + Tk - Tq - j)
    Census: A20; P22
    """

    offset = False


class TableAfterSoftmax(Bucketed):
    """The biases are added to the weights.

    Formula: softmax(s) + b; must be softmax(s + b)
    Census: A1
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Leave them."""
        return s

    def weights(self, w: Tensor, mask: Tensor | None) -> Tensor:
        """Add the biases here."""
        return super().scores(w, w, w)


class PlacesForDistances(Bucketed):
    """The bucket is that of the key's place, not of its distance.

    Formula: bucket(j); must be bucket(j - i)
    Census: P22
    """

    def distance(self, later: Tensor) -> Tensor:
        """Take the first row for all."""
        return later[:1].expand_as(later)
