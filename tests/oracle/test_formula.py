"""Each declared feature: its words, what a query sees, its oracle stage against 60 digits, its gradient against autograd."""

import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mhsa.oracle import attention
from mhsa.oracle import gradients as backward
from mhsa.oracle.bounded import Arithmetic, Bounded
from mhsa.oracle.formula import rotary, softcap
from mhsa.oracle.formula.fields import Rotary
from mhsa.oracle.formula.formula import PLAIN, Formula
from mhsa.oracle.precision import PRECISIONS

CAP = 1.5  # near the scores below, so that it bends them
FORMULAS = [
    Formula(causal="top-left"),
    Formula(causal="bottom-right", window=(1, -1)),
    Formula(scale=0.7, softcap=CAP),
    Formula(causal="top-left", window=(2, 0), scale="1/d_k", softcap=CAP),
]


TURNED = [
    Formula(rotary=Rotary()),
    Formula(causal="bottom-right", rotary=Rotary(500.0, "interleaved", 1.0, 3)),
    Formula(causal="top-left", softcap=CAP, kv_heads="grouped", rotary=Rotary(fraction=0.5, tables="dtype")),
]


def rows(seen) -> list[str]:
    return ["".join("x" if s else "." for s in row) for row in seen]


def test_what_a_query_sees() -> None:
    assert rows(Formula(causal="top-left").visible(2, 4)) == ["x...", "xx.."]
    assert rows(Formula(causal="bottom-right").visible(2, 4)) == ["xxx.", "xxxx"]
    assert rows(Formula(causal="bottom-right").visible(4, 2)) == ["..", "..", "x.", "xx"]
    assert rows(Formula(window=(1, 1)).visible(4, 4)) == ["xx..", "xxx.", ".xxx", "..xx"]
    assert rows(Formula(window=(-1, 0)).visible(3, 3)) == rows(Formula(causal="top-left").visible(3, 3))
    assert rows(Formula(causal="bottom-right", window=(1, 5)).visible(2, 4)) == [".xx.", "..xx"]
    assert PLAIN.visible(2, 4) is None


def test_the_effective_mask_is_both() -> None:
    mask = np.array([[[True, False], [True, True]], [[False, True], [False, True]]])
    assert rows(Formula(causal="top-left").allowed(mask, 2, 2, 2).reshape(4, 2)) == ["x.", "xx", "..", ".x"]
    assert PLAIN.allowed(mask, 2, 2, 2) is mask
    assert PLAIN.allowed(None, 2, 2, 2) is None
    assert Formula(causal="top-left").allowed(None, 3, 2, 2).shape == (3, 2, 2)


def test_words() -> None:
    formula = Formula("bottom-right", "1/d_k", (3, -1), 50.0, "grouped")
    assert len(formula.words) == 5
    assert formula.words[1] == "window (3 keys before the own place, all after it)"
    assert formula.where == "causal = 'bottom-right' and window = [3, -1]"
    assert (PLAIN.words, PLAIN.where, PLAIN.capped) == ((), "", "")


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_capped_score_is_within_its_bound(dtype: str) -> None:
    """In each format, against 60 digits, for scores from far below the cap to far above it, given with and without an error."""
    t, precision = getattr(torch, dtype), PRECISIONS[dtype]
    scores = torch.cat([torch.linspace(-9, 9, 301), torch.logspace(-6, 3, 200)]).double()
    for cap in (0.3, 1.0, 5.0, 30.0, 50.0):
        s = scores.to(t)
        off = (s.double() * (1 + 7 * precision.unit)).to(t)  # what somebody has in the place of the exact score
        exact, error = s.double().numpy(), (off.double() - s.double()).abs().numpy()
        with mpmath.workdps(60):
            must = [mpmath.mpf(cap) * mpmath.tanh(mpmath.mpf(float(x)) / mpmath.mpf(cap)) for x in exact]
            for bounded, given in ((Bounded.exact(exact), s), (Bounded(exact, error), off)):
                found = softcap.stage(Arithmetic(precision), bounded, cap)
                slope = softcap.slope(Arithmetic(precision), bounded, cap)
                assert all(abs(mpmath.mpf(float(v)) - m) <= e for v, m, e in zip(found.value, must, found.error, strict=True))
                for form in (lambda x, c=cap: c * torch.tanh(x / c), lambda x, c=cap: torch.tanh(x * (1 / c)) * c):
                    x = given.clone().requires_grad_()
                    y = form(x)
                    (d,) = torch.autograd.grad(y.sum(), x)
                    assert all(abs(float(v) - m) <= e for v, m, e in zip(y.detach().double(), must, found.error, strict=True))
                    through = softcap.chain(Arithmetic(precision), Bounded.exact(np.ones_like(exact)), slope)
                    assert (np.abs(d.double().numpy() - through.value) <= through.error).all()


