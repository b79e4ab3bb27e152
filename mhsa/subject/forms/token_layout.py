"""Which axis of an implementation's tensors is which: canonical tokens [B, T, D] are laid out for it, and its output back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mhsa.records.conventions.values import Layout

# What each axis holds: samples (b), tokens (t) or features (d); several axes of one kind hold their product.
_AXES: dict[Layout, str] = {
    "BTD": "btd", "TBD": "tbd", "BDT": "bdt", "BNTD": "bbtd", "BTND": "btbd", "TNBD": "tbbd",
    "BCHW": "bdtt", "BD1T": "bdtt", "BHWC": "bttd", "BCDHW": "bdttt", "BDHWC": "btttd",
    "BDT>BTD": "bdt",
    "BCHN": "bdtb", "BCDNN": "bdtbb", "BCNHN": "bdbtb", "BCNNW": "bdbbt", "BCNHW": "bdbtt",
}  # fmt: skip
_OF_KEYS: dict[Layout, Layout] = {"BCHW,BTD": "BTD", "BTD,BCHW": "BCHW"}  # where keys and values lie in another way
_OF_QUERIES: dict[Layout, Layout] = {"BCHW,BTD": "BCHW", "BTD,BCHW": "BTD"}


@dataclass(frozen=True)
class TokenLayout:
    """One layout of the tokens that a module takes and returns: ``"BTD"`` and those of :class:`mhsa.Contract` for modules."""

    layout: Layout

    @property
    def returns_tokens(self) -> bool:
        """Whether the output is [B, T, D], however the tokens are given."""
        return self.layout == "BDT>BTD"

    def give(self, query: Tensor, key: Tensor, value: Tensor, *, masked: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Lay out query, key and value, each [B, T, D]; tensors that are one object stay one object.

        Where they are ``masked`` further axes of samples have size 1: how masks are shared among them is not known.
        """
        if self.layout == "BTD":
            return query, key, value
        if self.layout in _OF_KEYS:
            own, other = self._of(_OF_QUERIES), self._of(_OF_KEYS)
            keys, values, _ = other.give(key, value, value, masked=masked)
            return own.give(query, query, query, masked=masked)[0], keys, values
        laid = {id(x): self._laid(x, masked=masked) for x in (query, key, value)}
        return laid[id(query)], laid[id(key)], laid[id(value)]

    def take(self, output: Any) -> Any:
        """Return an output as [B, T, D]; anything but a tensor of the layout's rank is returned as it is."""
        if self._axes == "btd" or self.returns_tokens or not isinstance(output, Tensor) or output.dim() != len(self._axes):
            return output
        samples, tokens = self.count("b"), self.count("t")
        output = output.permute(self._order)
        return output.flatten(samples, samples + tokens - 1).flatten(0, samples - 1)

    def count(self, kind: str) -> int:
        """Return how many axes are of samples (``"b"``), or of tokens (``"t"``), in the outputs."""
        return self._axes.count(kind)

    def most(self, kind: str) -> int:
        """Return the same, in queries or in keys: wherever there are more."""
        return max(self.count(kind), self._of(_OF_KEYS).count(kind))

    def samples(self, batch: int) -> int:
        """Return how many of a batch's samples the first axis of samples has."""
        return sizes_of(batch, self.count("b"))[0]

    @property
    def _axes(self) -> str:
        return _AXES[_OF_QUERIES.get(self.layout, self.layout)]

    def _of(self, which: dict[Layout, Layout]) -> TokenLayout:
        return TokenLayout(which.get(self.layout, self.layout))

    @property
    def _order(self) -> list[int]:
        """The places of samples, tokens and features among the axes."""
        return sorted(range(len(self._axes)), key=lambda n: "btd".index(self._axes[n]))

    def _laid(self, x: Tensor, *, masked: bool) -> Tensor:
        samples, tokens = self.count("b"), self.count("t")
        first = (x.size(0), *[1] * (samples - 1)) if masked else sizes_of(x.size(0), samples)
        second = (1, x.size(1)) if self.layout == "BD1T" else sizes_of(x.size(1), tokens)
        order, laid = self._order, x.reshape(*first, *second, x.size(2))
        if order == sorted(order):
            return laid
        laid = laid.permute([order.index(n) for n in range(len(order))])
        # What comes contiguous is contiguous in the other layout, too, as a caller's tensor would be. A clone has the strides
        # of a new tensor where an axis has size 1, too: contiguous() leaves others, with which torch's GroupNorm crashes.
        return laid.clone(memory_format=torch.contiguous_format) if x.is_contiguous() else laid


def sizes_of(number: int, axes: int) -> tuple[int, ...]:
    """Return the sizes, nearest to a square or cube, of so many axes with this number of places."""
    if axes == 1:
        return (number,)
    first = next((n for n in range(number, 0, -1) if n**axes <= number and number % n == 0), 1)
    return (first, *sizes_of(number // first, axes - 1))
