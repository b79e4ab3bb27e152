"""The four maps of a module, read and written in place, however the module stores them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class View:
    """One matrix or vector of a role: ``pieces`` are views into the module's parameters, joined along ``dim``.

    ``fixed`` says why it cannot be set to any numbers, where it is not a parameter (:mod:`mhsa.subject.computed_views`).
    """

    pieces: tuple[Tensor, ...]
    dim: int = 0
    fixed: str = ""

    def read(self) -> Tensor:
        """Return the numbers, perhaps in place: weight [D_out, D_in] or bias [D_out]."""
        if len(self.pieces) == 1:
            return self.pieces[0].detach()
        return torch.cat([piece.detach() for piece in self.pieces], dim=self.dim)

    def write(self, values: Tensor) -> None:
        """Copy ``values``, shaped as :meth:`read` and of any dtype, into the module's parameters."""
        if len(self.pieces) == 1:
            self.pieces[0].detach().copy_(values)
            return
        parts = torch.split(values, [piece.size(self.dim) for piece in self.pieces], self.dim)
        for piece, part in zip(self.pieces, parts, strict=True):
            piece.detach().copy_(part)

    def gradient(self, of_parameters: Mapping[Tensor, Tensor]) -> tuple[Tensor, bool]:
        """Return the gradient, shaped as :meth:`read`, and whether every piece has one (zero where it has not).

        ``of_parameters`` maps the module's parameters to their gradients. Pieces are found in them by where they lie
        in memory, so that it does not matter how a view was made; several parameters may lie in one stretch of it.
        """
        pieces, complete = [], True
        for piece in self.pieces:
            owner = next(((p, g) for p, g in of_parameters.items() if lies_in(piece, p)), None)
            if owner is None:
                pieces.append(torch.zeros_like(piece.detach()))
                complete = False
                continue
            parameter, gradient = owner
            alike = torch.empty_strided(parameter.size(), parameter.stride(), dtype=gradient.dtype, device=gradient.device)
            alike.copy_(gradient)
            offset = piece.storage_offset() - parameter.storage_offset()
            pieces.append(alike.as_strided(piece.size(), piece.stride(), offset))
        return torch.cat(pieces, dim=self.dim), complete

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the joined matrix."""
        if len(self.pieces) == 1:
            return tuple(self.pieces[0].shape)
        shape = list(self.pieces[0].shape)
        shape[self.dim] = sum(piece.size(self.dim) for piece in self.pieces)
        return tuple(shape)


def lies_in(piece: Tensor, parameter: Tensor) -> bool:
    """Whether a view begins within a parameter."""
    if piece.untyped_storage().data_ptr() != parameter.untyped_storage().data_ptr():
        return False
    reach = sum((size - 1) * stride for size, stride in zip(parameter.size(), parameter.stride(), strict=True))
    return 0 <= piece.storage_offset() - parameter.storage_offset() <= reach


@dataclass(frozen=True)
class Role:
    """One affine map: weight [D_out, D_in] and, if the module has one, bias [D_out]."""

    weight: View
    bias: View | None = None


@dataclass(frozen=True)
class Projections:
    """query, key, value: rows h * d_k : (h + 1) * d_k belong to head h; out: columns do.

    ``sources`` are parameters that maps are computed from, with a name each: a case gives them numbers, too. ``sinks`` [H] are
    logits that take part in the softmax. ``query_norm`` and ``key_norm`` are gain and shift of normalised queries and keys,
    [d_k] or [heads * d_k]; ``table`` [buckets, H] holds biases of distances.
    """

    query: Role
    key: Role
    value: Role
    out: Role
    sources: tuple[tuple[str, View], ...] = ()
    sinks: View | None = None
    query_norm: Role | None = None
    key_norm: Role | None = None
    table: View | None = None

    def views(self) -> Iterator[tuple[str, View]]:
        """Every weight and bias that is a parameter, with its name, ``query.weight`` and so on, always in the same order."""
        return ((name, view) for name, view in self.maps() if not view.fixed)

    def maps(self) -> Iterator[tuple[str, View]]:
        """Every weight and bias, whether a parameter, computed from some, or an identity that is not stored; gains, sinks."""
        for name in ("query", "key", "value", "out", "query_norm", "key_norm"):
            role: Role | None = getattr(self, name)
            if role is not None:
                yield f"{name}.weight", role.weight
            if role is not None and role.bias is not None:
                yield f"{name}.bias", role.bias
        if self.sinks is not None:
            yield "sinks", self.sinks
        if self.table is not None:
            yield "table", self.table

    @property
    def fixed(self) -> dict[str, str]:
        """Names of the maps that are not parameters, each with the reason why it cannot be set to any numbers."""
        return {name: view.fixed for name, view in self.maps() if view.fixed}

    @classmethod
    def of_linears(
        cls, query: object, key: object, value: object, out: object, sinks: Tensor | None = None,
        query_norm: object = None, key_norm: object = None, table: Tensor | None = None,
    ) -> Projections:  # fmt: skip
        """Make the views of four ``nn.Linear`` modules, or of (weight [D_out, D_in], bias) pairs; of sinks [H] and of norms.

        A norm is a module or pair of a gain and a shift [d_k] or [heads * d_k]; one without a gain is none.
        """
        view = None if sinks is None else View((sinks.view(-1),))
        first, second = (None if norm is None else _role(norm) for norm in (query_norm, key_norm))
        of_table = None if table is None else View((table,))
        maps = _role(query), _role(key), _role(value), _role(out)
        return cls(*maps, sinks=view, query_norm=first, key_norm=second, table=of_table)


def _role(linear: object) -> Role:
    weight, bias = linear if isinstance(linear, Sequence) else (linear.weight, linear.bias)  # type: ignore[attr-defined]
    return Role(View((weight,)), None if bias is None else View((bias,)))
