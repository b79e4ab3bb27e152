"""Gradients through the log-sum-exp: the oracle's rule against 60 digits, and against autograd on forms that are in use."""

import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mhsa.oracle import attention as oracle
from mhsa.oracle import gradients as backward
from mhsa.oracle.formula.fields import Fill
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.precision import PRECISIONS

HEAD, D = 2, 2
ROLES = ("query", "key", "value", "out")
FORMULAS = [
    Formula(lse="natural"),
    Formula(lse="base-2"),
    Formula(lse="base-2", softcap=1.5, scale="1/d_k"),
    Formula(lse="natural", sinks="learned"),
    Formula(lse="base-2", sinks="learned", bias="given", softcap=1.5, softcap_order="after-bias"),
    Formula(lse="natural", bias="given", causal="bottom-right", window=(1, -1), softcap=2.0),
    Formula(lse="natural", fill=Fill(-1e4, "set")),
    Formula(lse="base-2", fill=Fill(-1e4, "added"), scale=0.3),
]


def drawn(seed, t, tokens=(3, 5), size=1.0, batch=1):
    """Return inputs, maps, bias, sinks, and gradients of the output and of the log-sum-exp."""
    rng = np.random.default_rng(seed)
    width = HEAD * D

    def draw(*sizes, scale=1.0):
        return (torch.from_numpy(rng.standard_normal(sizes)) * scale).to(t)

    queries, keys = tokens
    x = [draw(batch, n, width, scale=size) for n in (queries, keys, keys)]
    maps = [p for _ in range(4) for p in (draw(width, width, scale=width**-0.5), draw(width))]
    mask = torch.from_numpy(rng.random((batch, queries, keys)) < 0.6)
    mask[..., min(1, keys - 1)] = True  # which causality and the window leave a query, too
    starts = draw(batch, queries, width), draw(batch, HEAD, queries)
    return x, maps, draw(batch, HEAD, queries, keys), draw(HEAD), mask, starts


def required(formula, precision, x, maps, bias, sinks, mask, starts):
    """Return the oracle's gradients under the names of the leaves."""
    linears = [oracle.Linear(maps[2 * n].double().numpy(), maps[2 * n + 1].double().numpy()) for n in range(4)]
    projections = oracle.ProjectionWeights(*linears, sinks=sinks.double().numpy() if formula.sinks else None)
    allowed = formula.allowed(mask.numpy() if mask is not None else None, len(x[0]), x[0].size(1), x[1].size(1))
    given = bias.double().numpy() if formula.bias else None
    inputs = [a.double().numpy() for a in x]
    result = oracle.multi_head(*inputs, projections, HEAD, allowed, precision, bias=given, formula=formula)
    found = backward.gradients(result, precision, starts[0].double().numpy(), None, starts[1].double().numpy())
    named = {"query": found.query, "key": found.key, "value": found.value, **found.parameters}
    return (named if found.bias is None else named | {"bias": found.bias}), allowed


def loss_of(formula, leaves, allowed, starts):
    """The loss <O, G> + <L, g> in the arithmetic of mpmath; ``leaves`` holds arrays of its numbers."""

    def linear(x, role):
        return x @ leaves[f"{role}.weight"].T + leaves[f"{role}.bias"]

    exp = np.frompyfunc(mpmath.exp, 1, 1)
    q, k, v = (linear(leaves[role][0], role).reshape(-1, HEAD, D).transpose(1, 0, 2) for role in ROLES[:3])
    factor = {"1/d_k": mpmath.mpf(1) / D, None: 1 / mpmath.sqrt(D)}.get(formula.scale, formula.scale)
    s = (q @ k.transpose(0, 2, 1)) * factor
    bias = leaves["bias"][0] if formula.bias else 0
    tanh = np.frompyfunc(mpmath.tanh, 1, 1)
    if formula.softcap:
        cap = formula.softcap
        s = cap * tanh((s + bias) / cap) if formula.caps_bias else cap * tanh(s / cap) + bias
    else:
        s = s + bias
    hidden = np.zeros(s.shape[1:], dtype=bool) if allowed is None else ~allowed[0]
    if formula.fill is not None:
        s = np.where(hidden, (s if formula.fill.how == "added" else 0) + formula.fill.number, s)
        hidden = np.zeros_like(hidden)
    e = np.where(hidden, mpmath.mpf(0), exp(s))
    total = e.sum(-1) + (exp(leaves["sinks"])[:, None] if formula.sinks else 0)
    z = (e / total[..., None]) @ v
    out = linear(z.transpose(1, 0, 2).reshape(-1, HEAD * D), "out")
    lse = np.frompyfunc(mpmath.log, 1, 1)(total) / (mpmath.log(2) if formula.lse == "base-2" else 1)
    return (out * starts[0].double().numpy()[0]).sum() + (lse * starts[1].double().numpy()[0]).sum()


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_the_rule_agrees_with_60_digits(formula: Formula) -> None:
    """Every fourth element of each leaf: a central difference of 60 digits, which is exact to 40."""
    x, maps, bias, sinks, mask, starts = drawn(3, torch.float64)
    must, allowed = required(formula, PRECISIONS["float64"], x, maps, bias, sinks, mask, starts)
    names = [f"{role}.{kind}" for role in ROLES for kind in ("weight", "bias")]
    tensors = dict(zip((*ROLES[:3], *names, "bias", "sinks"), (*x, *maps, bias, sinks), strict=True))
    with mpmath.workdps(60):
        leaves = {name: np.vectorize(mpmath.mpf, otypes=[object])(t.numpy()) for name, t in tensors.items()}
        step = mpmath.mpf(10) ** -20
        for name, bounded in must.items():
            assert bounded.error.max() < 1e-11
            for at in range(0, bounded.value.size, 4):
                ends = []
                for way in (step, -step):
                    moved = leaves[name].copy()
                    moved.flat[at] += way
                    ends.append(loss_of(formula, leaves | {name: moved}, allowed, starts))
                exact = (ends[0] - ends[1]) / (2 * step)
                assert abs(mpmath.mpf(bounded.value.flat[at]) - exact) <= bounded.error.flat[at], (name, at)


