"""Maps that are not parameters: an identity where a module has no projection, or a matrix that is computed from parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mhsa.subject.projection_views import View


@dataclass(frozen=True)
class ComputedView(View):
    """A matrix or vector that can be read at any time, and written only with the numbers that it has, or by ``put``.

    Attributes:
        make: gives the numbers: weight [D_out, D_in] or bias [D_out].
        fixed: why it cannot be set to other numbers, for a property that would.
        put: sets the parameters so that :attr:`make` gives these numbers, where some do; returns whether it could.
    """

    pieces: tuple[Tensor, ...] = ()
    make: Callable[[], Tensor] = field(default=lambda: torch.zeros(0))
    fixed: str = ""
    put: Callable[[Tensor], bool] = field(default=lambda values: False)

    def read(self) -> Tensor:
        """Return the numbers as the module has them now."""
        return self.make().detach()

    def write(self, values: Tensor) -> None:
        """Set the map to ``values``.

        Raises:
            ValueError: it has other numbers, and no parameters give these.
        """
        if not self.takes(values):
            raise ValueError(self.fixed)

    def takes(self, values: Tensor) -> bool:
        """Set the map to ``values`` and return True; return False, and change nothing, where it cannot have them."""
        now = self.read()
        wanted = values.to(now)
        if now.shape != wanted.shape:
            return False
        return torch.equal(now, wanted) or self.put(wanted)

    def gradient(self, of_parameters: Mapping[Tensor, Tensor]) -> tuple[Tensor, bool]:
        """Return zeros: a map that is not a parameter has no gradient."""
        return torch.zeros_like(self.read()), False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the matrix or vector."""
        return tuple(self.read().shape)


def identity(width: int) -> ComputedView:
    """Return the map of a projection that a module does not have: [width, width]."""
    return ComputedView(make=lambda: torch.eye(width, dtype=torch.float64), fixed="the subject has no such projection")
