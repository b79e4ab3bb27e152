"""The oracle's derivatives, against autograd on real evaluations in every dtype, and against finite differences."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mhsa.oracle import attention
from mhsa.oracle import gradients as backward
from mhsa.oracle.precision import PRECISIONS

# B, H, Tq, Tk, d, size of the inputs
SHAPES = [
    (1, 1, 1, 1, 1, 1.0),
    (2, 1, 2, 3, 1, 1.0),
    (2, 3, 4, 5, 2, 1.0),
    (2, 2, 7, 9, 5, 3.0),
    (1, 1, 5, 300, 4, 1.0),
    (2, 2, 5, 9, 4, 16.0),
    (2, 2, 6, 129, 5, 16.0),
]


def naive(q, k, v, mask):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    return torch.softmax(s if mask is None else s.masked_fill(~mask, -math.inf), -1) @ v


def quotient(q, k, v, mask):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    s = s if mask is None else s.masked_fill(~mask, -6e4)
    e = torch.exp(s - s.amax(-1, keepdim=True))
    return e / e.sum(-1, keepdim=True) @ v


def without_division(q, k, v, mask):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    s = s if mask is None else s.masked_fill(~mask, -math.inf)
    return torch.exp(s - torch.logsumexp(s, -1, keepdim=True)) @ v


def chunked(q, k, v, mask, chunk=4):
    top = q.new_full((*q.shape[:-1], 1), -6e4)
    total, out = torch.zeros_like(top), torch.zeros_like(q)
    for i in range(0, k.shape[-2], chunk):
        s = q @ k[..., i : i + chunk, :].mT / math.sqrt(q.shape[-1])
        s = s if mask is None else s.masked_fill(~mask[..., i : i + chunk], -math.inf)
        new = torch.maximum(top, s.amax(-1, keepdim=True))
        p, shrink = torch.exp(s - new), torch.exp(top - new)
        total, out, top = total * shrink + p.sum(-1, keepdim=True), out * shrink + p @ v[..., i : i + chunk, :], new
    return out / total


def merged(q, k, v, mask, chunk=16):
    """Merges the results of blocks of keys by the difference of their log-sum-exps; a fully masked block has no share."""
    parts = []
    for i in range(0, k.shape[-2], min(chunk, -(-k.shape[-2] // 2))):
        here = slice(i, i + min(chunk, -(-k.shape[-2] // 2)))
        s = q @ k[..., here, :].mT / math.sqrt(q.shape[-1])
        s = s if mask is None else s.masked_fill(~mask[..., here], -6e4)
        lse = torch.logsumexp(s, -1, keepdim=True)
        parts.append((torch.exp(s - lse) @ v[..., here, :], lse))
    out, top = parts[0]
    for new, lse in parts[1:]:
        out, top = out + (new - out) * torch.sigmoid(lse - top), torch.logaddexp(top, lse)
    return out


class Recomputed(torch.autograd.Function):
    """Keeps the log-sum-exp and forms the weights again, from scores that are rounded differently."""

    @staticmethod
    def forward(ctx, q, k, v, mask):
        s = (q / math.sqrt(q.shape[-1])) @ k.mT
        s = s if mask is None else s.masked_fill(~mask, -math.inf)
        lse = torch.logsumexp(s, -1, keepdim=True)
        z = torch.exp(s - lse) @ v
        ctx.save_for_backward(q, k, v, mask, lse, z)
        return z

    @staticmethod
    def backward(ctx, dz):
        q, k, v, mask, lse, z = ctx.saved_tensors
        s = q @ k.mT / math.sqrt(q.shape[-1])
        p = torch.exp((s if mask is None else s.masked_fill(~mask, -math.inf)) - lse)
        ds = p * (dz @ v.mT - (dz * z).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
        return ds @ k, ds.mT @ q, p.mT @ dz, None


def recomputed(q, k, v, mask):
    return Recomputed.apply(q, k, v, mask)


def fused(q, k, v, mask):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def values(t):
    return t.detach().double().numpy()


def problem(dtype, shape, seed):
    batch, head, queries, keys, d, size = shape
    rng, width, t = np.random.default_rng(seed), head * d, getattr(torch, dtype)

    def draw(*sizes, scale=1.0):
        return torch.from_numpy(rng.standard_normal(sizes) * scale).to(t)

    query = draw(batch, queries, width, scale=size)
    tied = seed == 2
    key, value = (query, query) if tied else (draw(batch, keys, width, scale=size), draw(batch, keys, width, scale=size))
    maps = [(draw(width, width, scale=width**-0.5), draw(width)) for _ in range(4)]
    mask = None
    if seed:
        mask = torch.from_numpy(rng.random((batch, queries, key.shape[1])) < 0.7)
        mask[..., 0] = True
    projections = attention.ProjectionWeights(*(attention.Linear(values(w), values(b)) for w, b in maps))
    allowed = None if mask is None else mask.numpy()
    result = attention.multi_head(values(query), values(key), values(value), projections, head, allowed, PRECISIONS[dtype])
    return query, key, value, maps, mask, result, draw(batch, queries, width)


def by_autograd(form, head, query, key, value, maps, mask, d_output):
    leaves = {id(x): x.clone().requires_grad_() for x in (query, key, value)}
    parameters = [p.clone().requires_grad_() for pair in maps for p in pair]
    q, k, v = (
        F.linear(leaves[id(x)], parameters[2 * i], parameters[2 * i + 1]).unflatten(-1, (head, -1)).transpose(1, 2)
        for i, x in enumerate((query, key, value))
    )
    z = form(q, k, v, None if mask is None else mask[:, None]).transpose(1, 2).flatten(2)
    return torch.autograd.grad(F.linear(z, *parameters[6:]), [*leaves.values(), *parameters], d_output)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("form", [naive, quotient, without_division, chunked, merged, recomputed, fused])
def test_the_bound_of_gradients_is_never_exceeded(dtype: str, form) -> None:
    names = [f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias")]
    for shape in SHAPES:
        for seed in range(3):
            query, key, value, maps, mask, result, d_output = problem(dtype, shape, seed)
            expected = backward.gradients(result, PRECISIONS[dtype], values(d_output))
            inputs = [expected.query, expected.key, expected.value]
            if query is key:
                inputs = [backward.tied(PRECISIONS[dtype], inputs)]
            found = by_autograd(form, shape[1], query, key, value, maps, mask, d_output)
            for got, required in zip(found, [*inputs, *(expected.parameters[n] for n in names)], strict=True):
                assert (np.abs(values(got) - required.value) <= required.error).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_bound_is_narrow_enough_to_see_bugs(dtype: str) -> None:
    """A missing scale in dQ and dV off by a tenth, in units of the bound."""
    *_, result, d_output = problem(dtype, (2, 3, 4, 5, 4, 1.0), 1)
    expected = backward.gradients(result, PRECISIONS[dtype], values(d_output))
    assert (np.abs(expected.query.value) / expected.query.error).max() > 1000
    assert (0.1 * np.abs(expected.value.value) / expected.value.error).max() > 1000


def test_gradients_and_derivatives_are_transposes_of_each_other() -> None:
    *_, result, d_output = problem("float64", (2, 3, 4, 5, 2, 1.0), 1)
    w = values(d_output)
    found = backward.gradients(result, PRECISIONS["float64"], w)
    directions = [np.random.default_rng(9 + i).standard_normal(x.shape) for i, x in enumerate(result.inputs)]
    moved = backward.derivative(result, PRECISIONS["float64"], *directions)
    there = (w * moved.value).sum()
    back = sum((g.value * t).sum() for g, t in zip((found.query, found.key, found.value), directions, strict=True))
    assert there == pytest.approx(back, rel=1e-12)


def test_the_gradient_through_the_weights() -> None:
    query, key, value, maps, mask, result, d_output = problem("float64", (2, 2, 3, 4, 2, 1.0), 1)
    d_weights = np.random.default_rng(5).standard_normal(result.weights.value.shape)
    found = backward.gradients(result, PRECISIONS["float64"], values(d_output), d_weights)
    leaf = query.clone().requires_grad_()
    q, k, v = (F.linear(x, *maps[i]).unflatten(-1, (2, -1)).transpose(1, 2) for i, x in enumerate((leaf, key, value)))
    weights = torch.softmax((q @ k.mT / math.sqrt(2)).masked_fill(~mask[:, None], -math.inf), -1)
    out = F.linear((weights @ v).transpose(1, 2).flatten(2), *maps[3])
    (gradient,) = torch.autograd.grad((out * d_output).sum() + (weights * torch.from_numpy(d_weights)).sum(), leaf)
    assert (np.abs(values(gradient) - found.query.value) <= found.query.error).all()
