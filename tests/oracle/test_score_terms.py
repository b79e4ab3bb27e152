"""What is added to scores and what shares their softmax: the oracle's stages against 60 digits, gradients against autograd."""

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mhsa.oracle import attention as oracle
from mhsa.oracle import gradients as backward
from mhsa.oracle.formula import alibi
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.precision import PRECISIONS

CAP, HEAD, D = 1.5, 3, 2
FORMULAS = [
    Formula(bias="given"),
    Formula(bias="given", softcap=CAP),
    Formula(bias="given", softcap=CAP, softcap_order="after-bias"),
    Formula(bias="alibi"),
    Formula(bias="alibi-geometric", causal="bottom-right"),
    Formula(sinks="learned"),
    Formula(sinks=0.3, softcap=CAP),
    Formula(bias="alibi", sinks="learned", causal="top-left", softcap=CAP, softcap_order="after-bias"),
    Formula(bias="given", sinks="learned", window=(1, 1)),
    Formula(bias="given", causal="bottom-right", window=(2, -1), scale="1/d_k", softcap=CAP, softcap_order="after-bias"),
]


def drawn(seed: int, size: float, t: torch.dtype, shape: tuple[int, int]):
    """Return query, key, value, four maps, a bias of this shape, a gradient and sinks."""
    rng = np.random.default_rng(seed)

    def draw(*sizes, scale=1.0):
        return (torch.from_numpy(rng.standard_normal(sizes)) * scale).to(t)

    x = [draw(2, n, HEAD * D, scale=size) for n in (4, 6, 6)]
    maps = [p for _ in range(4) for p in (draw(HEAD * D, HEAD * D, scale=(HEAD * D) ** -0.5), draw(HEAD * D))]
    return x, maps, draw(*shape, 4, 6), draw(2, 4, HEAD * D), draw(HEAD)


def asked(formula: Formula, precision, x, maps, bias, sinks):
    """Return the oracle's answer."""
    arrays = [tensor.double().numpy() for tensor in x]
    pairs = [oracle.Linear(maps[2 * n].double().numpy(), maps[2 * n + 1].double().numpy()) for n in range(4)]
    mask = formula.allowed(None, 2, 4, 6)
    learned = sinks.double().numpy() if formula.sinks == "learned" else None
    given = bias.double().numpy() if formula.bias == "given" else None
    return oracle.multi_head(
        *arrays, oracle.ProjectionWeights(*pairs, sinks=learned), HEAD, mask, precision, bias=given, formula=formula
    )


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_a_formula_is_exact_arithmetic(formula: Formula) -> None:
    x, maps, bias, _, sinks = drawn(0, 1.0, torch.float64, (2, HEAD))
    found = asked(formula, PRECISIONS["float64"], x, maps, bias, sinks)
    seen = formula.allowed(None, 2, 4, 6)
    heads = [F.linear(tensor, *maps[2 * n : 2 * n + 2]).unflatten(-1, (HEAD, D)).transpose(1, 2) for n, tensor in enumerate(x)]
    with mpmath.workdps(60):
        factor = mpmath.mpf(formula.factor(D)) if formula.scale else 1 / mpmath.sqrt(D)

        def capped(s):
            return s if formula.softcap is None else CAP * mpmath.tanh(s / CAP)

        for b, h, i in ((0, 0, 0), (1, 2, 3), (0, 1, 2)):
            q, k = heads[0][b, h, i], heads[1][b, h]
            s = [factor * mpmath.fdot(map(mpmath.mpf, q.tolist()), map(mpmath.mpf, row.tolist())) for row in k]
            added = [mpmath.mpf(0)] * 6
            if formula.bias == "given":
                added = [mpmath.mpf(float(bias[b, h, i, j])) for j in range(6)]
            if formula.distant:
                own = i + 2 if formula.causal == "bottom-right" else i
                added = [-exact_slope(formula, h) * abs(j - own) for j in range(6)]
            if formula.caps_bias:
                s = [capped(x + y) for x, y in zip(s, added, strict=True)]
            else:
                s = [capped(x) + y for x, y in zip(s, added, strict=True)]
            e = [mpmath.exp(y) if seen is None or seen[b, i, j] else mpmath.mpf(0) for j, y in enumerate(s)]
            total = mpmath.fsum(e)
            if formula.sinks is not None:
                sink = float(sinks[h]) if formula.sinks == "learned" else formula.sinks
                total += mpmath.exp(mpmath.mpf(sink))
            for j in range(6):
                assert abs(found.weights.value[b, h, i, j] - e[j] / total) <= found.weights.error[b, h, i, j]


