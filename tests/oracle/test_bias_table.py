"""A table of biases: buckets as T5's authors have them, the oracle's stage against 60 digits, gradients against autograd."""

import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mhsa.oracle import attention as oracle
from mhsa.oracle import gradients as backward
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.bias_table import buckets
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.precision import PRECISIONS

HEAD, D, COUNT = 3, 2, 8
FORMULAS = [
    Formula(bias=BiasTable(max_distance=6)),
    Formula(bias=BiasTable(max_distance=6), causal="bottom-right"),
    Formula(bias=BiasTable(direction="past", max_distance=5), softcap=2.0, softcap_order="after-bias", sinks=0.3),
    Formula(bias=BiasTable(direction="both"), causal="top-left", scale=1.0, softcap=2.0),
]


def usual(later: torch.Tensor, both: bool, count: int, far: int) -> torch.Tensor:
    """Return the bucket of each distance, in float32, as usual code has it."""
    first = torch.zeros_like(later)
    if both:
        count //= 2
        first, later = (later > 0).long() * count, later.abs()
    else:
        later = -later.clamp_max(0)
    exact = count // 2
    share = torch.log(later.clamp_min(1).float() / exact) / math.log(far / exact) * (count - exact)
    return first + torch.where(later < exact, later, (exact + share.long()).clamp_max(count - 1))


@pytest.mark.parametrize(("count", "far"), [(32, 128), (8, 20), (16, 64), (12, 50), (32, 256)])
@pytest.mark.parametrize("direction", ["both", "past"])
def test_buckets_are_those_of_usual_code(direction: str, count: int, far: int) -> None:
    later = torch.arange(300) - torch.arange(300)[:, None]
    for found in buckets(BiasTable(direction=direction, max_distance=far), "no", (300, 300), count):
        np.testing.assert_array_equal(found, usual(later, direction == "both", count, far).numpy())
        assert found.max() == count - 1


def test_directions_and_places_follow_causality() -> None:
    assert buckets(BiasTable(), "no", (1, 3), 32)[0].tolist() == [[0, 17, 18]]
    assert buckets(BiasTable(), "bottom-right", (1, 3), 32)[0].tolist() == [[2, 1, 0]]
    assert buckets(BiasTable(), "top-left", (2, 3), 32)[0].tolist() == [[0, 0, 0], [1, 0, 0]]


def drawn(seed: int, size: float, t: torch.dtype):
    rng = np.random.default_rng(seed)

    def draw(*sizes, scale=1.0):
        return (torch.from_numpy(rng.standard_normal(sizes)) * scale).to(t)

    x = [draw(2, n, HEAD * D, scale=size) for n in (4, 9, 9)]
    maps = [p for _ in range(4) for p in (draw(HEAD * D, HEAD * D, scale=(HEAD * D) ** -0.5), draw(HEAD * D))]
    return x, maps, draw(COUNT, HEAD), draw(2, 4, HEAD * D)


def asked(formula: Formula, precision, x, maps, table):
    arrays = [tensor.double().numpy() for tensor in x]
    pairs = [oracle.Linear(maps[2 * n].double().numpy(), maps[2 * n + 1].double().numpy()) for n in range(4)]
    p = oracle.ProjectionWeights(*pairs, table=table.double().numpy())
    return oracle.multi_head(*arrays, p, HEAD, formula.allowed(None, 2, 4, 9), precision, formula=formula)


def added(formula: Formula, table):
    """Return the bias [H, Tq, Tk] in torch."""
    first = 5 if formula.causal == "bottom-right" else 0
    later = torch.arange(9) - (torch.arange(4) + first)[:, None]
    both = formula.bias.direction == "both" or (formula.bias.direction is None and formula.causal == "no")
    return table[usual(later, both, COUNT, formula.bias.max_distance)].permute(2, 0, 1)


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_weights_are_exact_arithmetic(formula: Formula) -> None:
    x, maps, table, _ = drawn(0, 1.0, torch.float64)
    found, seen = asked(formula, PRECISIONS["float64"], x, maps, table), formula.allowed(None, 2, 4, 9)
    heads = [F.linear(y, *maps[2 * n : 2 * n + 2]).unflatten(-1, (HEAD, D)).transpose(1, 2) for n, y in enumerate(x[:2])]
    with mpmath.workdps(60):
        factor = mpmath.mpf(formula.factor(D)) if formula.scale else 1 / mpmath.sqrt(D)
        cap = (lambda s: 2 * mpmath.tanh(s / 2)) if formula.softcap else lambda s: s
        for b, h, i in ((0, 0, 0), (1, 2, 3), (0, 1, 2)):
            q = [mpmath.mpf(v) for v in heads[0][b, h, i].tolist()]
            s = [factor * mpmath.fdot(q, map(mpmath.mpf, row.tolist())) for row in heads[1][b, h]]
            bias = [mpmath.mpf(v) for v in added(formula, table)[h, i].tolist()]
            s = [cap(v + w) if formula.caps_bias else cap(v) + w for v, w in zip(s, bias, strict=True)]
            e = [mpmath.exp(v) if seen is None or seen[b, i, j] else mpmath.mpf(0) for j, v in enumerate(s)]
            total = mpmath.fsum(e) + (mpmath.exp(mpmath.mpf(formula.sinks)) if formula.sinks is not None else 0)
            for j in range(9):
                assert abs(found.weights.value[b, h, i, j] - e[j] / total) <= found.weights.error[b, h, i, j]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_output_and_gradients_are_within_their_bounds(formula: Formula, dtype: str) -> None:
    t, precision = getattr(torch, dtype), PRECISIONS[dtype]
    for seed, size in enumerate((0.3, 1.0, 3.0)):
        x, maps, table, start = drawn(seed, size, t)
        result, seen = asked(formula, precision, x, maps, table), formula.allowed(None, 2, 4, 9)
        leaves = [y.clone().requires_grad_() for y in (*x, *maps, table)]
        q, k, v = (
            F.linear(y, *leaves[3 + 2 * n : 5 + 2 * n]).unflatten(-1, (HEAD, D)).transpose(1, 2)
            for n, y in enumerate(leaves[:3])
        )
        cap = (lambda s: 2 * torch.tanh(s / 2)) if formula.softcap else lambda s: s
        s, bias = q @ k.mT * formula.factor(D), added(formula, leaves[-1])
        s = cap(s + bias) if formula.caps_bias else cap(s) + bias
        s = s if seen is None else s.masked_fill(~torch.from_numpy(seen)[:, None], -torch.inf)
        s = s if formula.sinks is None else torch.cat([s, torch.full_like(s[..., :1], formula.sinks)], -1)
        output = F.linear((s.softmax(-1)[..., :9] @ v).transpose(1, 2).flatten(2), *leaves[9:11])
        found = torch.autograd.grad(output, leaves, start)
        must = backward.gradients(result, precision, start.double().numpy())
        for got, bounded in ((output.detach(), result.output), (found[0], must.query), (found[-1], must.parameters["table"])):
            assert (np.abs(got.double().numpy() - bounded.value) <= bounded.error).all()
        assert dtype != "float64" or must.parameters["table"].error.max() < 1e-11


def test_words() -> None:
    assert "buckets, up to 128" in Formula(bias=BiasTable()).words[0]
    assert Formula(bias=BiasTable()).where == "bias = 'table'"
