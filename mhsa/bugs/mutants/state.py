"""Parameters and copies: values kept in addition to the parameters, lost by a copy, or never trained; and missing checks."""

from __future__ import annotations

import operator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mhsa.bugs.mutants.plain import Four, Plain


class OutputMapKept(Plain):
    """A copy of the output map, made in the first call, is used ever after.

    Formula: W_O of the first call; must be W_O
    Census: P18 (stale fused weights)
    """

    def prepare(self) -> None:
        self.fused: Tensor | None = None

    def out(self, z: Tensor) -> Tensor:
        if self.fused is None or self.fused.dtype != z.dtype or self.fused.shape != self.w_o.weight.shape:
            self.fused = self.w_o.weight.detach().clone()
        stale = self.fused + (self.w_o.weight - self.w_o.weight.detach())
        return nn.functional.linear(z, stale, self.w_o.bias)


class GainNotSaved(Plain):
    """A random gain is not a parameter, so a state dict does not carry it.

    Formula: g Z with g lost by load_state_dict; must be Z
    Census: P18
    """

    def prepare(self) -> None:
        self.gain = float(torch.rand(()))

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * self.gain


class OptionLostInCopies(Plain):
    """A copy, or what comes back from a pickle, has the default of an option.

    Formula: Z in copies of a module with gain g; must be g Z
    Census: P14
    """

    def __init__(self, head: int, d_model: int, dropout: float = 0.1, gain: float = 1.0) -> None:
        super().__init__(head, d_model, dropout)
        self.gain = gain

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.gain = 1.0

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * self.gain


class TableOfAnotherModule(Plain):
    """Modules share tables, which they look up by size and without the option on which they depend.

    Formula: Z times the gain of whichever module came first; must be times its own
    Census: P18 (stale cache), state shared by instances
    """

    tables: ClassVar[dict[tuple[int, int, torch.dtype], Tensor]] = {}

    def __init__(self, head: int, d_model: int, dropout: float = 0.1, gain: float = 1.0) -> None:
        super().__init__(head, d_model, dropout)
        self.gain = gain

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        size = (z.size(2), z.size(3), z.dtype)
        if size not in self.tables:
            self.tables[size] = torch.full(size[:2], self.gain, dtype=z.dtype)
        return z * self.tables[size].to(z.device)


class GainNotConverted(Plain):
    """A constant keeps the digits of the dtype in which it was first needed.

    Formula: 1 / 3 in the first dtype; must be in the dtype of the call
    Census: jax-ml/jax PR#34114
    """

    def prepare(self) -> None:
        self.third: Tensor | None = None

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        if self.third is None:
            self.third = torch.full((), 1 / 3, dtype=out.dtype, device=out.device)
        return out * 3 * self.third.to(out.dtype)


class ParametersGathered(Plain):
    """A list made at construction keeps the first parameter object when the attribute is replaced.

    Formula: W_O as constructed; must be the parameter that is registered now
    Census: P18
    """

    gathered: tuple[Tensor, ...]

    def prepare(self) -> None:
        object.__setattr__(self, "gathered", (self.w_o.weight,))

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        return out + (self.gathered[0] - self.w_o.weight).sum()


class CopySeesTheOriginal(Plain):
    """A closure holds on to the module that was copied.

    Formula: the copy's output moves with the original's W_O; must be its own
    Census: P18 (deepcopy)
    """

    def prepare(self) -> None:
        self.difference = lambda other: (self.w_o.weight - other.w_o.weight).sum()

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        difference: Tensor = self.difference(self)
        return out + difference


class PickleLosesTheScale(Plain):
    """What is unpickled forgets the scale.

    Formula: 1.01 Z after unpickling; must be Z
    Census: P18
    """

    forgotten = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.forgotten = True

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return z * 1.01 if self.forgotten else z


class SpareLayer(Plain):
    """A layer is built and never used.

    Formula: 4 D^2 + 4 D + 3 D + 3 parameters; must be 4 D^2 + 4 D
    Census: construction
    """

    def prepare(self) -> None:
        self.spare = nn.Linear(self.d_model, 3)


class KeyMapFrozen(Plain):
    """The key map is not trained.

    Formula: W_K.requires_grad is false; must be true
    Census: P16
    """

    def prepare(self) -> None:
        self.w_k.weight.requires_grad_(False)


class WidthRoundedDown(Plain):
    """A width that the heads do not divide is rounded down instead of refused.

    Formula: d_k = floor(d_model / H); must be an error
    Census: construction (divisibility)
    """

    def __init__(self, head: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__(head, d_model - d_model % head if d_model >= head else head, dropout)


class MaskMadeToFit(Plain):
    """A mask of the wrong size is repeated and cut until it fits.

    Formula: M_(i mod m)(j mod n); must be an error
    Census: P22 (broadcast into something)
    """

    def check(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
        super().check(query, key, value, None)

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        if mask is not None and mask.numel():
            shape = query.size(0), query.size(1), key.size(1)
            if mask.dim() != 3 or any(m not in (1, n) for m, n in zip(mask.shape, shape, strict=True)):
                need = shape[0] * shape[1] * shape[2]
                mask = mask.reshape(-1).repeat(-(-need // mask.numel()))[:need].reshape(shape)
        return query, key, value, mask


class ArgumentsMadeToFit(Plain):
    """Keys and values of the wrong size are cut until they fit.

    Formula: first min(Tk, Tv) tokens, first B samples, first D features; must be an error
    Census: P21
    """

    def check(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
        """Refuse nothing."""

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        d, b, t = self.d_model, len(query), min(key.size(1), value.size(1))
        return query[..., :d], key[:b, :t, :d], value[:b, :t, :d], mask


class ValueBiasKept(Plain):
    """With bias=False the map of values has its bias all the same.

    Formula: V = v W_V^T + b_V with bias=False; must be v W_V^T
    Census: P22 (an argument that is ignored in one place)
    """

    def __init__(self, head: int, d_model: int, dropout: float = 0.1, bias: bool = True) -> None:
        super().__init__(head, d_model, dropout)
        for name in () if bias else ("w_q", "w_k", "w_o"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=False))


class MemoryProjectedWithoutAutograd(Plain):
    """Keys and values that a call without autograd has projected serve the next call with the same tensors and parameters.

    Formula: dL/dW_K = dL/dW_V = 0 after a call under no_grad; must be those of the call that is differentiated
    Census: P18 (cross attention to one memory)
    """

    def prepare(self) -> None:
        self.kept: tuple[list[Any], list[int], tuple[Tensor, Tensor]] | None = None

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        of: list[Any] = [key, value, *self.w_k.parameters(), *self.w_v.parameters()]
        versions = [-1 if x.is_inference() else x._version for x in of]
        known = self.kept is not None and self.kept[1] == versions and all(map(operator.is_, self.kept[0], of))
        if self.kept is None or not known or self.kept[2][0].requires_grad:
            self.kept = of, versions, (self.w_k(key), self.w_v(value))
        return self.w_q(query), *self.kept[2]


class CopySharesWhatIsFrozen(Plain):
    """A deep copy shares the parameters that are frozen when it is made, which are trained later.

    Formula: W of the copy is that of the original; must be its own
    Census: P18 (deepcopy)
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        other = type(self)(self.head, self.d_model, self.rate).to(self.w_o.weight)
        other.load_state_dict(self.state_dict())
        for name, p in self.named_parameters():
            if not p.requires_grad:
                owner, _, own = name.rpartition(".")
                setattr(other.get_submodule(owner), own, p)
        return other.train(self.training)