def exact_slope(formula: Formula, h: int):
    """Of three heads: those of two, 2^-4 and 2^-8, and the first of four; or 2^(-8 h / 3)."""
    powers = (mpmath.mpf(8 * (h + 1)) / 3) if formula.bias == "alibi-geometric" else mpmath.mpf((4, 8, 2)[h])
    return mpmath.mpf(2) ** -powers


def evaluated(formula: Formula, q, k, v, bias, sinks):
    """In torch, in the dtype of its arguments [B, H, T, d]."""
    s = q @ k.mT * formula.factor(D)

    def capped(s):
        return s if formula.softcap is None else CAP * torch.tanh(s / CAP)

    t = s.dtype
    if formula.distant:
        h = torch.arange(1, HEAD + 1, dtype=t)
        slopes = 2 ** (-8 * h / HEAD) if formula.bias == "alibi-geometric" else 2 ** -torch.tensor([4, 8, 2], dtype=t)
        own = torch.arange(4) + 2 * (formula.causal == "bottom-right")
        added = -slopes[:, None, None] * (torch.arange(6) - own[:, None]).abs().to(t)
    else:
        added = bias if formula.bias else torch.zeros(())
    s = capped(s + added) if formula.caps_bias else capped(s) + added
    seen = formula.allowed(None, 2, 4, 6)
    s = s if seen is None else s.masked_fill(~torch.from_numpy(seen)[:, None], -torch.inf)
    if formula.sinks is None:
        return torch.softmax(s, -1) @ v
    sink = sinks if formula.sinks == "learned" else torch.full((HEAD,), formula.sinks, dtype=t)
    return torch.cat([s, sink[:, None, None].expand(2, HEAD, 4, 1)], -1).softmax(-1)[..., :-1] @ v


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_output_and_gradients_are_within_their_bounds(formula: Formula, dtype: str) -> None:
    """In each format, for a bias of every shape, whose gradient is summed over the axes that it does not have."""
    t, precision = getattr(torch, dtype), PRECISIONS[dtype]
    for seed, (size, shape) in enumerate(((0.3, (2, HEAD)), (1.0, (1, HEAD)), (3.0, (2, 1)), (1.0, (1, 1)))):
        x, maps, bias, start, sinks = drawn(seed, size, t, shape)
        result = asked(formula, precision, x, maps, bias, sinks)
        leaves = [tensor.clone().requires_grad_() for tensor in (*x, *maps, bias, sinks)]
        q, k, v = (
            F.linear(tensor, *leaves[3 + 2 * n : 5 + 2 * n]).unflatten(-1, (HEAD, D)).transpose(1, 2)
            for n, tensor in enumerate(leaves[:3])
        )
        z = evaluated(formula, q, k, v, leaves[11], leaves[12]).transpose(1, 2).flatten(2)
        output = F.linear(z, *leaves[9:11])
        found = torch.autograd.grad(output, leaves, start, allow_unused=True)
        must = backward.gradients(result, precision, start.double().numpy())
        names = [f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias")]
        musts = [result.output, must.query, must.key, must.value, *(must.parameters[n] for n in names), must.bias]
        musts.append(must.parameters.get("sinks"))
        for got, bounded in zip([output.detach(), *found], musts, strict=True):
            assert (got is None) == (bounded is None)
            if got is None:
                continue
            assert got.shape == bounded.value.shape
            assert (np.abs(got.double().numpy() - bounded.value) <= bounded.error).all()
        tables = formula.bias == "alibi-geometric"  # slopes may be in float32
        assert dtype != "float64" or tables or max(bounded.error.max() for bounded in musts if bounded is not None) < 1e-9


def test_words() -> None:
    assert Formula(bias="given").words == ("a given bias is added to the scores",)
    assert "slopes of the paper" in Formula(bias="alibi").words[0]
    assert "2^(-8 h / H)" in Formula(bias="alibi-geometric").words[0]
    assert "learned logit" in Formula(sinks="learned").words[0]
    assert "the logit 0 " in Formula(sinks=0.0).words[0]
    formula = Formula(bias="alibi", sinks=0.0, softcap=5.0)
    assert (formula.distant, formula.sinking) == ("bias = 'alibi'", "sinks = 0.0")
    assert formula.capped == "softcap = 5 and sinks = 0.0"


@pytest.mark.parametrize(("head", "exponents"), [(1, [8]), (2, [4, 8]), (3, [4, 8, 2]), (6, [2, 4, 6, 8, 1, 3])])
def test_slopes_of_the_paper(head: int, exponents: list[int]) -> None:
    """As its authors' code has them: those of the power of two below, then every other one of that above."""
    np.testing.assert_array_equal(alibi.slopes(head), 2.0 ** -np.array(exponents))
    assert alibi.slopes(12, "alibi-geometric")[-1] == 2.0**-8
