"""Which parameter is which, by where gradients flow: one backward pass of tagged inputs.

The query carries only feature 0, the key only feature 1, the value only feature 2, so the gradient of each weight is confined
to the columns of its role. No number is compared with an expected one: a wrong scale, axis or mask does not disturb it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mhsa.introspect.projections.parts import Parts
from mhsa.subject.forms.kept_for_gradients import kept_for_gradients
from mhsa.subject.forms.numpy_class import differentiated
from mhsa.subject.parameter_layout import AxisReading, Sizes

# Gradients below this share of the largest count as zero: rounding in float64 leaves about 1e-16, real ones about 1.
_NOTHING = 1e-9

Forward = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Tags:
    """Gradients of the two tagged passes; empty where the module does not let gradients through."""

    inputs: str
    two_keys: dict[str, Tensor]
    one_key: dict[str, Tensor]

    def without(self, computed: Collection[str]) -> Tags:
        """Return the gradients of plain parameters alone: those that a map is computed from have other axes."""
        two, one = ({p: g for p, g in x.items() if p not in computed} for x in (self.two_keys, self.one_key))
        return Tags(self.inputs, two, one)

    def of_parts(self, parts: Parts, sizes: Sizes) -> Tags:
        """Return the gradients of the parts of those parameters that are taken apart."""
        if not parts:
            return self
        return Tags(self.inputs, parts.taken(self.two_keys, sizes), parts.taken(self.one_key, sizes))

    def moves(self, path: str) -> bool:
        """Whether a parameter changes the result (yes, when nothing is known)."""
        if not self.two_keys:
            return True
        return any(path in g and _largest([g[path]]) > 0 for g in (self.two_keys, self.one_key))

    def moves_alone(self, path: str) -> bool:
        """Whether a parameter changes the result for a single key, whose weight is 1 whatever the score."""
        scale = _largest(self.one_key.values())
        return path in self.one_key and _largest([self.one_key[path]]) > _NOTHING * scale

    def fit(self, reading: AxisReading, members: list[str], sizes: Sizes) -> bool:
        """Whether the gradients are confined as this reading says."""
        return all(self._fits_role(reading, role, members, sizes) for role in reading.roles)

    def _fits_role(self, reading: AxisReading, role: str, members: list[str], sizes: Sizes) -> bool:
        if not self.two_keys:
            return False
        tagged = {"qkv": ("0", "1", "2"), "q,kv": ("0", "1", "1"), "x": ("0", "01", "01")}[self.inputs]
        columns = {"query": tagged[0], "key": tagged[1], "value": tagged[2], "out": "0"}[role]
        expected = set(columns)
        if any(member not in self.two_keys for member in members):
            return False
        two = [self._canonical(self.two_keys, reading, role, m, sizes) for m in members]
        support = {str(i) for g in two for i in self._support(g, 0 if role == "out" else 1)}
        if support != expected:
            return False
        if self.inputs == "qkv" or role == "out":
            return True
        # With a single key its weight is 1 whatever the score: only value and out matter then.
        one = [self._canonical(self.one_key, reading, role, m, sizes) for m in members]
        scale = _largest(self.one_key.values())
        moved = _largest(one) > _NOTHING * scale
        return moved == (role == "value")

    @staticmethod
    def _canonical(gradients: dict[str, Tensor], reading: AxisReading, role: str, path: str, sizes: Sizes) -> Tensor:
        return torch.cat(reading.pieces(gradients[path], role, sizes), dim=1 if role == "out" else 0)

    def _support(self, gradient: Tensor, axis: int) -> list[int]:
        scale = _largest(self.two_keys.values())
        size = gradient.abs().amax(dim=1 - axis)
        return [i for i, s in enumerate(size.tolist()) if s > _NOTHING * scale]


def _largest(gradients: Iterable[Tensor]) -> float:
    """Return the largest absolute number; 0 where there is none: a parameter may be empty."""
    return max((float(g.abs().max()) for g in gradients if g.numel()), default=0.0)


def tag(module: nn.Module, sizes: Sizes, forward: Forward, inputs: str) -> Tags:
    """Call ``forward`` on tagged inputs, with two keys and with one, and keep the gradients of every parameter.

    Those of the last query's output, which sees both keys where attention is causal; of the first one's where that moves more.
    """
    width = sizes.d_model
    if width < 3:
        return Tags(inputs, {}, {})
    parameters = {path: p for path, p in module.named_parameters(remove_duplicate=False) if p.requires_grad}

    def answered(keys: int, features: tuple[int, int]) -> Tensor:
        """Return the output [1, Tq, D] where queries, keys and values differ in the features that they have."""

        def tagged(features: Sequence[int]) -> Tensor:
            x = torch.zeros(1, keys, width, dtype=torch.float64)
            for position, feature in enumerate(features[:keys]):
                x[0, position, feature] = 1.0 + 0.5 * position
            return x

        if inputs == "x":
            query = key = value = tagged(features)
        else:
            query, key = tagged((0, 0)), tagged((1, 1))
            value = key if inputs == "q,kv" else tagged((2, 2))
        with differentiated(), kept_for_gradients():
            return forward(query, key, value)

    def gradients(out: Tensor, row: int) -> dict[str, Tensor]:
        found = torch.autograd.grad(out[0, row, 0], list(parameters.values()), allow_unused=True, retain_graph=True)
        return {p: torch.zeros_like(parameters[p]) if g is None else g for p, g in zip(parameters, found, strict=True)}

    def moved(of: dict[str, Tensor]) -> int:
        return sum(int(gradient.count_nonzero()) for gradient in of.values())

    try:
        last = answered(2, (1, 0))
        first = answered(2, (0, 1)) if inputs == "x" else last  # the query's own feature is 0 in both
        two = max(gradients(last, -1), gradients(first, 0), key=moved)  # the first of them where both move as much
        return Tags(inputs, two, gradients(answered(1, (0, 0)), -1))
    except Exception:  # whatever is wrong with this module, its properties will say so; tags only settle choices
        return Tags(inputs, {}, {})
