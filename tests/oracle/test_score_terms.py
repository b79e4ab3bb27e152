"""What is added to scores and what shares their softmax: the oracle's stages against 60 digits, gradients against autograd."""

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mhsa.oracle import attention as oracle
from mhsa.oracle import gradients as backward
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.precision import PRECISIONS

CAP, HEAD, D = 1.5, 3, 2
FORMULAS = [
    Formula(bias="given"),
    Formula(bias="given", softcap=CAP),
    Formula(bias="given", softcap=CAP, softcap_order="after-bias"),
    Formula(bias="given", causal="bottom-right", window=(2, -1), scale="1/d_k", softcap=CAP, softcap_order="after-bias"),
]


def drawn(seed: int, size: float, t: torch.dtype, shape: tuple[int, int]):
    """Return query, key, value, four maps and a bias of this shape of samples and heads, in the dtype."""
    rng = np.random.default_rng(seed)

    def draw(*sizes, scale=1.0):
        return (torch.from_numpy(rng.standard_normal(sizes)) * scale).to(t)

    x = [draw(2, n, HEAD * D, scale=size) for n in (4, 6, 6)]
    maps = [p for _ in range(4) for p in (draw(HEAD * D, HEAD * D, scale=(HEAD * D) ** -0.5), draw(HEAD * D))]
    return x, maps, draw(*shape, 4, 6), draw(2, 4, HEAD * D)


def asked(formula: Formula, precision, x, maps, bias):
    """Return the oracle's answer."""
    arrays = [tensor.double().numpy() for tensor in x]
    pairs = [oracle.Linear(maps[2 * n].double().numpy(), maps[2 * n + 1].double().numpy()) for n in range(4)]
    mask = formula.allowed(None, 2, 4, 6)
    given = bias.double().numpy() if formula.bias == "given" else None
    return oracle.multi_head(*arrays, oracle.Projections(*pairs), HEAD, mask, precision, bias=given, formula=formula)


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_a_formula_is_exact_arithmetic(formula: Formula) -> None:
    x, maps, bias, _ = drawn(0, 1.0, torch.float64, (2, HEAD))
    found = asked(formula, PRECISIONS["float64"], x, maps, bias)
    seen = formula.allowed(None, 2, 4, 6)
    heads = [F.linear(tensor, *maps[2 * n : 2 * n + 2]).unflatten(-1, (HEAD, D)).transpose(1, 2) for n, tensor in enumerate(x)]
    with mpmath.workdps(60):
        factor = mpmath.mpf(formula.factor(D)) if formula.scale else 1 / mpmath.sqrt(D)

        def capped(s):
            return s if formula.softcap is None else CAP * mpmath.tanh(s / CAP)

        for b, h, i in ((0, 0, 0), (1, 2, 3), (0, 1, 2)):
            q, k = heads[0][b, h, i], heads[1][b, h]
            s = [factor * mpmath.fdot(map(mpmath.mpf, q.tolist()), map(mpmath.mpf, row.tolist())) for row in k]
            added = [mpmath.mpf(float(bias[b, h, i, j])) for j in range(6)]
            if formula.caps_bias:
                s = [capped(x + y) for x, y in zip(s, added, strict=True)]
            else:
                s = [capped(x) + y for x, y in zip(s, added, strict=True)]
            e = [mpmath.exp(y) if seen is None or seen[b, i, j] else mpmath.mpf(0) for j, y in enumerate(s)]
            total = mpmath.fsum(e)
            for j in range(6):
                assert abs(found.weights.value[b, h, i, j] - e[j] / total) <= found.weights.error[b, h, i, j]


def evaluated(formula: Formula, q, k, v, bias):
    """In torch, in the dtype of its arguments [B, H, T, d]."""
    s = q @ k.mT * formula.factor(D)

    def capped(s):
        return s if formula.softcap is None else CAP * torch.tanh(s / CAP)

    s = capped(s + bias) if formula.caps_bias else capped(s) + bias
    seen = formula.allowed(None, 2, 4, 6)
    s = s if seen is None else s.masked_fill(~torch.from_numpy(seen)[:, None], -torch.inf)
    return torch.softmax(s, -1) @ v


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_output_and_gradients_are_within_their_bounds(formula: Formula, dtype: str) -> None:
    """In each format, for a bias of every shape, whose gradient is summed over the axes that it does not have."""
    t, precision = getattr(torch, dtype), PRECISIONS[dtype]
    for seed, (size, shape) in enumerate(((0.3, (2, HEAD)), (1.0, (1, HEAD)), (3.0, (2, 1)), (1.0, (1, 1)))):
        x, maps, bias, start = drawn(seed, size, t, shape)
        result = asked(formula, precision, x, maps, bias)
        leaves = [tensor.clone().requires_grad_() for tensor in (*x, *maps, bias)]
        q, k, v = (
            F.linear(tensor, *leaves[3 + 2 * n : 5 + 2 * n]).unflatten(-1, (HEAD, D)).transpose(1, 2)
            for n, tensor in enumerate(leaves[:3])
        )
        z = evaluated(formula, q, k, v, leaves[11]).transpose(1, 2).flatten(2)
        output = F.linear(z, *leaves[9:11])
        found = torch.autograd.grad(output, leaves, start)
        must = backward.gradients(result, precision, start.double().numpy())
        names = [f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias")]
        musts = [result.output, must.query, must.key, must.value, *(must.parameters[n] for n in names), must.bias]
        for got, bounded in zip([output.detach(), *found], musts, strict=True):
            assert got.shape == bounded.value.shape
            assert (np.abs(got.double().numpy() - bounded.value) <= bounded.error).all()
        assert dtype != "float64" or must.bias.error.max() < 1e-10


def test_words() -> None:
    assert Formula(bias="given").words == ("a given bias is added to the scores",)
