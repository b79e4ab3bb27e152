"""Normalised queries and keys: the stage against 60 digits, as implementations form it, and derivatives against autograd."""

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mhsa.oracle import attention as oracle
from mhsa.oracle import gradients as backward
from mhsa.oracle.bounded import Arithmetic, Bounded
from mhsa.oracle.formula import qk_norm
from mhsa.oracle.formula.fields import QkNorm, Rotary
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.precision import PRECISIONS

HEAD, D = 4, 4
FORMULAS = [
    Formula(qk_norm=QkNorm()),
    Formula(qk_norm=QkNorm("layer"), softcap=2.0, causal="top-left"),
    Formula(qk_norm=QkNorm("l2"), scale=8.0),
    Formula(qk_norm=QkNorm("rms", 1e-3, "all"), rotary=Rotary()),
    Formula(qk_norm=QkNorm("layer", over="all"), kv_heads="grouped"),
    Formula(qk_norm=QkNorm(), rotary=Rotary(), kv_heads="grouped", causal="bottom-right"),
    Formula(qk_norm=QkNorm("rms", gain="1 + weight", place="after-rotary"), rotary=Rotary(layout="interleaved")),
    Formula(qk_norm=QkNorm("l2", place="after-rotary"), rotary=Rotary(), sinks=0.0),
    Formula(qk_norm=QkNorm(eps="dtype")),
]


def normed(norm: QkNorm, x, gain, shift, form: int = 0):
    """In torch, in the dtype of x [B, heads, T, d], or in float32 where ``form`` is 1; rounded in between as in usual code."""
    if norm.over == "all":
        flat = x.transpose(1, 2).flatten(2)[:, None]
        y = normed(QkNorm(norm.kind, norm.eps, "head", norm.gain), flat, gain, shift, form)
        return y[:, 0].unflatten(-1, (x.shape[1], -1)).transpose(1, 2)
    t = x.dtype
    y = x.to(torch.promote_types(t, torch.float32)) if form else x
    eps = norm.eps if norm.eps not in (None, "dtype") else {"rms": 1e-6, "layer": 1e-5, "l2": 1e-12}[norm.kind]
    eps = torch.finfo(torch.promote_types(t, torch.float32)).eps if norm.eps == "dtype" else eps
    if norm.kind == "l2":
        y = F.normalize(y, dim=-1, eps=eps)
    elif norm.kind == "layer" and form:
        y = F.layer_norm(y, y.shape[-1:], eps=eps)
    else:
        y = y - y.mean(-1, keepdim=True) if norm.kind == "layer" else y
        y = (
            y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)
            if form
            else y / (y.pow(2).mean(-1, keepdim=True) + eps).sqrt()
        )
    y = y.to(t)
    if gain is not None:
        gain = gain if gain.numel() == y.shape[-1] else gain.view(y.shape[1], 1, -1)
        y = y * (gain if norm.gain == "weight" else 1 + gain)
    return y if shift is None else y + (shift if shift.numel() == y.shape[-1] else shift.view(y.shape[1], 1, -1))


def exact(norm: QkNorm, x: list, eps: float) -> list:
    """Return normalised features with 60 digits."""
    x = [mpmath.mpf(v) for v in x]
    x = [v - mpmath.fsum(x) / len(x) for v in x] if norm.kind == "layer" else x
    square = mpmath.fsum(v * v for v in x)
    root = max(mpmath.sqrt(square), mpmath.mpf(eps)) if norm.kind == "l2" else mpmath.sqrt(square / len(x) + mpmath.mpf(eps))
    return [v / root for v in x]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("norm", [QkNorm(), QkNorm("rms", 0.01), QkNorm("layer"), QkNorm("l2"), QkNorm(eps="dtype")], ids=str)
