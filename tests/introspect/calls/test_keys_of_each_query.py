"""Queries that have keys of their own, as nodes have neighbours, are read; what takes the keys of another query is wrong."""

from typing import Any

import pytest
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from tests.helpers.layers import fails


class Neighbours(nn.Module):
    def __init__(self, hidden: int, num_in: int, heads: int) -> None:
        super().__init__()
        assert hidden % heads == 0
        self.heads = heads
        self.q, self.o = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.k, self.v = nn.Linear(num_in, hidden), nn.Linear(num_in, hidden)

    def forward(self, nodes: Tensor, edges: Tensor, mask: Tensor | None = None) -> Any:
        """Nodes are [batch, nodes, hidden], edges [batch, nodes, neighbours, num_in], mask [batch, nodes, neighbours]."""
        batch, count, neighbours = edges.shape[:3]
        edges = self.seen(edges)
        q = self.q(nodes).view(batch, count, self.heads, 1, -1)
        k, v = (f(edges).view(batch, count, neighbours, self.heads, -1).transpose(2, 3) for f in (self.k, self.v))
        s = (q @ k.mT) / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask.bool()[:, :, None, None, :], -1e9)
        return self.o((s.softmax(-1) @ v).reshape(batch, count, -1))

    def seen(self, edges: Tensor) -> Tensor:
        return edges


class OfTheFirstNode(Neighbours):
    def seen(self, edges: Tensor) -> Tensor:
        return edges[:, :1].expand_as(edges)


class SoftmaxOverNodes(Neighbours):
    def forward(self, nodes: Tensor, kv: Tensor) -> Any:
        batch, count, neighbours = kv.shape[:3]
        q = self.q(nodes).view(batch, count, self.heads, 1, -1)
        k, v = (f(kv).view(batch, count, neighbours, self.heads, -1).transpose(2, 3) for f in (self.k, self.v))
        return self.o((((q @ k.mT) / q.size(-1) ** 0.5).softmax(1) @ v).reshape(batch, count, -1))


def test_keys_of_each_query_are_read() -> None:
    subject = understand(f"{__file__}:Neighbours", ("float64",))
    assert "keys of each query, edges [B, Tq, Tk, d_model]" in [each.text for each in subject.understood]
    assert subject.contract.mask_shape == "[B, Tq, Tk]"
    assert not fails(f"{__file__}:Neighbours")


@pytest.mark.parametrize("wrong", ["OfTheFirstNode", "SoftmaxOverNodes"])
def test_a_wrong_one_is_violated(wrong: str) -> None:
    assert fails(f"{__file__}:{wrong}")
