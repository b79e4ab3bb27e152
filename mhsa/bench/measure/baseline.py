"""The baseline: the least that torch has to do for multi-head self-attention. Every time is given as a ratio to it."""

from __future__ import annotations

from torch import Tensor, nn

from mhsa.bench.measure.captured.own_tools import linear, scaled_dot_product_attention
from mhsa.records.contract import Contract
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.projection_views import Projections


class Baseline(nn.Module):
    """Four plain projections and torch's ``scaled_dot_product_attention``; no checks, no weights, no dropout, no mask.

    Not a limit of nature: a module that joins its projections, or has a better kernel, can be below it.
    """

    def __init__(self, head: int, d_model: int) -> None:
        super().__init__()
        self.head, self.d_model = head, d_model
        self.linear_query, self.linear_key, self.linear_value, self.linear_out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Attend within x [B, T, d_model]."""
        return plain_attention(x, self.head, *self.flat())

    def flat(self) -> list[Tensor]:
        """Return weights and biases of query, key, value and out in turn."""
        return [p for layer in self.children() for p in (layer.weight, layer.bias)]  # type: ignore[misc]


def plain_attention(
    x: Tensor, head: int, wq: Tensor, bq: Tensor, wk: Tensor, bk: Tensor, wv: Tensor, bv: Tensor, wo: Tensor, bo: Tensor,
    query: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return multi-head attention to x [B, T, D] of itself, or of a query [B, Q, D], with weights [D, D] and biases [D]."""
    batch, length, width = x.shape
    query = x if query is None else query
    asked = query.size(1)
    q = linear(query, wq, bq).view(batch, asked, head, -1).transpose(1, 2)
    k = linear(x, wk, bk).view(batch, length, head, -1).transpose(1, 2)
    v = linear(x, wv, bv).view(batch, length, head, -1).transpose(1, 2)
    z = scaled_dot_product_attention(q, k, v)
    return linear(z.transpose(1, 2).reshape(batch, asked, width), wo, bo)


class BaselineAdapter(Adapter):
    """How the baseline is built and called."""

    inputs = "x"
    takes_mask = False
    contract = Contract(indivisible="any")

    def build(self, head: int, d_model: int) -> nn.Module:
        """Return a new baseline."""
        return Baseline(head, d_model)

    def call(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Call it with the one tensor."""
        output: Tensor = module(query)
        return output

    def projections(self, module: nn.Module) -> Projections:
        """Return its own."""
        assert isinstance(module, Baseline)
        return Projections.of_linears(module.linear_query, module.linear_key, module.linear_value, module.linear_out)

    def describe(self) -> str:
        """Return the call."""
        return "four plain projections and torch.nn.functional.scaled_dot_product_attention"
