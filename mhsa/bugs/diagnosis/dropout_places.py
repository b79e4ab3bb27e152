"""Right modules that drop something else than the weights in training: this is not an error, and a diagnosis mentions it."""

from __future__ import annotations

from torch import Tensor, nn

from mhsa.bugs.mutants.plain import Plain


class DropsOutput(Plain):
    """The output is dropped, and nothing else."""

    def drop(self, w: Tensor) -> Tensor:
        """Keep all weights."""
        return w

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        """Drop elements of the output."""
        return nn.functional.dropout(out, self.rate, self.training)


class DropsWeightsAndOutput(DropsOutput):
    """Weights and output are dropped."""

    def drop(self, w: Tensor) -> Tensor:
        """Drop weights as well."""
        return Plain.drop(self, w)


class DropsMixed(Plain):
    """The heads' outputs, joined, are dropped before the output map."""

    def drop(self, w: Tensor) -> Tensor:
        """Keep all weights."""
        return w

    def merge(self, z: Tensor) -> Tensor:
        """Drop what goes into the output map."""
        return nn.functional.dropout(super().merge(z), self.rate, self.training)


SITES: dict[str, type[Plain]] = {
    "the output instead of the weights": DropsOutput,
    "the output as well as the weights": DropsWeightsAndOutput,
    "what goes into the output map instead of the weights": DropsMixed,
}