def test_attention_of_a_formula_is_exact_arithmetic() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((n, 3)) for n in (4, 5, 5))
    for formula in FORMULAS:
        mask = formula.allowed(None, 1, 4, 5)
        found = attention.attention(q, k, v, None if mask is None else mask[0], PRECISIONS["float64"], formula=formula).output
        for i in range(4):
            with mpmath.workdps(60):
                factor = mpmath.mpf(1) / 3 if formula.scale == "1/d_k" else mpmath.mpf(formula.scale or 0) or 1 / mpmath.sqrt(3)
                s = [factor * mpmath.fdot(map(mpmath.mpf, q[i]), map(mpmath.mpf, key)) for key in k]
                s = [formula.softcap * mpmath.tanh(x / formula.softcap) for x in s] if formula.softcap else s
                e = [mpmath.exp(x) if mask is None or mask[0, i, j] else mpmath.mpf(0) for j, x in enumerate(s)]
                for c in range(3):
                    exact = mpmath.fsum(e[j] * mpmath.mpf(v[j, c]) for j in range(5)) / mpmath.fsum(e)
                    assert abs(mpmath.mpf(found.value[i, c]) - exact) <= found.error[i, c]


ALIKE = [Rotary(), Rotary(500000.0, "interleaved"), Rotary(10.0, "half", 0.5), Rotary(offset=5, tables="dtype")]