def test_a_normalised_feature_is_within_its_bound(norm: QkNorm, dtype: str) -> None:
    """Against 60 digits, for short and long vectors, with and without an error of what is normalised."""
    t, arithmetic = getattr(torch, dtype), Arithmetic(PRECISIONS[dtype])
    unit = PRECISIONS[dtype].unit
    for seed, (size, d) in enumerate([(1.0, 5), (2.0**-8, 5), (12.0, 16), (1.0, 1), (1.0, 2), (1.0, 64)]):
        x = (torch.randn(2, 3, 4, d, generator=torch.Generator().manual_seed(seed)) * size + seed % 2).to(t)
        off = (x.double() * (1 + 3 * unit)).to(t)
        error = (off.double() - x.double()).abs().numpy()
        eps = qk_norm.epsilon(norm, arithmetic)
        with mpmath.workdps(60):
            rows = x.double().reshape(-1, d).tolist()
            must = np.array([exact(norm, row, eps) for row in rows], dtype=object)
            for given, bounded in ((x, Bounded.exact(x.double().numpy())), (off, Bounded(x.double().numpy(), error))):
                found, _ = qk_norm.stage(arithmetic, norm, bounded, None, None)
                value, room = (a.reshape(-1, d) for a in (found.value, found.error))
                assert (np.abs(value - must) <= room).all()
                for form in (0, 1):
                    got = normed(norm, given, None, None, form).double().reshape(-1, d).numpy()
                    assert (np.abs(got - must) <= room).all(), (size, d, form)
        if d == 16:
            assert np.median(found.error) < 400 * unit


def projections(formula: Formula, draw, t):
    """Return maps and gains, as tensors and as the oracle takes them."""
    kv = HEAD // 2 if formula.kv_heads else HEAD
    maps = [p for rows in (HEAD, kv, kv, HEAD) for p in (draw(rows * D, HEAD * D, scale=(HEAD * D) ** -0.5), draw(rows * D))]
    norm = formula.qk_norm
    widths = (HEAD * D, kv * D) if norm.over == "all" or formula.causal != "no" else (D, D)
    gains = [draw(w) for w in widths]
    shifts = [draw(w) for w in widths] if norm.kind == "layer" else [None, None]
    arrays = [oracle.Linear(*(p.double().numpy() for p in maps[2 * n : 2 * n + 2])) for n in range(4)]
    of_norms = [
        oracle.Linear(g.double().numpy(), None if s is None else s.double().numpy()) for g, s in zip(gains, shifts, strict=True)
    ]
    return maps, gains, shifts, oracle.ProjectionWeights(*arrays, query_norm=of_norms[0], key_norm=of_norms[1])


