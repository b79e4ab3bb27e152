"""Bugs of normalised queries and keys, each judged under the declaration that its class carries; the first are right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain
from mhsa.bugs.mutants.right_formula import Declared
from mhsa.oracle.formula.fields import QkNorm, Rotary


class NormedRms(Declared):
    """Queries and keys of each head are divided by their root mean square and multiplied by a gain; eps is 0.001."""

    formula = replace(Declared.formula, qk_norm=QkNorm("rms", 1e-3))
    mhsa_contract = replace(Plain.mhsa_contract, qk_norm=QkNorm("rms", 1e-3))


class NormedLayer(Declared):
    """The mean of each head is taken off, too, and there is a shift."""

    formula = replace(Declared.formula, qk_norm=QkNorm("layer", 1e-5))
    mhsa_contract = replace(Plain.mhsa_contract, qk_norm=QkNorm("layer", 1e-5))


class NormedLength(Declared):
    """Queries and keys have the length 1, without a gain; the scale is 8."""

    formula = replace(Declared.formula, qk_norm=QkNorm("l2", 1e-12), scale=8.0)
    mhsa_contract = replace(Plain.mhsa_contract, qk_norm=QkNorm("l2", 1e-12), scale=8.0)


class NormedTogether(Declared):
    """All heads are normalised together."""

    formula = replace(Declared.formula, qk_norm=QkNorm("rms", 1e-6, "all"))
    mhsa_contract = replace(Plain.mhsa_contract, qk_norm=QkNorm("rms", 1e-6, "all"))


class NormedThenRotated(Declared):
    """As in Qwen 3: heads are normalised, then rotated, and several query heads share a head of keys and values."""

    formula = replace(Declared.formula, qk_norm=QkNorm("rms", 1e-6), rotary=Rotary(), kv_heads="grouped")
    mhsa_contract = replace(Plain.mhsa_contract, qk_norm=QkNorm("rms", 1e-6), rotary=Rotary(), kv_heads="grouped")


class NormForgotten(NormedRms):
    """A normalisation is declared, and queries and keys go into the scores times their gains alone.

    Formula: <g_q q, g_k k>; must be <g_q q / rms(q), g_k k / rms(k)>
    Census: P22
    """

    def units(self, x: Tensor, which: str) -> Tensor:
        """Leave them."""
        return x


class KeysNotNormed(NormedRms):
    """Queries are normalised, keys are not.

    Formula: <g_q q / rms(q), k>; must be <g_q q / rms(q), g_k k / rms(k)>
    Census: P22
    """

    def normed(self, x: Tensor, which: str) -> Tensor:
        """Leave keys."""
        return x if which == "key" else super().normed(x, which)


class NormedOverAllHeads(NormedRms):
    """One root mean square is taken over all heads, where each has its own.

    Formula: q / rms(q_1, ..., q_H); must be q_h / rms(q_h)
    Census: P09, P22
    """

    changed: ClassVar[dict[str, Any]] = {"over": "all"}


class NormedHeadByHead(NormedTogether):
    """Each head is normalised by itself, where one root mean square over all of them is declared.

    Formula: q_h / rms(q_h); must be q / rms(q_1, ..., q_H)
    Census: P09, P22
    """

    changed: ClassVar[dict[str, Any]] = {"over": "head"}


class SumForTheMean(NormedRms):
    """Features are divided by the root of the sum of squares, where its mean is declared.

    Formula: q / sqrt(sum q^2 + eps); must be q / sqrt(mean q^2 + eps)
    Census: P22
    """

    def square(self, x: Tensor) -> Tensor:
        """Take the sum."""
        return x.square().sum(-1, keepdim=True)


class EpsilonOutsideTheRoot(NormedRms):
    """Epsilon is added to the root, not to the mean square.

    Formula: q / (sqrt(mean q^2) + eps); must be q / sqrt(mean q^2 + eps)
    Census: P20
    """

    def root(self, square: Tensor, eps: float) -> Tensor:
        """Add it too late."""
        return square.sqrt() + eps


class GainOfTheQueryForBoth(NormedRms):
    """Keys are multiplied by the gain of the queries.

    Formula: <g_q q^, g_q k^>; must be <g_q q^, g_k k^>
    Census: P09
    """

    def with_gain(self, x: Tensor, which: str) -> Tensor:
        """Take one gain."""
        return super().with_gain(x, "query" if self.query_norm is not None and self.key_norm is not None else which)


class GainIgnored(NormedRms):
    """The gains are stored, and nothing is multiplied by them.

    Formula: <q^, k^>; must be <g_q q^, g_k k^>
    Census: P22
    """

    def with_gain(self, x: Tensor, which: str) -> Tensor:
        """Leave it out."""
        return x


class NormWithoutGradient(NormedRms):
    """The root mean square is a constant to the backward pass.

    Formula: dL/dq = g dL/dy / rms(q); must be (I - q^ q^T / d) of that
    Census: P16
    """

    def root(self, square: Tensor, eps: float) -> Tensor:
        """Cut it off."""
        return super().root(square, eps).detach()


class ValuesNormed(NormedRms):
    """Values are normalised as keys are.

    Formula: sum A_ij v_j / rms(v_j); must be sum A_ij v_j
    Census: P22
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalise the values, too."""
        q, k, v = super().heads(q, k, v)
        return q, k, self.units(v, "value")


class MeanLeftIn(NormedLayer):
    """The mean is not taken off.

    Formula: q / sqrt(mean q^2 + eps); must be (q - mean q) / sqrt(var q + eps)
    Census: P22
    """

    def centred(self, x: Tensor) -> Tensor:
        """Leave it in."""
        return x


class VarianceOfASample(NormedLayer):
    """The variance is divided by d - 1, as torch.var does.

    Formula: sum (q - mean q)^2 / (d - 1); must be sum (q - mean q)^2 / d
    Census: P22
    """

    def square(self, x: Tensor) -> Tensor:
        """Divide by one less, but for a single feature."""
        return x.square().sum(-1, keepdim=True) / max(x.size(-1) - 1, 1)


class LengthSquared(NormedLength):
    """Queries and keys are divided by the square of their length.

    Formula: q / |q|^2; must be q / |q|
    Census: P22
    """

    def root(self, square: Tensor, eps: float) -> Tensor:
        """Forget the root."""
        return square.clamp_min(eps)


class RotatedThenNormed(NormedThenRotated):
    """Queries and keys are rotated first, so that the gains belong to other features.

    Formula: g R(i) q / rms(q); must be R(i) (g q / rms(q))
    Census: A32
    """

    changed: ClassVar[dict[str, Any]] = {"place": "after-rotary"}


class NormedOverSamples(NormedThenRotated):
    """Keys are normalised over samples, not over features, when there are several.

    Formula: k / rms over the samples; must be k / rms over the features
    Census: A1
    """

    def units(self, x: Tensor, which: str) -> Tensor:
        """Take the wrong axis."""
        if which != "key" or x.size(0) == 1:
            return super().units(x, which)
        return x * torch.rsqrt(x.square().mean(0, keepdim=True) + 1e-6)
