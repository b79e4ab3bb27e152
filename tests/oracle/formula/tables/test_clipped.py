"""A table of clipped distances: rows as they are defined, output and gradients against autograd."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mhsa.oracle import attention as oracle
from mhsa.oracle import gradients as backward
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.bias_table import buckets, usual_count
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.precision import PRECISIONS

HEAD, D, QUERIES, KEYS = 2, 3, 5, 9
FORMULAS = [
    Formula(bias=BiasTable("clipped")),
    Formula(bias=BiasTable("clipped", order="query - key"), softcap=2.0, softcap_order="after-bias"),
    Formula(bias=BiasTable("clipped"), causal="bottom-right", sinks=0.3),
    Formula(bias=BiasTable("clipped", "both"), causal="top-left"),
    Formula(bias=BiasTable("clipped", "past", order="key - query"), scale=1.0),
]


def row(formula: Formula, count: int, i: int, j: int) -> int:
    """Return the row of query i and key j, by the definition."""
    table = formula.bias
    assert isinstance(table, BiasTable)
    own = i + (KEYS - QUERIES if formula.causal == "bottom-right" else 0)
    past = table.direction == "past" or (table.direction is None and formula.causal != "no")
    if past:
        away = min(max(own - j, 0), count - 1)
        return count - 1 - away if table.order == "key - query" else away
    m = (count - 1) // 2
    away = own - j if table.order == "query - key" else j - own
    return min(max(away, -m), m) + m


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
@pytest.mark.parametrize("count", [1, 3, 5, 9, 31])
def test_rows_are_those_of_the_definition(formula: Formula, count: int) -> None:
    table = formula.bias
    assert isinstance(table, BiasTable)
    must = [[row(formula, count, i, j) for j in range(KEYS)] for i in range(QUERIES)]
    for found in buckets(table, formula.causal, (QUERIES, KEYS), count):
        assert found.tolist() == must


def test_of_both_directions_a_row_is_in_the_middle() -> None:
    with pytest.raises(ValueError, match=r"2 m \+ 1 rows, and this one has 8"):
        buckets(BiasTable("clipped"), "no", (2, 2), 8)
    assert buckets(BiasTable("clipped"), "top-left", (1, 1), 8)[0].tolist() == [[0]]
    assert usual_count(BiasTable("clipped")) % 2 == 1


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_output_and_gradients_are_within_their_bounds(formula: Formula, dtype: str) -> None:
    t, count = getattr(torch, dtype), 5
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(t)

    x = [draw(2, n, HEAD * D) for n in (QUERIES, KEYS, KEYS)]
    maps, table, start = [draw(HEAD * D, HEAD * D) for _ in range(4)], draw(count, HEAD), draw(2, QUERIES, HEAD * D)
    seen = formula.allowed(None, 2, QUERIES, KEYS)
    leaves = [leaf.clone().requires_grad_() for leaf in (*x, *maps, table)]
    q, k, v = (F.linear(y, w).unflatten(-1, (HEAD, D)).transpose(1, 2) for y, w in zip(leaves[:3], leaves[3:6], strict=True))
    rows = torch.tensor([[row(formula, count, i, j) for j in range(KEYS)] for i in range(QUERIES)])
    s = q @ k.mT * formula.factor(D) + leaves[7][rows].permute(2, 0, 1)
    s = 2.0 * torch.tanh(s / 2.0) if formula.softcap else s
    s = s if seen is None else s.masked_fill(~torch.from_numpy(seen)[:, None], -torch.inf)
    if formula.sinks is not None:
        s = torch.cat([s, torch.full_like(s[..., :1], 0.3)], -1)
    output = F.linear((s.softmax(-1)[..., :KEYS] @ v).transpose(1, 2).flatten(2), leaves[6])
    found = torch.autograd.grad(output, leaves, start)
    arrays = [oracle.Linear(w.double().numpy()) for w in maps]
    p = oracle.ProjectionWeights(*arrays, table=table.double().numpy())
    result = oracle.multi_head(*(y.double().numpy() for y in x), p, HEAD, seen, PRECISIONS[dtype], formula=formula)
    must = backward.gradients(result, PRECISIONS[dtype], start.double().numpy())
    pairs = [(output.detach(), result.output), (found[7], must.parameters["table"])]
    pairs += list(zip(found[:3], (must.query, must.key, must.value), strict=True))
    for got, bounded in pairs:
        assert (np.abs(got.double().numpy() - bounded.value) <= bounded.error).all()