def turned(of: Rotary | None, x, at):
    """In torch, x [..., T, d] at places [T], as implementations do it."""
    if of is None:
        return x
    t = x.dtype if of.tables == "dtype" else max(x.dtype, torch.float32, key=lambda d: torch.finfo(d).bits)
    width = of.width(x.shape[-1])
    angles = torch.as_tensor(at).to(t)[:, None] * (1.0 / (of.base ** (torch.arange(0, width, 2).to(t) / width)))
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    part, rest = x[..., :width], x[..., width:]
    if of.layout == "half":
        cos, sin = torch.cat([cos, cos], -1), torch.cat([sin, sin], -1)
        other = torch.cat([-part[..., width // 2 :], part[..., : width // 2]], -1)
    else:
        cos, sin = cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)
        other = torch.stack([-part[..., 1::2], part[..., ::2]], -1).flatten(-2)
    return torch.cat([part * cos + other * sin, rest], -1)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("of", ALIKE, ids=str)
def test_a_rotated_feature_is_within_its_bound(of: Rotary, dtype: str) -> None:
    """Against 60 digits, at near and far places, and as implementations form them; back is the inverse."""
    t, arithmetic, d = getattr(torch, dtype), Arithmetic(PRECISIONS[dtype]), 8
    places = np.array([0, 1, 2, 7, 100, 513, 1025]) + of.offset
    x = torch.randn(len(places), d, generator=torch.Generator().manual_seed(0)).to(t)
    made = rotary.tables(arithmetic, of, places, d)
    found = rotary.turn(arithmetic, of, Bounded.exact(x.double().numpy()), made)
    width = of.width(d)
    pairs = [(i, i + width // 2) if of.layout == "half" else (2 * i, 2 * i + 1) for i in range(width // 2)]
    subject = turned(of, x, places).double()
    with mpmath.workdps(60):
        for row, p in enumerate(places.tolist()):
            must = [mpmath.mpf(float(v)) for v in x[row].double()]
            for i, (a, b) in enumerate(pairs):
                angle = p / mpmath.power(of.base, mpmath.mpf(2 * i) / width)
                c, s = mpmath.cos(angle), mpmath.sin(angle)
                must[a], must[b] = must[a] * c - must[b] * s, must[b] * c + must[a] * s
            for got in (found.value[row], subject[row]):
                assert all(abs(float(g) - m) <= e for g, m, e in zip(got, must, found.error[row], strict=True))
    back = rotary.turn(arithmetic, of, found, made, back=True)
    assert (np.abs(back.value - x.double().numpy()) <= back.error).all()
    assert of.offset or found.error[0].max() < 32 * max(PRECISIONS[dtype].unit, 2.0**-24)  # at the first place hardly anything


def test_places() -> None:
    assert [x.tolist() for x in rotary.places(Rotary(offset=2), "no", 2, 3)] == [[2, 3], [2, 3, 4]]
    assert [x.tolist() for x in rotary.places(Rotary(), "bottom-right", 2, 4)] == [[2, 3], [0, 1, 2, 3]]


def evaluated(formula: Formula, mask, q, k, v):
    """In torch, in the dtype of its arguments [B, H, T, d]."""
    s = q @ k.mT * formula.factor(q.shape[-1])
    s = formula.softcap * torch.tanh(s / formula.softcap) if formula.softcap else s
    s = s if mask is None else s.masked_fill(~torch.from_numpy(mask)[:, None], -math.inf)
    return torch.softmax(s, -1) @ v


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(
    "formula", [*FORMULAS, *TURNED, Formula(kv_heads="grouped"), Formula(causal="top-left", softcap=CAP, kv_heads="grouped")]
)
def test_output_gradients_and_derivatives_are_within_their_bounds(formula: Formula, dtype: str) -> None:
    head, d, t, precision = 4, 4, getattr(torch, dtype), PRECISIONS[dtype]
    kv_heads = 2 if formula.kv_heads else head
    for seed, size in enumerate((0.3, 1.0, 3.0)):
        rng = np.random.default_rng(seed)

        def draw(*sizes, scale=1.0, rng=rng):
            return (torch.from_numpy(rng.standard_normal(sizes)) * scale).to(t)

        x = [draw(2, n, head * d, scale=size) for n in (4, 6, 6)]
        widths = (head * d, kv_heads * d, kv_heads * d, head * d)
        maps = [(draw(w, head * d, scale=(head * d) ** -0.5), draw(w)) for w in widths]
        as_double = [tuple(p.double().numpy() for p in pair) for pair in maps]
        arrays = [tensor.double().numpy() for tensor in x]
        mask = formula.allowed(None, 2, 4, 6)
        projections = attention.ProjectionWeights(*(attention.Linear(*pair) for pair in as_double))
        result = attention.multi_head(*arrays, projections, head, mask, precision, formula=formula)
        leaves = [tensor.clone().requires_grad_() for tensor in [*x, *(p for pair in maps for p in pair)]]

        def forward(query, key, value, *p, mask=mask):
            q, k, v = (
                F.linear(y, *p[2 * i : 2 * i + 2]).unflatten(-1, (-1, d)).transpose(1, 2)
                for i, y in enumerate((query, key, value))
            )
            if formula.rotary:
                at = rotary.places(formula.rotary, formula.causal, 4, 6)
                q, k = (turned(formula.rotary, y, p) for y, p in zip((q, k), at, strict=True))
            k, v = (y.repeat_interleave(head // kv_heads, dim=1) for y in (k, v))
            return F.linear(evaluated(formula, mask, q, k, v).transpose(1, 2).flatten(2), *p[6:])

        output = forward(*leaves)
        start = draw(2, 4, head * d)
        found = torch.autograd.grad(output, leaves, start)
        expected = backward.gradients(result, precision, start.double().numpy())
        names = [f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias")]
        musts = [result.output, expected.query, expected.key, expected.value, *(expected.parameters[n] for n in names)]
        for got, must in zip([output.detach(), *found], musts, strict=True):
            assert (np.abs(got.double().numpy() - must.value) <= must.error).all()
        # <start, J m> = <J^T start, m>: the derivative in a direction, against autograd's gradient of the inputs.
        moves = [draw(*tensor.shape).double().numpy() for tensor in x]
        moved = backward.derivative(result, precision, *moves)
        there, back = (
            (start.double().numpy() * moved.value).sum(),
            sum((g.double().numpy() * m).sum() for g, m in zip(found, moves, strict=False)),
        )
        room = (np.abs(start.double().numpy()) * moved.error).sum()
        room += sum((must.error * np.abs(m)).sum() for must, m in zip(musts[1:4], moves, strict=True))
        assert abs(there - back) <= room + 1e-12 * (1 + abs(there))
        # Tables are formed in float32, whose unit is 2^29 times that of float64; and so is the room.
        assert dtype != "float64" or room < 1e-7 * (2.0**29 if formula.rotary else 1.0)
