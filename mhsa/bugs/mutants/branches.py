"""Branches: right on the way that a call takes, wrong where torch is asked about it, a flag is set or an option is given."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mhsa.bugs.mutants.plain import Plain


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


class ValueBiasKept(Plain):
    """With bias=False the map of values has its bias all the same.

    Formula: V = v W_V^T + b_V with bias=False; must be v W_V^T
    Census: P22 (an argument that is ignored in one place)
    """

    def __init__(self, head: int, d_model: int, dropout: float = 0.1, bias: bool = True) -> None:
        super().__init__(head, d_model, dropout)
        for name in () if bias else ("w_q", "w_k", "w_o"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=False))
