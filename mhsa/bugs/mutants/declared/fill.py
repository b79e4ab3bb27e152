"""Bugs of a declared fill, the finite number that hides masked keys. The classes without a formula of their own are right."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain
from mhsa.oracle.formula.fields import Fill


class FillSet(Plain):
    """Scores of masked keys are set to -10000."""

    mhsa_contract = replace(Plain.mhsa_contract, fully_masked_row=None, fill=-10000.0)
    number = -10000.0

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weights of the keys."""
        return torch.softmax(s if mask is None else self.filled(s, self.hidden(mask)), dim=-1)

    def filled(self, s: Tensor, hidden: Tensor) -> Tensor:
        """Return the scores with the number."""
        return s.masked_fill(hidden, self.number)


class FillAdded(FillSet):
    """-10000 is added to the scores of masked keys."""

    mhsa_contract = replace(FillSet.mhsa_contract, fill=Fill(-10000.0, "added"))

    def filled(self, s: Tensor, hidden: Tensor) -> Tensor:
        """Add the number."""
        return s + hidden * self.number


class AnotherFill(FillSet):
    """Scores of masked keys are set to another number than the declared one.

    Formula: S_ij = -9984 where masked; must be -10000, as declared
    Census: P03
    """

    number = -9984.0


class FillIsAdded(FillAdded):
    """The number is added to scores of masked keys, where it is declared to be set.

    Formula: S_ij - 10000 where masked; must be -10000, as declared
    Census: P03
    """

    mhsa_contract = FillSet.mhsa_contract


class FillIsSet(FillSet):
    """Scores of masked keys are set to the number, where it is declared to be added.

    Formula: S_ij = -10000 where masked; must be S_ij - 10000, as declared
    Census: P03
    """

    mhsa_contract = FillAdded.mhsa_contract


class FillInTheFirstHead(FillSet):
    """Masked keys are hidden in the first head alone.

    Formula: S_bhij for h > 0; must be -10000 where masked
    Census: P09
    """

    def filled(self, s: Tensor, hidden: Tensor) -> Tensor:
        """Fill the first head."""
        return torch.cat([s[:, :1].masked_fill(hidden, self.number), s[:, 1:]], dim=1)