def evaluated(formula: Formula, x, maps, gains, shifts, form: int):
    """In torch, in the dtype of its arguments."""
    from tests.oracle.test_formula import turned  # the rotation as implementations form it

    q, k, v = (F.linear(y, *maps[2 * n : 2 * n + 2]).unflatten(-1, (-1, D)).transpose(1, 2) for n, y in enumerate(x))
    norm, sides = formula.qk_norm, []
    at = qk_norm_places(formula)
    for y, gain, shift, places in zip((q, k), gains, shifts, at, strict=True):
        steps = ("norm", "turn") if norm.place == "before-rotary" else ("turn", "norm")
        for step in steps:
            y = (
                normed(norm, y, gain, shift, form)
                if step == "norm"
                else turned(formula.rotary, y, places)
                if formula.rotary
                else y
            )
        sides.append(y)
    q, k = sides
    k, v = (y.repeat_interleave(HEAD // y.shape[1], 1) for y in (k, v))
    s = q @ k.mT * formula.factor(D)
    s = formula.softcap * torch.tanh(s / formula.softcap) if formula.softcap else s
    seen = formula.allowed(None, 2, 4, 6)
    s = s if seen is None else s.masked_fill(~torch.from_numpy(seen)[:, None], -torch.inf)
    if formula.sinks is not None:
        w = torch.cat([s, torch.full_like(s[..., :1], formula.sinks)], -1).softmax(-1)[..., :-1]
    else:
        w = s.softmax(-1)
    return F.linear((w @ v).transpose(1, 2).flatten(2), *maps[6:])


def qk_norm_places(formula: Formula):
    """Return the places of queries and of keys."""
    first = 2 if formula.causal == "bottom-right" else 0
    return np.arange(4) + first, np.arange(6)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_output_gradients_and_derivatives_are_within_their_bounds(formula: Formula, dtype: str) -> None:
    t, precision = getattr(torch, dtype), PRECISIONS[dtype]
    for seed, size in enumerate((0.3, 1.0, 3.0, 1.0)):
        rng = np.random.default_rng(seed)

        def draw(*sizes, scale=1.0, rng=rng):
            return (torch.from_numpy(rng.standard_normal(sizes)) * scale).to(t)

        x = [draw(2, n, HEAD * D, scale=size) for n in (4, 6, 6)]
        maps, gains, shifts, p = projections(formula, draw, t)
        mask = formula.allowed(None, 2, 4, 6)
        result = oracle.multi_head(*(y.double().numpy() for y in x), p, HEAD, mask, precision, formula=formula)
        start = draw(2, 4, HEAD * D)
        given = [y for y in (*x, *maps, *gains, *shifts) if y is not None]
        leaves = [y.clone().requires_grad_() for y in given]
        of_shifts = leaves[13:] or [None, None]
        output = evaluated(formula, leaves[:3], leaves[3:11], leaves[11:13], of_shifts, seed % 2)
        found = torch.autograd.grad(output, leaves, start)
        must = backward.gradients(result, precision, start.double().numpy())
        names = [f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias")]
        names += [f"{role}_norm.{kind}" for kind in ("weight", "bias") for role in ("query", "key")][: len(leaves) - 11]
        musts = [result.output, must.query, must.key, must.value, *(must.parameters[n] for n in names)]
        assert set(must.parameters) == set(names)
        for name, got, bounded in zip(["output", "q", "k", "v", *names], [output.detach(), *found], musts, strict=True):
            assert (np.abs(got.double().numpy() - bounded.value) <= bounded.error).all(), name
        # Forwards and backwards are each other's transpose: <start, J m> = <J^T start, m>.
        moves = [draw(*y.shape).double().numpy() for y in x]
        moved = backward.derivative(result, precision, *moves)
        there = (start.double().numpy() * moved.value).sum()
        back = sum((g.value * m).sum() for g, m in zip(musts[1:4], moves, strict=True))
        room = (np.abs(start.double().numpy()) * moved.error).sum()
        room += sum((g.error * np.abs(m)).sum() for g, m in zip(musts[1:4], moves, strict=True))
        assert abs(there - back) <= room
        assert dtype != "float64" or room < 1e-7 * (2.0**29 if formula.rotary else 1.0)


def test_modules_of_torch_are_within_the_bound() -> None:
    """torch.nn.RMSNorm without an eps of its own has that of the dtype, and of float32 for half formats."""
    x = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(0)) * 1e-3
    for dtype, precision in PRECISIONS.items():
        t = getattr(torch, dtype)
        for module, norm in ((nn.RMSNorm(8), QkNorm(eps="dtype")), (nn.LayerNorm(8), QkNorm("layer"))):
            given = x.to(t)
            found, _ = qk_norm.stage(Arithmetic(precision), norm, Bounded.exact(given.double().numpy()), None, None)
            got = module.to(t)(given).detach().double().numpy()
            assert (np.abs(got - found.value) <= found.error).all()
            assert precision.unit < 2.0**-20 or found.error.max() < 1.0


def test_words() -> None:
    assert Formula(qk_norm=QkNorm()).words == ("queries and keys are normalised (by their root mean square, each head)",)
    said = Formula(qk_norm=QkNorm("layer", 1e-5, "all", "1 + weight", "after-rotary"), rotary=Rotary())
    assert "all heads together, eps 1e-05, times 1 + weight, after the rotation" in said.words[0]
    assert said.between == "rotary = 'half' and qk_norm = 'layer'"
