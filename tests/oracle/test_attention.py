"""The oracle, against 60-digit arithmetic, and its bound, against real evaluations in every dtype."""

import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mhsa.oracle import attention
from mhsa.oracle.bounded import Arithmetic, Bounded, gamma
from mhsa.oracle.precision import PRECISIONS

SHAPES = [(1, 1, 1.0), (2, 1, 1.0), (5, 4, 1.0), (7, 3, 30.0), (33, 16, 3.0), (130, 64, 1.0), (200, 8, 2.0**-6)]


def numbers(*shape: int, seed: int, size: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape) * size


def exact_attention(q, k, v, mask):
    """Attention of one head with 60 digits: products and sums of the given floats are exact to far beyond float64."""
    with mpmath.workdps(60):
        out, weights = [], []
        for i, row in enumerate(q):
            e = [
                mpmath.exp(mpmath.fdot(map(mpmath.mpf, row), map(mpmath.mpf, key)) / mpmath.sqrt(len(row))) if mask[i][j] else 0
                for j, key in enumerate(k)
            ]
            total = mpmath.fsum(e)
            p = [x / total if total else mpmath.mpf(0) for x in e]
            weights.append(p)
            out.append([mpmath.fsum(p[j] * mpmath.mpf(v[j][c]) for j in range(len(k))) for c in range(v.shape[1])])
        return np.array(out), np.array(weights)


@pytest.mark.parametrize("seed", range(12))
def test_the_oracle_is_within_its_bound_of_exact_arithmetic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tq, tk, d = rng.integers(1, 6, size=3)
    size = (1.0, 30.0, 2.0**-12)[seed % 3]
    q, k, v = numbers(tq, d, seed=seed, size=size), numbers(tk, d, seed=seed + 50, size=size), numbers(tk, d, seed=seed + 99)
    mask = rng.random((tq, tk)) < 0.7
    found = attention.attention(q, k, v, mask, PRECISIONS["float64"])
    out, weights = exact_attention(q, k, v, mask)
    for got, exact in ((found.output, out), (found.weights, weights)):
        difference = np.array(
            [[abs(mpmath.mpf(g) - e) for g, e in zip(*rows, strict=True)] for rows in zip(got.value, exact, strict=True)]
        )
        assert (difference <= got.error).all()


def test_multi_head_is_exact_arithmetic_too() -> None:
    head, d = 2, 2
    x = numbers(1, 3, 4, seed=1)
    p = attention.ProjectionWeights(*(attention.Linear(numbers(4, 4, seed=10 + i), numbers(4, seed=20 + i)) for i in range(4)))
    found = attention.multi_head(x, x, x, p, head, None, PRECISIONS["float64"]).output
    with mpmath.workdps(60):
        as_exact = np.vectorize(mpmath.mpf, otypes=[object])

        def project(linear, rows):
            return as_exact(rows) @ as_exact(linear.weight).T + as_exact(linear.bias)

        q, k, v = (project(m, x[0]) for m in (p.query, p.key, p.value))
        heads = [exact_attention(*(t[:, h * d : (h + 1) * d] for t in (q, k, v)), np.ones((3, 3)))[0] for h in range(head)]
        exact = np.concatenate(heads, axis=1) @ as_exact(p.out.weight).T + as_exact(p.out.bias)
        assert (np.abs(as_exact(found.value[0]) - exact) <= found.error[0]).all()


def naive(q, k, v):
    return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v


def chunked(q, k, v, chunk=16):
    top = q.new_full((*q.shape[:-1], 1), -math.inf)
    total, out = torch.zeros_like(top), torch.zeros_like(q)
    for i in range(0, k.shape[-2], chunk):
        s = q @ k[..., i : i + chunk, :].mT / math.sqrt(q.shape[-1])
        new = torch.maximum(top, s.amax(-1, keepdim=True))
        p, shrink = torch.exp(s - new), torch.exp(top - new)
        total, out, top = total * shrink + p.sum(-1, keepdim=True), out * shrink + p @ v[..., i : i + chunk, :], new
    return out / total


def key_by_key(q, k, v):
    return chunked(q, k, v, chunk=1)


def without_division(q, k, v):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    return torch.exp(s - torch.logsumexp(s, -1, keepdim=True)) @ v


