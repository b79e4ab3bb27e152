"""How a parameter's axes are to be read: which is the input, which the heads, which the packed query, key, value.

Labels: ``in`` and ``out`` (d_model features), ``h`` (heads), ``d`` (d_k), ``p`` (position among packed roles), ``one``
(size 1); joined letters are one axis that holds several, outermost first: ``hd`` is the usual d_model output axis of a
query projection, ``phd`` the output axis of a packed one, ``dph`` that of one whose heads are innermost. ``cat`` and ``per``
are packed axes of fewer key heads (:mod:`mhsa.subject.packed_groups`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from mhsa.subject.forms import packed_groups

_JOINED = ("hd", "phd", "hpd", "hdp", "dph", "pd", "dp", "ph", "hp")
_AS_LINEAR = (("hd", "in"), ("out", "hd"), ("hd",), ("out",))


@dataclass(frozen=True)
class Sizes:
    """Sizes of one module; ``inner`` is the width of a head inside, where it is not d_k = d_model / head."""

    head: int
    d_k: int
    inner: int = 0
    width: int = 0  # d_model, where it is not head * d_k: of keys and values that several query heads share

    @property
    def d_model(self) -> int:
        """Width: head * d_k, unless it is given."""
        return self.width or self.head * self.d_k

    def shared(self) -> Iterator[Sizes]:
        """Sizes of keys and values, for each number of heads that they may have: most first."""
        for heads in range(self.head, 0, -1):
            if self.head % heads == 0:
                yield replace(self, head=heads, width=self.d_model)

    def of(self, label: str, packed: int) -> int:
        """Size of an axis with this label when ``packed`` roles share the parameter."""
        size = {"in": self.d_model, "out": self.d_model, "h": self.head, "d": self.inner or self.d_k, "p": packed, "one": 1}
        if label in size:
            return size[label]
        product = 1
        for letter in label:
            product *= size[letter]
        return product


@dataclass(frozen=True)
class AxisReading:
    """One way to read a parameter: the roles it holds (several when packed), and a label per axis."""

    roles: tuple[str, ...]
    labels: tuple[str, ...]
    bias: bool = False
    per_head: bool = False
    shared: bool = False  # whether there may be fewer heads than those of the queries

    @property
    def words(self) -> str:
        """Its axes as a reader knows their sizes: [3 x H x d_k, d_model] holds query, key and value, each head by head."""
        sizes = {"in": "d_model", "out": "d_model", "h": "H", "d": "d_k", "p": str(len(self.roles)), "one": "1"}
        sizes |= {packed_groups.CAT: "(H + 2 kv_heads) x d_k", packed_groups.PER: "kv_heads x (H / kv_heads + 2) x d_k"}
        axes = [sizes.get(label) or " x ".join(sizes[letter] for letter in label) for label in self.labels]
        return f"[{', '.join(axes)}]"

    def _fits(self, shape: tuple[int, ...], sizes: Sizes) -> bool:
        """Whether a parameter of this shape has these sizes."""
        return tuple(sizes.of(label, len(self.roles)) for label in self.labels) == shape

    def _is_in_order(self, shape: tuple[int, ...], contiguous: bool, sizes: Sizes) -> bool:
        """Whether it is stored as ``nn.Linear`` does: all heads are one piece, and nothing need be split and joined again."""
        if self.shared or not contiguous or self.labels not in _AS_LINEAR or len(shape) != len(self.labels):
            return False
        widths = [size for size, label in zip(shape, self.labels, strict=True) if label == "hd"]
        return all(size == sizes.d_model for size, label in zip(shape, self.labels, strict=True) if label != "hd") and all(
            size % sizes.head == 0 for size in widths
        )

    def of_tokens(self, parameter: Tensor, sizes: Sizes) -> Tensor:
        """Return a view of what belongs to the first d_model features of an input that has more."""
        for axis, label in enumerate(self.labels if parameter.dim() == len(self.labels) else ()):
            if label == "in" and parameter.size(axis) > sizes.d_model:
                parameter = parameter.narrow(axis, 0, sizes.d_model)
        return parameter

    def pieces(self, parameter: Tensor, role: str, sizes: Sizes) -> list[Tensor]:
        """Return views in head order: [d_k, D_in] for query, key, value; [D_out, d_k] for out; [d_k] or [D_out]."""
        if self._is_in_order(tuple(parameter.shape), parameter.is_contiguous(), sizes):
            return [parameter]
        packed = next((label for label in self.labels if label in (packed_groups.CAT, packed_groups.PER)), "")
        if packed:
            first = parameter.transpose(0, 1) if self.labels[0] != packed else parameter
            return packed_groups.pieces(first, packed, role, self.roles, sizes.head, sizes.d_k)
        if self.shared:
            shape = tuple(parameter.shape)
            sizes = next((own for own in sizes.shared() if self._fits(shape, own)), sizes)
        view = parameter
        sizes = with_own_width(sizes, parameter.numel(), self.roles, bias=self.bias, per_head=self.per_head)
        labels: list[str] = []
        for label in self.labels:
            if label in _JOINED:
                inner = [sizes.of(letter, len(self.roles)) for letter in label]
                view = view.view(*view.shape[: len(labels)], *inner, *view.shape[len(labels) + 1 :])
                labels += list(label)
            else:
                labels.append(label)
        for gone in [i for i, label in enumerate(labels) if label == "one"][::-1]:
            view = view.squeeze(gone)
            labels.pop(gone)
        if "p" in labels:
            view = view.select(labels.index("p"), self.roles.index(role))
            labels.remove("p")
        order = ("h", "out", "d") if role == "out" else ("h", "d", "in")
        view = view.permute([labels.index(label) for label in order if label in labels])
        if "h" not in labels:
            return [view]
        # Heads that lie one after the other are one piece: few pieces are read and written faster than many.
        at = 1 if role == "out" and not self.bias else 0
        joined = view.transpose(0, 1) if at else view
        if joined.stride(at) == joined.size(at + 1) * joined.stride(at + 1):
            return [joined.flatten(at, at + 1)]
        return list(view.unbind(0))


def with_own_width(sizes: Sizes, count: int, roles: tuple[str, ...], *, bias: bool, per_head: bool) -> Sizes:
    """Return sizes with the width of a head that a parameter of ``count`` numbers has, which need not be d_k."""
    if bias and roles == ("out",):
        return sizes
    others = len(roles) * (1 if per_head else sizes.head) * (1 if bias else sizes.d_model)
    return sizes if count % others or count // others == sizes.d_k else replace(sizes, inner=count // others)


def readings(
    shape: tuple[int, ...], roles: tuple[str, ...], sizes: Sizes, *, linear: bool, bias: bool, per_head: bool
) -> Iterator[AxisReading]:
    """Every reading of a parameter of this shape, the most usual first; ``linear``: stored as nn.Linear stores it."""
    side = "out" if roles == ("out",) else "in"
    expected = sorted(_expected_axes(side, packed=len(roles) > 1, bias=bias, per_head=per_head))
    known = ("in", "hd", "out", "h", "d", "p", "phd", "hpd", "hdp", "dph", "pd", "dp", "ph", "hp", "one")
    options = [[label for label in known if sizes.of(label, len(roles)) == size] for size in shape]
    for labels in itertools.product(*options):
        simple = sorted(s for label in labels for s in (label if label in _JOINED else [label]) if s != "one")
        if simple != expected:
            continue
        if linear and not bias and [label for label in labels if label != "one"][0 if side == "out" else -1] != side:
            continue  # a convolution's weight has axes of size 1 behind
        yield AxisReading(roles, labels, bias, per_head)


def packed_readings(
    shape: tuple[int, ...], roles: tuple[str, ...], sizes: Sizes, *, linear: bool, bias: bool
) -> Iterator[AxisReading]:  # fmt: skip
    """Every reading of a parameter that holds queries, keys and values, of which there may be fewer heads than of queries."""
    for packed in (packed_groups.CAT, packed_groups.PER):
        for labels in [(packed,)] if bias else [(packed, "in"), ("in", packed)][: 1 if linear else 2]:
            rows = shape[labels.index(packed)] if len(shape) == len(labels) else 0
            inner = bias or shape[labels.index("in")] == sizes.d_model if rows else False
            if inner and packed_groups.heads_of_keys(rows, sizes.head, sizes.d_k):
                yield AxisReading(roles, labels, bias, shared=True)


def _expected_axes(side: str, *, packed: bool, bias: bool, per_head: bool) -> list[str]:
    if bias and side == "out":
        return ["out"]
    axes = ["d"] if bias else [side, "d"]
    return axes + ([] if per_head else ["h"]) + (["p"] if packed else [])
