"""Bugs of sinks. The classes without a formula of their own are right; mutants replace one of their steps."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.bugs.mutants.plain import Plain


class Sinking(Plain):
    """A learned logit of each head takes part in the softmax and has no value."""

    mhsa_contract = replace(Plain.mhsa_contract, sinks="learned")

    def prepare(self) -> None:
        """Make the logits."""
        self.sinks = nn.Parameter(torch.zeros(self.head))

    def logit(self, s: Tensor) -> Tensor:
        """Return the sink of each row [B, H, Tq, 1]."""
        return self.sinks.view(1, -1, 1, 1).expand(*s.shape[:3], 1)

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weights of the keys."""
        if mask is not None:
            s = s.masked_fill(self.hidden(mask), -torch.inf)
        return self.shared(s, self.logit(s))

    def shared(self, s: Tensor, sink: Tensor) -> Tensor:
        """Let the sink take its share."""
        top = torch.maximum(s.amax(-1, keepdim=True), sink)
        e = (s - top).exp()
        return e / (e.sum(-1, keepdim=True) + (sink - top).exp())


class OffByOne(Sinking):
    """The sink is the number 0: softmax-off-by-one."""

    mhsa_contract = replace(Plain.mhsa_contract, sinks=0.0)

    def prepare(self) -> None:
        """Make nothing."""

    def logit(self, s: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(s[..., :1])


class SinkInEveryBlock(Sinking):
    """The sink is counted once for each block of four keys.

    Formula: exp(sink) ceil(Tk / 4); must be exp(sink)
    Census: EricLBuehler/mistral.rs PR#1872
    """

    def shared(self, s: Tensor, sink: Tensor) -> Tensor:
        """Count it too often."""
        top = torch.maximum(s.amax(-1, keepdim=True), sink)
        e = (s - top).exp()
        return e / (e.sum(-1, keepdim=True) + -(-s.size(-1) // 4) * (sink - top).exp())


class SinkCountedTwice(Sinking):
    """The sink takes part in the softmax twice.

    Formula: 2 exp(sink); must be exp(sink)
    Census: EricLBuehler/mistral.rs PR#1872
    """

    def logit(self, s: Tensor) -> Tensor:
        """Add the logarithm of two."""
        return super().logit(s) + math.log(2.0)


class SinkForgotten(Sinking):
    """The sink takes no share.

    Formula: softmax over the keys; must be over the keys and the sink
    Census: P22
    """

    def shared(self, s: Tensor, sink: Tensor) -> Tensor:
        """Leave it out; rows without any allowed key get no weights."""
        return torch.softmax(s, -1).nan_to_num(0.0)


class SinkOfTheFirstHead(Sinking):
    """Every head has the sink of the first one.

    Formula: sink_1; must be sink_h
    Census: P09
    """

    def logit(self, s: Tensor) -> Tensor:
        """Take one head's."""
        return self.sinks[:1].view(1, 1, 1, 1).expand(*s.shape[:3], 1)


class SinkScaled(Sinking):
    """The sink is scaled as the scores are.

    Formula: exp(sink / sqrt(d_k)); must be exp(sink)
    Census: P22
    """

    def logit(self, s: Tensor) -> Tensor:
        """Scale it."""
        return super().logit(s) * self.scale(s)


class SinkGetsNoGradient(Sinking):
    """The sink is left out of the backward pass.

    Formula: dL/dsink = 0; must be -sum_i p_i,sink <dO_i, O_i>
    Census: P16
    """

    def logit(self, s: Tensor) -> Tensor:
        """Cut it off."""
        return super().logit(s).detach()


class SinkNotShiftedByTheMaximum(OffByOne):
    """One is added to the sum of exponentials from which the maximum was taken off.

    Formula: exp(s - m) / (1 + sum exp(s - m)); must be exp(s - m) / (exp(-m) + sum exp(s - m))
    Census: P20
    """

    def shared(self, s: Tensor, sink: Tensor) -> Tensor:
        """Forget the maximum."""
        top = s.amax(-1, keepdim=True)
        e = (s - torch.where(top.isinf(), 0.0, top)).exp()
        return e / (1.0 + e.sum(-1, keepdim=True))


class FillNotBelowTheSink(Sinking):
    """Masked scores are filled with -20, which the maximum of other keys hides, and a sink does not.

    Formula: exp(-20) where masked; must be 0
    Census: P02
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Fill with a number that is too large."""
        if mask is not None:
            s = s.masked_fill(self.hidden(mask), -20.0)
        return self.shared(s, self.logit(s))


class SinkGivenBack(Sinking):
    """The weights of the keys are normalised once more, so that the sink has no effect on their sum.

    Formula: p_j / sum_k p_k; must be p_j
    Census: P22
    """

    def shared(self, s: Tensor, sink: Tensor) -> Tensor:
        """Normalise again, where there is something."""
        w = super().shared(s, sink)
        total = w.sum(-1, keepdim=True)
        return w / torch.where(total == 0.0, 1.0, total)
