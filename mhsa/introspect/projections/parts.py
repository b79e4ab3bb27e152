"""Parameters of which a map is a part: four projections in one parameter, an out projection of more than the heads.

Each part is a view of the parameter; those of four maps have paths of their own, ``weights[first]`` and so on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mhsa.introspect.projections.role_names import ROLES
from mhsa.subject.parameter_layout import AxisReading, Sizes

_MAPS = len(ROLES)
_PLACES = ("[first]", "[second]", "[third]", "[fourth]")  # no digits, which would be the index of a head


@dataclass(frozen=True)
class Four:
    """A parameter that holds four maps of the full width, or their biases, along an axis.

    ``joined``: the axis holds the features of all four; else there is one of size 4.
    """

    path: str
    axis: int
    joined: bool

    def parts(self, whole: Tensor) -> dict[str, Tensor]:
        """Return views of the four, by paths of their own."""
        width = whole.size(self.axis) // _MAPS
        each = torch.split(whole, width, self.axis) if self.joined else whole.unbind(self.axis)
        return {self.path + place: part for place, part in zip(_PLACES, each, strict=True)}


@dataclass(frozen=True)
class Parts:
    """Which parameters are taken apart, by their paths.

    Attributes:
        four: the one that holds four maps, and that of their biases where there is one.
        joined: path of the weight [d_model, d_model + heads] of an out projection that takes more than the heads.
        heads_first: whether the heads are the first features that it takes.
    """

    four: tuple[Four, ...] = ()
    joined: str = ""
    heads_first: bool = False

    def __bool__(self) -> bool:
        return bool(self.four or self.joined)

    def taken(self, parameters: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
        """Return parameters, or their gradients, by path, with views of parts in the place of those that are taken apart."""
        found: dict[str, Tensor] = {}
        fours = {four.path: four for four in self.four}
        for path, whole in parameters.items():
            if path in fours:
                found |= fours[path].parts(whole)
            elif path == self.joined:
                found[path] = whole[:, : -sizes.d_model] if self.heads_first else whole[:, sizes.d_model :]
            else:
                found[path] = whole
        return found

    def of_the_query(self, parameters: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
        """Return the part of a joined weight that is the query's, and belongs to no map, by a path of its own."""
        if not self.joined:
            return {}
        whole = parameters[self.joined]
        return {f"{self.joined}[query]": whole[:, -sizes.d_model :] if self.heads_first else whole[:, : sizes.d_model]}


WHOLE = Parts()  # every parameter is one


def four_in_one(module: nn.Module, sizes: Sizes) -> Parts:
    """Return the only parameter with the numbers of four maps of the full width, and that of their biases; none if none is."""
    width = sizes.d_model
    known = {path: tuple(p.shape) for path, p in module.named_parameters(remove_duplicate=False)}
    matrices, biases = (
        tuple(Four(path, *axes[shape]) for path, shape in known.items() if shape in axes) for axes in _axes(width)
    )
    return Parts((*matrices, *biases)) if len(matrices) == 1 and len(biases) < 2 else WHOLE


def _axes(width: int) -> Iterator[dict[tuple[int, ...], tuple[int, bool]]]:
    """Yield the shapes of four maps [width, width], and of four biases [width], each with the axis and whether it is joined."""
    all_maps = _MAPS * width
    yield {
        (all_maps, width): (0, True), (_MAPS, width, width): (0, False),
        (width, all_maps): (1, True), (width, _MAPS, width): (1, False),
    }  # fmt: skip
    yield {(all_maps,): (0, True), (_MAPS, width): (0, False)}


def place_of(path: str) -> str:
    """Return which of four parts a path is that of; empty where it is none."""
    return next((place for place in _PLACES if path.endswith(place)), "")


def read_four(parts: Parts, fits: Callable[[str, AxisReading], bool]) -> dict[str, AxisReading]:
    """Return how the four maps of one parameter are read: in the first order, all of them the same way round, that fits.

    Where none fits, which a wrong module may be to blame for, they are query, key, value and out, stored as linear layers are.
    The weight of a layer is none then: four maps that are applied at once are no out projection.
    """
    paths = [parts.four[0].path + place for place in _PLACES] if parts.four else []

    def orders() -> Iterator[dict[str, AxisReading]]:
        for turned, order in itertools.product((False, True), itertools.permutations(ROLES)):
            labels = {role: ("out", "hd") if role == "out" else ("hd", "in") for role in ROLES}
            yield {
                path: AxisReading((role,), labels[role][::-1] if turned else labels[role])
                for path, role in zip(paths, order, strict=True)
            }

    fitting = next((o for o in orders() if all(fits(p, r) for p, r in o.items())), None) if paths else {}
    if fitting is None:
        return {} if parts.four[0].path.endswith(".weight") else next(orders())
    return fitting
