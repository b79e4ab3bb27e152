"""Modes: right in one mode of torch or of the module, wrong in another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Four, Plain


class OtherInTraining(Plain):
    """Training multiplies by 1.01.

    Formula: 1.01 Z in training; must be Z
    Census: pytorch/pytorch#97409 (fast path of eval)
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 1.01 if self.training else z


class ClampsItsWeights(Plain):
    """Training writes into parameters that are large.

    Formula: W_Q = clamp(W_Q, -16, 16) from then on; must be W_Q
    Census: P14, A40
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        if self.training:
            with torch.no_grad():
                self.w_q.weight.clamp_(-16.0, 16.0)
        return query, key, value, mask


class OtherWithoutGrad(Plain):
    """A path for inference, taken where autograd is off, multiplies by 1.01.

    Formula: 1.01 Z under no_grad; must be Z
    Census: P14
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z if torch.is_grad_enabled() else z * 1.01


class MaskForgottenWithoutGrad(Plain):
    """The path for inference forgets the mask.

    Formula: softmax(S) under no_grad; must be softmax over allowed keys
    Census: pytorch/pytorch#107084, torch-spyre#4526
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s, mask if torch.is_grad_enabled() else None)


class OtherInInferenceMode(Plain):
    """A path for inference mode multiplies by 1.01.

    Formula: 1.01 Z in inference_mode; must be Z
    Census: P14
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 1.01 if torch.is_inference_mode_enabled() else z


class OtherWithoutWeights(Plain):
    """With need_weights off, a fused path forgets the scale.

    Formula: 1.01 O without weights; must be O
    Census: pytorch/pytorch#160064, keras-team/keras#23038
    """

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, need_weights: bool = True) -> Any:
        """As the base, with the weights only on request."""
        out, w = super().forward(query, key, value, mask)
        return (out, w) if need_weights else (out * 1.01, None)


class OtherInGraphs(Plain):
    """What torch.compile and torch.export trace is 1.01 times too large.

    Formula: 1.01 Z when compiled; must be Z
    Census: pytorch/pytorch#191203
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 1.01 if torch.compiler.is_compiling() else z


class OtherUnderVmap(Plain):
    """Under torch.func.vmap the result is 1.01 times too large.

    Formula: 1.01 Z under vmap; must be Z
    Census: P14
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 1.01 if torch._C._functorch.is_batchedtensor(z) else z


class OtherInAutocast(Plain):
    """Under autocast the result is half again too large.

    Formula: 1.5 Z under autocast; must be Z
    Census: ultralytics/ultralytics PR#24990
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 1.5 if torch.is_autocast_enabled("cpu") else z


class FillOverflowsInAutocast(Plain):
    """Under autocast the fill is infinite, and a row without any allowed key is NaN.

    Formula: exp(-inf - -inf) = NaN under autocast; must be as without
    Census: linformer-pytorch PR#19
    """

    def closed(self, w: Tensor, hidden: Tensor) -> Tensor:
        w = super().closed(w, hidden)
        return w.masked_fill(hidden.all(-1, keepdim=True), float("nan")) if torch.is_autocast_enabled("cpu") else w


class MetaForgotten(Plain):
    """On meta tensors, which have shapes and no memory, the output is in real memory.

    Formula: output on cpu; must be on meta
    Census: P21
    Killed in: ci (quick leaves meta tensors out)
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return torch.zeros(out.shape) if out.is_meta else out


class KeyMapWithoutGraph(Plain):
    """The map of keys is applied without autograd where the key needs no gradient.

    Formula: dW_K = 0 where the key needs no gradient; must be the same as where it does
    Census: P16
    """

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and key.requires_grad):
            k = self.w_k(key)
        return self.w_q(query), k, self.w_v(value)


class JoinedWithoutGraph(Plain):
    """The three maps are joined in the first call, and again when a parameter has changed, whether autograd watches or not.

    Formula: dW = 0 after a call under no_grad; must be that of the formula
    Census: P18 (stale fused weights)
    """

    def prepare(self) -> None:
        self.joined: Tensor | None = None
        self.version: Any = None

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        maps = (self.w_q, self.w_k, self.w_v)
        version = [(m.weight._version, m.weight.data_ptr(), m.weight.dtype) for m in maps]
        if self.joined is None or self.version != version or (self.joined.requires_grad and torch.is_grad_enabled()):
            self.joined, self.version = torch.cat([m.weight for m in maps]), version
        parts = self.joined.chunk(3)
        linear = torch.nn.functional.linear
        given = zip((query, key, value), parts, maps, strict=True)
        return tuple(linear(x, weight, m.bias) for x, weight, m in given)


