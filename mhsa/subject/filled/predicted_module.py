"""A filled module, and what the oracle says that it must give."""

from __future__ import annotations

from mhsa.oracle.attention import FullyMaskedRow, MultiHead, ProjectionWeights, multi_head
from mhsa.oracle.bounded import Array
from mhsa.subject.answer import Mask
from mhsa.subject.filled.filled_module import FilledModule


class PredictedModule(FilledModule):
    """A filled module of which it is known what calls of it must give.

    Attributes:
        exact_heads: whether parameters and tensors are such that Q, K and V are exact, so that the oracle allows no rounding
            for them; set by the properties that choose such numbers (:mod:`mhsa.subject.crafted_inputs`).
    """

    exact_heads = False

    def expect(self, bias: Array) -> MultiHead:
        """Return what the case's tensors give without a mask, with a bias [B, Tq, Tk] added to the scores."""
        whole = self.effective(None, self.query, self.key)
        return self.predict(self.query, self.key, self.value, self.projections, whole, bias)

    def expect_under(self, mask: Mask | None) -> MultiHead:
        """Return what the case's tensors give under another mask [B, Tq, Tk]."""
        return self.predict(self.query, self.key, self.value, self.projections, mask, self.bias)

    def predict(
        self, query: Array, key: Array, value: Array, projections: ProjectionWeights, mask: Mask | None, bias: Array | None
    ) -> MultiHead:  # fmt: skip
        """Return what these tensors give with these parameters; ``mask`` is which keys each query may attend to in all."""
        fully_masked_row: FullyMaskedRow = "uniform" if self.subject.contract.fully_masked_row == "uniform" else "zeros"
        return multi_head(
            query, key, value, projections, self.case.head, mask, self.precision, fully_masked_row, bias,
            exact_heads=self.exact_heads, formula=self.formula,
        )  # fmt: skip
