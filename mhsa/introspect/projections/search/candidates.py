"""The parameters that may be maps, and the ways to read their axes, of which gradients rule out some."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mhsa.introspect.projections.gradient_tags import Tags
from mhsa.introspect.projections.head_index import with_head_index
from mhsa.introspect.projections.role_names import QKV, named_roles
from mhsa.subject.parameter_layout import AxisReading, Sizes, packed_readings, readings, with_own_width

Weights = dict[str, AxisReading]  # how each is read, by its path

_BIAS = re.compile(r"b|b_.*|b(q|k|v|o|qkv|in|out)")  # names of biases
_SHARED = {"key", "value"}  # whose heads several query heads may share


@dataclass(frozen=True)
class Candidates:
    """The parameters that may be maps.

    Attributes:
        shapes: of every parameter, by its path, and of every map that is computed from several.
        groups: the paths of one map, by its own path: the copies of it in every head are one map, with # for the head's index.
        linear: paths of weights [out, in].
        sizes: of the module.
        grouped: whether keys and values may have fewer heads than queries.
        tags: where gradients flow.
    """

    shapes: Mapping[str, tuple[int, ...]]
    groups: Mapping[str, list[str]]
    linear: Collection[str]
    sizes: Sizes
    grouped: bool
    tags: Tags

    def shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of a map, or of its part in one head."""
        return self.shapes[self.groups[path][0]]

    def is_bias(self, path: str) -> bool:
        """Whether it is a bias, by its shape or its name."""
        last = path.rsplit(".", 1)[-1]
        return len([s for s in self.shape(path) if s > 1]) <= 1 or "bias" in last or _BIAS.fullmatch(last) is not None

    def is_packed(self, path: str) -> bool:
        """Whether a weight has the numbers of three maps of the full width, as torch's layers lay them out."""
        shape, width = self.shape(path), self.sizes.d_model
        return math.prod(shape) == 3 * width**2 and 3 * width in shape

    def readings(self, path: str, roles: tuple[str, ...], bias: bool = False) -> list[AxisReading]:
        """Return the ways to read the axes of a parameter as the weight, or the bias, of these roles; the usual one first."""
        per_head = "#" in path and path not in self.shapes
        shape, sizes = self.shape(path), self.sizes
        linear = self.groups[path][0] in self.linear
        if self.grouped and set(roles) == set(QKV):
            return list(packed_readings(shape, roles, sizes, linear=linear, bias=bias))
        shared = self.grouped and bool(roles) and set(roles) <= _SHARED
        for of_heads in sizes.shared() if shared else (sizes,):
            found = readings(shape, roles, of_heads, linear=linear, bias=bias, per_head=per_head)
            if listed := [replace(reading, shared=shared) for reading in found]:
                return listed
        if shared or (len(shape) < 2 and not bias):
            return []
        own = with_own_width(sizes, math.prod(shape), roles, bias=bias, per_head=per_head)
        return list(readings(shape, roles, own, linear=linear, bias=bias, per_head=per_head))

    def fitting(self, path: str, roles: tuple[str, ...]) -> list[AxisReading]:
        """Return the readings of a weight that its gradients show."""
        return [r for r in self.readings(path, roles) if self.shows(r, path)]

    def shows(self, reading: AxisReading, path: str) -> bool:
        """Whether the gradients of a weight are where this reading says."""
        return self.tags.fit(reading, self.groups[path], self.sizes)


def group_heads(shapes: Mapping[str, tuple[int, ...]], sizes: Sizes) -> dict[str, list[str]]:
    """Group paths so that the copies of one parameter in every head are one entry, its head index shown as #."""
    together: dict[str, list[str]] = {}
    for path, shape in shapes.items():
        own_width = len(shape) in (1, 2) and len(named_roles(path)) == 1  # a head may be as wide as the module
        if sizes.d_k in shape or 3 * sizes.d_k in shape or 2 * sizes.d_k in shape or own_width:
            for pattern in with_head_index(path):
                together.setdefault(pattern, []).append(path)
    groups: dict[str, list[str]] = {}
    for path in shapes:
        pattern = next((p for p in with_head_index(path) if len(together.get(p, [])) == sizes.head), path)
        groups.setdefault(pattern, []).append(path)
    return groups