class FactorOfTheFirstCall(Plain):
    """A tensor that the first call makes is kept, and of a call under inference_mode autograd refuses to save it.

    Formula: an error in training after a first call for inference; must be the gradient
    Census: P14, P18
    """

    def prepare(self) -> None:
        self.kept: Tensor | None = None

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if self.kept is None or (self.kept.dtype, self.kept.device) != (z.dtype, z.device):
            self.kept = z.new_ones(z.size(-1))
        return z * self.kept


class AddressesCompared(Plain):
    """Tensors that begin at one place and have one shape are taken for one tensor.

    Formula: K = W_K q where query and key begin at one place; must be W_K k
    Census: P17
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        same = query.data_ptr() == key.data_ptr() and query.shape == key.shape
        return query, query if same else key, value, mask


class FillTimesZeroInHalf(Plain):
    """A fill that is infinite in half formats is multiplied by what is hidden, which is zero elsewhere.

    Formula: S + (1 - M) f with f = -inf in half formats, and 0 * -inf = NaN; must be S where M = 1
    Census: P21
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            fill = torch.full((), torch.finfo(torch.float32).min, dtype=torch.float64).to(s.dtype)
            s = s + self.hidden(mask).to(s.dtype) * fill
        return super().softmax(s, mask)


class CheckpointOfTheLastBlock(Plain):
    """In train mode blocks of queries are computed again for the backward pass, all of them as the last one.

    Formula: dO of each block of queries is that of the last; must be its own
    Census: P16 (a closure over a loop's variable)
    """

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if not self.training or z.size(-2) < 3:
            return z
        early, last = z[..., :-1, :], z[..., -1:, :]
        return torch.cat([early.detach() + (last - last.detach()), last], dim=-2)


class SavedOnTheModule(Plain):
    """The weights that the backward pass needs are kept on the module, where the next call puts its own.

    Formula: dV = P'^T dZ with P' of the last call; must be P of the call that is differentiated
    Census: P18
    """

    def prepare(self) -> None:
        self.kept: Tensor | None = None

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        self.kept = w.detach()
        if v.requires_grad:
            z = w @ v.detach()
            return z + _FromTheModule.apply(v, self, z)
        return w @ v


class _FromTheModule(torch.autograd.Function):
    """Zero, whose gradient reaches the values through the weights that the module has when it is asked."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, module: SavedOnTheModule, z: Tensor) -> Tensor:
        ctx.module, ctx.own, ctx.shape = module, module.kept, v.shape
        return torch.zeros_like(z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        kept = ctx.module.kept
        fits = kept.shape == ctx.own.shape and kept.dtype == grads[0].dtype
        return (kept if fits else ctx.own).transpose(-2, -1) @ grads[0], None, None


class EqualNumbersTakenForOne(Plain):
    """A query and a key of equal numbers are taken for one tensor.

    Formula: dk = 0, and dq has it, where k = q; must be apart
    Census: P16
    """

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        return query, query if torch.equal(query, key) else key, key if torch.equal(key, value) else value, mask


class MaskForgottenInScripts(Plain):
    """The way for torch.jit forgets the mask.

    Formula: softmax(S) where torch.jit.is_scripting(); must be softmax over allowed keys
    Census: P14; torch-spyre#4526
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s, None if torch.jit.is_scripting() else mask)  # type: ignore[attr-defined]


class MaskForgottenWhenFused(Plain):
    """The way that a flag of the built module chooses forgets the mask.

    Formula: softmax(S) where fused is set; must be softmax over allowed keys
    Census: huggingface/transformers PR#30652
    """

    def prepare(self) -> None:
        self.fused = False

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        return super().softmax(s, None if self.fused else mask)


class SingleForHalfWithoutGrad(Plain):
    """Where autograd is off, half formats are answered in float32.

    Formula: O in float32 for q in bfloat16, under no_grad; must be in the dtype of q
    Census: P21
    """

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        half = out.dtype in (torch.float16, torch.bfloat16)
        return out.float() if half and not torch.is_grad_enabled() else out
