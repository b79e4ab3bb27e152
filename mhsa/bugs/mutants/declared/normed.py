"""Normalised queries and keys for the right modules of any formula, with a method for every step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mhsa.bugs.mutants.plain import Plain
from mhsa.oracle.formula.fields import QkNorm
from mhsa.oracle.formula.formula import PLAIN, Formula

_USUAL = {"rms": 1e-6, "layer": 1e-5, "l2": 1e-12}  # epsilon, where none is declared


class NormParameters(nn.Module):
    """A gain and a shift, as many numbers as they are given."""

    def __init__(self, weight: int, bias: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(weight))
        self.bias = nn.Parameter(torch.zeros(bias)) if bias else None


class Normed(Plain):
    """Normalises as the formula says; gains [d_k], or [heads * d_k] where all heads are normalised together."""

    formula: ClassVar[Formula] = PLAIN
    changed: ClassVar[dict[str, Any]] = {}  # by a mutant, of what is declared

    @property
    def norm(self) -> QkNorm | None:
        """What is computed."""
        declared = self.formula.qk_norm
        return None if declared is None else replace(declared, **self.changed)

    def prepare(self) -> None:
        """Make the gains, and shifts where the mean is taken off."""
        super().prepare()
        norm, heads = self.formula.qk_norm, (self.head, getattr(self, "kv_heads", self.head))
        sizes = [self.d_k * (n if norm is not None and norm.over == "all" else 1) for n in heads]
        has_gain = norm is not None and norm.kind != "l2"
        self.query_norm, self.key_norm = (
            NormParameters(n, n if norm is not None and norm.kind == "layer" else 0) if has_gain else None for n in sizes
        )

    def use_parameters_like(self, projections: Any) -> None:
        """Have gains of the sizes of another module's, or none."""
        query, key = projections.query_norm, projections.key_norm
        if self.formula.qk_norm is not None:
            of = [
                None if g is None else NormParameters(g.weight.size, 0 if g.bias is None else g.bias.size) for g in (query, key)
            ]
            self.query_norm, self.key_norm = of

    def normed(self, x: Tensor, which: str) -> Tensor:
        """Return queries or keys [B, heads, T, d_k], normalised, with their gain."""
        return self.with_gain(self.units(x, which), which)

    def units(self, x: Tensor, which: str) -> Tensor:
        """Return them normalised."""
        norm = self.norm
        assert norm is not None
        if norm.over == "all":
            wide = x.transpose(1, 2).flatten(2)
            return self.divided(wide, norm).unflatten(-1, (x.size(1), -1)).transpose(1, 2)
        return self.divided(x, norm)

    def divided(self, x: Tensor, norm: QkNorm) -> Tensor:
        """Return x, divided along its last axis; formed in float32 at least, as usual code does."""
        y = x.to(torch.promote_types(x.dtype, torch.float32))
        eps = torch.finfo(y.dtype).eps if norm.eps == "dtype" else _USUAL[norm.kind] if norm.eps is None else float(norm.eps)
        y = self.centred(y) if norm.kind == "layer" else y
        return (y / self.root(y.square().sum(-1, keepdim=True) if norm.kind == "l2" else self.square(y), eps)).to(x.dtype)

    def centred(self, x: Tensor) -> Tensor:
        """Take the mean off."""
        return x - x.mean(-1, keepdim=True)

    def square(self, x: Tensor) -> Tensor:
        """Return the mean square."""
        return x.square().mean(-1, keepdim=True)

    def root(self, square: Tensor, eps: float) -> Tensor:
        """Return what to divide by."""
        norm = self.norm
        if norm is not None and norm.kind == "l2":
            return square.clamp_min(1e-300 if square.dtype == torch.float64 else 1e-38).sqrt().clamp_min(eps)
        return (square + eps).sqrt()

    def with_gain(self, x: Tensor, which: str) -> Tensor:
        """Multiply by the gain, and add the shift."""
        gain = self.query_norm if which == "query" else self.key_norm
        if gain is None:
            return x
        norm = self.norm
        weight, bias = self.spread(gain.weight, x), None if gain.bias is None else self.spread(gain.bias, x)
        x = x * (weight + 1.0 if norm is not None and norm.gain == "1 + weight" else weight)
        return x if bias is None else x + bias

    def spread(self, numbers: Tensor, x: Tensor) -> Tensor:
        """Return [d_k], or [heads, 1, d_k]."""
        return numbers if numbers.numel() == x.size(-1) else numbers.view(x.size(1), 1, -1)
