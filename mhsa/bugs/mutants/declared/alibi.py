"""Bugs of ALiBi. The classes without a formula of their own are right; mutants replace one of their steps."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain


class Alibi(Plain):
    """The distance to the own place is taken off the scores, times a slope of the head."""

    mhsa_contract = replace(Plain.mhsa_contract, bias="alibi")

    def slopes(self) -> list[float]:
        """Return a slope for each head: of the next power of two below, and every other one of that above."""
        below = 2 ** math.floor(math.log2(self.head))
        first = [2 ** (-8 * (h + 1) / below) for h in range(below)]
        return first + [2 ** (-8 * (h + 1) / (2 * below)) for h in range(0, 2 * (self.head - below), 2)]

    def own(self, queries: int, keys: int) -> Tensor:
        """Return the place of each query among the keys."""
        return torch.arange(queries)

    def taken(self, s: Tensor) -> Tensor:
        """Return what is taken off the scores."""
        own = self.own(s.size(-2), s.size(-1))[:, None]
        distance = (torch.arange(s.size(-1)) - own).abs().to(s)
        return torch.tensor(self.slopes(), dtype=s.dtype, device=s.device)[:, None, None] * distance

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Take it off."""
        return s - self.taken(s)


class AlibiAtTheEnd(Alibi):
    """The last query is at the last key, and attention is causal."""

    mhsa_contract = replace(Alibi.mhsa_contract, causal="bottom-right")

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weights over what both the given mask and the places allow."""
        queries, keys = s.shape[-2:]
        seen = torch.ones(queries, keys, dtype=torch.bool, device=s.device).tril(keys - queries)[None]
        return super().softmax(s, seen if mask is None else seen & (mask != 0))

    def own(self, queries: int, keys: int) -> Tensor:
        """Align at the end."""
        return torch.arange(queries) + keys - queries


class AlibiGeometric(Alibi):
    """Slopes are 2^(-8 h / H) for every number of heads."""

    mhsa_contract = replace(Plain.mhsa_contract, bias="alibi-geometric")

    def slopes(self) -> list[float]:
        """Return a slope for each head."""
        return [2 ** (-8 * (h + 1) / self.head) for h in range(self.head)]


class SlopesFromZero(AlibiGeometric):
    """Slopes begin with h = 0, so that every head has the one of its neighbour.

    Formula: slope 2^(-8 h / H), h = 0, ..., H - 1; must be h = 1, ..., H
    Census: paiml/aprender PR#2143
    """

    def slopes(self) -> list[float]:
        """Count from zero."""
        return [2.0 ** (-8 * h / self.head) for h in range(self.head)]


class OneSlopeForAll(Alibi):
    """Every head has the slope of the first one.

    Formula: slope_1; must be slope_h
    Census: P09
    """

    def slopes(self) -> list[float]:
        """Repeat the first."""
        return [super().slopes()[0]] * self.head


class SlopesOfThePowerBelow(Alibi):
    """Heads beyond the power of two begin with the first slopes again.

    Formula: slope_(h mod n), n the power of two below H; must be every other slope of 2 n
    Census: P22
    """

    def slopes(self) -> list[float]:
        """Begin again."""
        below = 2 ** math.floor(math.log2(self.head))
        return [2 ** (-8 * (h % below + 1) / below) for h in range(self.head)]


class SlopesOfEveryNumber(Alibi):
    """Slopes are 2^(-8 h / H) where the number of heads is no power of two, too.

    Formula: slope 2^(-8 h / H); must be every other slope of 2 n beyond n heads, the power of two below H
    Census: P22
    """

    def slopes(self) -> list[float]:
        """Divide by the number of heads."""
        return [2.0 ** (-8 * (h + 1) / self.head) for h in range(self.head)]


class DistanceAdded(Alibi):
    """The distance is added, so that far keys count more.

    Formula: s + slope |j - i|; must be s - slope |j - i|
    Census: P22
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Add it."""
        return s + self.taken(s)


class DistanceScaled(Alibi):
    """The distance is taken off before the scores are scaled.

    Formula: (<q, k> - slope |j - i|) / sqrt(d_k); must be <q, k> / sqrt(d_k) - slope |j - i|
    Census: tenstorrent/tt-metal#55333
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Scale both."""
        return s - self.taken(s) * self.scale(k)


class DistanceFromTheBeginning(AlibiAtTheEnd):
    """Places are counted from the first key, where the last query is at the last one.

    Formula: |j - i|; must be |j - i - Tk + Tq|
    Census: A20
    """

    def own(self, queries: int, keys: int) -> Tensor:
        """Align at the beginning."""
        return torch.arange(queries)


class PlacesInBlocks(Alibi):
    """Places begin anew in each block of four keys.

    Formula: |j mod 4 - i mod 4|; must be |j - i|
    Census: P21
    """

    def taken(self, s: Tensor) -> Tensor:
        """Count within blocks."""
        own, keys = self.own(s.size(-2), s.size(-1))[:, None] % 4, torch.arange(s.size(-1)) % 4
        slopes = torch.tensor(self.slopes(), dtype=s.dtype, device=s.device)[:, None, None]
        return slopes * (keys - own).abs().to(s)


class DistanceForgotten(Alibi):
    """ALiBi is declared, and nothing is taken off.

    Formula: s; must be s - slope |j - i|
    Census: P22
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Leave the scores."""
        return s
