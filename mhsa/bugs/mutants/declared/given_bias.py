"""Bugs of a bias that the caller gives. ``Biased`` is right; mutants replace one of its steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain


class Biased(Plain):
    """A bias [B or 1, H or 1, Tq, Tk] is added to the scaled scores."""

    mhsa_contract = replace(Plain.mhsa_contract, bias="given")

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Any:
        """Attend as :class:`Plain`, with a bias."""
        self.check(query, key, value, mask)
        q, k, v = self.heads(*(self.split(x) for x in self.project(query, key, value)))
        w = self.softmax(self.with_bias(self.scores(self.product(q, k), q, k), bias, mask), mask)
        w = self.with_bias_after(w, bias)
        return self.out(self.merge(self.mix(self.drop(w), v))), w

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Add the bias."""
        return s if bias is None else s + bias

    def with_bias_after(self, w: Tensor, bias: Tensor | None) -> Tensor:
        """Take the weights."""
        return w


class BiasScaledWithScores(Biased):
    """The bias is added before the scores are scaled, so that it is attenuated.

    Formula: (<q, k> + b) / sqrt(d_k); must be <q, k> / sqrt(d_k) + b
    Census: tenstorrent/tt-metal#55333
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Scale the bias, too."""
        return s if bias is None else s + bias * self.scale(s)


class BiasGetsNoGradient(Biased):
    """The bias is left out of the backward pass.

    Formula: dL/db = 0; must be the gradient of the scores
    Census: pytorch/pytorch#148476, pytorch/pytorch#171707
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Cut it off."""
        return s if bias is None else s + bias.detach()


class BiasGetsAGradientWithTheQueryOnly(Biased):
    """The bias receives a gradient only where the query does.

    Formula: dL/db = 0 where q needs no gradient; must be the gradient of the scores
    Census: pytorch/pytorch#171707
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Decide by the scores."""
        if bias is None:
            return s
        return s + (bias if s.requires_grad else bias.detach())


class BiasOfTheFirstHead(Biased):
    """Every head is given the bias of the first one.

    Formula: b_b0ij; must be b_bhij
    Census: P09
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Take one head."""
        return s if bias is None else s + bias[:, :1]


class BiasOfTheFirstSample(Biased):
    """Every sample is given the bias of the first one.

    Formula: b_0hij; must be b_bhij
    Census: P07
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Take one sample."""
        return s if bias is None else s + bias[:1]


class BiasRepeatedInTheWrongOrder(Biased):
    """A bias for all heads is repeated as if the heads came before the samples.

    Formula: b_((b H + h) mod B)ij where b has one axis for all heads; must be b_bij
    Census: P07, P09
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Repeat, where it must be interleaved."""
        if bias is None or bias.size(1) > 1:
            return super().with_bias(s, bias, mask)
        flat = bias[:, 0].repeat(s.size(1) * s.size(0) // bias.size(0), 1, 1)
        return s + flat.reshape(s.shape)


class BiasLostUnderAMask(Biased):
    """A mask takes the place of the bias.

    Formula: s where a mask is given; must be s + b
    Census: P22
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Use one of the two."""
        return s if bias is None or mask is not None else s + bias


class BiasForgotten(Biased):
    """The bias is taken, and nothing is done with it.

    Formula: s; must be s + b
    Census: P22
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Forget it."""
        return s


class BiasAfterSoftmax(Biased):
    """The bias is added to the weights.

    Formula: softmax(s) + b; must be softmax(s + b)
    Census: P22
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Leave the scores."""
        return s

    def with_bias_after(self, w: Tensor, bias: Tensor | None) -> Tensor:
        """Add it too late, where there is a weight."""
        return w if bias is None else torch.where(w != 0, w + bias, w)


class BiasCapped(Biased):
    """The bias goes through a soft cap of 5 with the scores, and none is declared.

    Formula: 5 tanh((s + b) / 5); must be s + b
    Census: P22
    """

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Cap the sum where there is a bias."""
        return s if bias is None else 5.0 * torch.tanh((s + bias) / 5.0)
