"""Which axis of an implementation's tensors is which: canonical tokens [B, T, D] are laid out for it, and its output back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mhsa.records.conventions.values import Layout


@dataclass(frozen=True)
class TokenLayout:
    """One layout of the tokens that a module takes and returns: ``"BTD"`` and those of :class:`mhsa.Contract` for modules."""

    layout: Layout

    def give(self, query: Tensor, key: Tensor, value: Tensor, *, masked: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Lay out query, key and value, each [B, T, D]; tensors that are one object stay one object.

        Where they are ``masked`` a second axis of samples has size 1: how masks are shared among them is not known.
        """
        if self.layout == "BTD":
            return query, key, value
        if self.layout == "BNTD" and masked:
            laid = {id(x): x.unsqueeze(1) for x in (query, key, value)}
        else:
            laid = {id(x): self._laid(x) for x in (query, key, value)}
        return laid[id(query)], laid[id(key)], laid[id(value)]

    def take(self, output: Any) -> Any:
        """Return an output as [B, T, D]; anything but a tensor of the layout's rank is returned as it is."""
        if not isinstance(output, Tensor) or output.dim() != (4 if self.layout in ("BCHW", "BD1T", "BHWC", "BNTD") else 3):
            return output
        if self.layout == "BNTD":
            return output.flatten(0, 1)
        if self.layout == "BHWC":
            return output.flatten(1, 2)
        if self.layout == "TBD":
            return output.transpose(0, 1)
        if self.layout == "BDT":
            return output.transpose(1, 2)
        return output.flatten(2).transpose(1, 2) if self.layout in ("BCHW", "BD1T") else output

    def _laid(self, x: Tensor) -> Tensor:
        if self.layout == "BNTD":
            return x.reshape(*(_height_and_width(x.size(0)) if x.size(0) else (0, 1)), *x.shape[1:])
        if self.layout == "BHWC":
            return x.reshape(x.size(0), *_height_and_width(x.size(1)), x.size(2))
        laid = x.transpose(0, 1) if self.layout == "TBD" else x.transpose(1, 2)
        if self.layout == "BCHW":
            laid = laid.reshape(*laid.shape[:2], *_height_and_width(x.size(1)))
        if self.layout == "BD1T":
            laid = laid.unsqueeze(2)
        # What comes contiguous is contiguous in the other layout, too, as a caller's tensor would be. A clone has the strides
        # of a new tensor where an axis has size 1, too: contiguous() leaves others, with which torch's GroupNorm crashes.
        return laid.clone(memory_format=torch.contiguous_format) if x.is_contiguous() else laid


def _height_and_width(tokens: int) -> tuple[int, int]:
    """Return the sizes of the picture that is nearest to a square with so many pixels."""
    height = next((n for n in range(math.isqrt(tokens), 0, -1) if tokens % n == 0), 1)
    return height, tokens // height