def evaluations(dtype: str, shapes=SHAPES, forms=(naive, chunked, F.scaled_dot_product_attention)):
    """(error, bound, size of the result) of each form of evaluation, for several shapes and seeds."""
    for n, d, size in shapes:
        for seed in range(4):
            t = getattr(torch, dtype)
            x = [torch.from_numpy(numbers(1, 2, n, d, seed=seed + 10 * i, size=s)).to(t) for i, s in enumerate((size, size, 1))]
            required = attention.attention(*(a.double().numpy() for a in x), None, PRECISIONS[dtype]).output
            for form in forms:
                error = np.abs(form(*x).double().numpy() - required.value)
                yield error, required.error, np.abs(required.value).max()


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_the_bound_is_never_exceeded(dtype: str) -> None:
    forms = [naive, chunked, F.scaled_dot_product_attention, without_division]
    if dtype in ("float64", "float32"):  # half formats are accumulated key by key, in the format itself, by no kernel
        forms.append(key_by_key)
    assert max((error / bound).max() for error, bound, _ in evaluations(dtype, forms=forms)) <= 1.0


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_the_bound_is_rarely_more_than_some_hundred_times_too_wide(dtype: str) -> None:
    """Width: largest bound of an evaluation over its largest error, or over one rounding of the result if that is more.

    Scores of several hundred are left out: there the bound leaves room for exp(s - LSE), which nobody here computes.
    """
    unit = PRECISIONS[dtype].unit
    usual = evaluations(dtype, [shape for shape in SHAPES if shape[2] < 30])
    width = [bound.max() / max(error.max(), unit * size) for error, bound, size in usual]
    assert np.median(width) < 200
    assert np.quantile(width, 0.9) < 700


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bug", ["scale", "axis", "last key"])
def test_the_bound_is_narrow_enough_to_see_bugs(dtype: str, bug: str) -> None:
    t = getattr(torch, dtype)
    q, k, v = (torch.from_numpy(numbers(1, 1, 32, 16, seed=i)).to(t) for i in range(3))
    required = attention.attention(*(x.double().numpy() for x in (q, k, v)), None, PRECISIONS[dtype]).output
    wrong = {
        "scale": lambda: torch.softmax(q @ k.mT / 8.0, -1) @ v,
        "axis": lambda: torch.softmax(q @ k.mT / 4.0, -2) @ v,
        "last key": lambda: naive(q, k[:, :, :-1], v[:, :, :-1]),
    }[bug]()
    assert (np.abs(wrong.double().numpy() - required.value) / required.error).max() > 100


def test_softmax_errors_stay_below_one_however_large_the_scores() -> None:
    arithmetic = Arithmetic(PRECISIONS["float32"])
    scores = Bounded(np.array([[1e3, -1e3, 0.0]]), np.full((1, 3), 1e5))
    weights = arithmetic.softmax(scores, None)
    assert (weights.error <= 1.001).all()
    assert (weights.error >= 0).all()


def test_fully_masked_rows_and_uniform_rows() -> None:
    q, k, v = numbers(2, 3, seed=0), numbers(4, 3, seed=1), numbers(4, 3, seed=2)
    mask = np.array([[True] * 4, [False] * 4])
    zeros = attention.attention(q, k, v, mask, PRECISIONS["float64"])
    assert (zeros.output.value[1] == 0).all()
    assert (zeros.weights.value[1] == 0).all()
    uniform = attention.attention(q, k, v, mask, PRECISIONS["float64"], fully_masked_row="uniform")
    assert np.allclose(uniform.output.value[1], v.mean(0))
    assert (uniform.output.value[0] == zeros.output.value[0]).all()


def test_a_value_that_is_not_a_number_is_the_oracles_error() -> None:
    x = np.array([[np.nan]])
    with pytest.raises(attention.OracleError, match="error of mhsa"):
        attention.attention(x, x, x, None, PRECISIONS["float64"])


def test_gamma() -> None:
    assert gamma(0, 2.0**-53) == 0
    assert gamma(3, 2.0**-8) == pytest.approx(3 / 253)
    assert gamma(300, 2.0**-8) == math.inf


def test_an_infinite_bound_times_a_weight_of_zero_is_no_bound() -> None:
    arithmetic = Arithmetic(PRECISIONS["bfloat16"])
    x = Bounded(np.array([[1.0, 2.0]]), np.array([[np.inf, 0.0]]))
    linear = attention.Linear(np.array([[0.0, 1.0], [1.0, 1.0]]))
    with np.errstate(invalid="ignore"):  # as where a case is checked
        y = attention._linear(arithmetic, x, linear)
    assert (y.value == [[2.0, 3.0]]).all()
    assert (y.error == np.inf).all(), "a bound that is not a number would hide every error"