def at_once(s, v):
    return torch.softmax(s, -1) @ v, torch.logsumexp(s, -1)


def without_division(s, v):
    lse = torch.logsumexp(s, -1)
    return torch.exp(s - lse[..., None]) @ v, lse


def in_blocks(s, v, block=3):
    """Online softmax, the maximum taking part in autograd as some write it."""
    top = s.new_full(s.shape[:-1], -6e4)
    total, out = torch.zeros_like(top), s.new_zeros(*s.shape[:-1], v.shape[-1])
    for part, values in zip(s.split(block, -1), v.split(block, -2), strict=True):
        new = torch.maximum(top, part.amax(-1))
        p, shrink = torch.exp(part - new[..., None]), torch.exp(top - new)
        total, out, top = total * shrink + p.sum(-1), out * shrink[..., None] + p @ values, new
    return out / total[..., None], top + total.log()


def to_base_2(s, v):
    """Exponentials to base 2; the logarithm is to base 2 as well, and turned into a natural one."""
    two = s * math.log2(math.e)
    top = two.amax(-1, keepdim=True)
    e = torch.exp2(two - top)
    total = e.sum(-1)
    return e / total[..., None] @ v, (top[..., 0] + total.log2()) * math.log(2.0)


class Flash(torch.autograd.Function):
    """Forms the weights anew and takes the gradient of the logarithm off the row sum."""

    @staticmethod
    def forward(ctx, s, v):
        lse = torch.logsumexp(s, -1)
        z = torch.exp(s - lse[..., None]) @ v
        ctx.save_for_backward(s, v, lse, z)
        return z, lse

    @staticmethod
    def backward(ctx, dz, d_lse):
        s, v, lse, z = ctx.saved_tensors
        p = torch.exp(s - lse[..., None])
        delta = (dz * z).sum(-1) - d_lse
        return p * (dz @ v.mT - delta[..., None]), p.mT @ dz


FORMS = (at_once, without_division, in_blocks, to_base_2, Flash.apply)


@pytest.mark.parametrize("kind", ["natural", "base-2"])
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("form", FORMS, ids=("at once", "without division", "in blocks", "to base 2", "flash"))
def test_implementations_are_within_the_bound(form, dtype: str, kind: str) -> None:
    """In each format, near and far from zero, short and long rows, with a mask and without, with the output and alone."""
    t, precision = getattr(torch, dtype), PRECISIONS[dtype]
    for seed, (tokens, size) in enumerate(((((3, 5)), 1.0), ((4, 40), 0.3), ((2, 7), 8.0), ((1, 1), 1.0), ((5, 130), 3.0))):
        x, maps, bias, sinks, drawn_mask, starts = drawn(seed, t, tokens, size, batch=2)
        for mask, start in ((None, starts), (drawn_mask, starts), (drawn_mask, (torch.zeros_like(starts[0]), starts[1]))):
            must, _ = required(Formula(lse=kind), precision, x, maps, bias, sinks, mask, start)
            leaves = [leaf.clone().requires_grad_() for leaf in (*x, *maps)]
            q, k, v = (
                F.linear(leaf, *leaves[3 + 2 * n : 5 + 2 * n]).unflatten(-1, (HEAD, D)).transpose(1, 2)
                for n, leaf in enumerate(leaves[:3])
            )
            s = q @ k.mT / math.sqrt(D)
            z, lse = form(s if mask is None else s.masked_fill(~mask[:, None], -torch.inf), v)
            lse = lse if kind == "natural" else lse / math.log(2.0)
            output = F.linear(z.transpose(1, 2).flatten(2), *leaves[9:])
            found = torch.autograd.grad((output, lse), leaves, start)
            names = [*ROLES[:3], *(f"{role}.{part}" for role in ROLES for part in ("weight", "bias"))]
            for name, got in zip(names, found, strict=True):
                off = np.abs(got.double().numpy() - must[name].value)
                assert (off <= must[name].error).all(), (seed, name, (off / must[name].error).max())


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_bound_is_narrow_enough_to_see_bugs(dtype: str) -> None:
    """A gradient that is dropped, or lacks 1 / ln 2, is beyond the bound; eight bits are too few for what is so small."""
    x, maps, bias, sinks, _, starts = drawn(0, getattr(torch, dtype), (3, 5))
    alone = (torch.zeros_like(starts[0]), starts[1])
    kinds = ("natural", "base-2")
    natural, to_base_two = (
        required(Formula(lse=kind), PRECISIONS[dtype], x, maps, bias, sinks, None, alone)[0]["query"] for kind in kinds
    )
    assert (np.abs(natural.value) / natural.error).max() > 8
    assert (np.abs(natural.value - to_base_two.value) / to_base_two.error).max() > 2


def test_a_gradient_of_what_is_not_returned_is_an_error() -> None:
    x, maps, bias, sinks, _, starts = drawn(0, torch.float64)
    with pytest.raises(ValueError, match="returns no log-sum-exp"):
        required(Formula(), PRECISIONS["float64"], x, maps, bias, sinks, None, starts)
