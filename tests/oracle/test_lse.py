"""The log-sum-exp: the oracle's stage against 60 digits, and as implementations form it."""

import math

import mpmath
import numpy as np
import pytest
import torch

from mhsa.oracle.bounded import Arithmetic, Bounded
from mhsa.oracle.formula import lse
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.precision import PRECISIONS


def forms(s: torch.Tensor, kind: str):
    """Yield it in torch, in the dtype of s [Tq, Tk]: at once, key by key, and with exponentials to base 2."""
    factor = 1.0 if kind == "natural" else 1.0 / math.log(2.0)
    yield torch.logsumexp(s, -1) * factor
    top, total = torch.full_like(s[..., 0], -torch.inf), torch.zeros_like(s[..., 0])
    for part in s.split(3, -1):
        new = torch.maximum(top, part.amax(-1))
        base = torch.where(new.isinf(), 0.0, new)
        total = total * (top - base).exp() + (part - base[..., None]).exp().sum(-1)
        top = new
    yield (top + total.log()) * factor
    two = s * math.log2(math.e)
    in_two = two.amax(-1) + torch.exp2(two - two.amax(-1, keepdim=True)).sum(-1).log2()
    yield in_two if kind == "base-2" else in_two * math.log(2.0)


@pytest.mark.parametrize("kind", ["natural", "base-2"])
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_it_is_within_its_bound(dtype: str, kind: str) -> None:
    """For scores near and far from zero, with an error and without, under a mask and with a sink."""
    t, precision = getattr(torch, dtype), PRECISIONS[dtype]
    arithmetic = Arithmetic(precision)
    for seed, (size, keys) in enumerate([(1.0, 5), (30.0, 5), (0.01, 40), (3.0, 1), (300.0, 7)]):
        generator = torch.Generator().manual_seed(seed)
        s = (torch.randn(4, keys, generator=generator) * size + 20.0 * (seed % 2)).to(t)
        off = (s.double() * (1 + 3 * precision.unit)).to(t)
        error = (off.double() - s.double()).abs().numpy()
        seen = torch.rand(4, keys, generator=generator) < 0.7
        seen[:, 0] = True
        for given, bounded in ((s, Bounded.exact(s.double().numpy())), (off, Bounded(s.double().numpy(), error))):
            for mask, sink in ((None, None), (seen, None), (seen, 0.5)):
                of_sink = None if sink is None else Bounded.exact(np.full((1, 1), sink))
                found = lse.stage(arithmetic, bounded, None if mask is None else mask.numpy(), of_sink, kind)
                shown = given if mask is None else given.masked_fill(~mask, -torch.inf)
                shown = shown if sink is None else torch.cat([shown, torch.full_like(shown[:, :1], sink)], -1)
                exact = s if mask is None else s.masked_fill(~mask, -torch.inf)
                exact = exact if sink is None else torch.cat([exact, torch.full_like(exact[:, :1], sink)], -1)
                with mpmath.workdps(60):
                    must = [mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(x)) for x in row)) for row in exact.double().tolist()]
                    must = [m if kind == "natural" else m / mpmath.log(2) for m in must]
                    assert all(abs(mpmath.mpf(v) - m) <= e for v, m, e in zip(found.value, must, found.error, strict=True))
                    for got in forms(shown, kind):
                        assert all(
                            abs(mpmath.mpf(float(v)) - m) <= e for v, m, e in zip(got.double(), must, found.error, strict=True)
                        )
                assert dtype != "float64" or (found.error / (1.0 + np.abs(found.value))).max() < 1e-13


def test_a_row_without_keys_is_not_judged() -> None:
    found = lse.stage(
        Arithmetic(PRECISIONS["float64"]), Bounded.exact(np.ones((2, 3))), np.array([[True], [False]]), None, "natural"
    )
    assert np.isfinite(found.value).all()
    assert found.error[0] < 1e-12
    assert np.isinf(found.error[1])


def test_words() -> None:
    assert Formula(lse="natural").words == ("the log-sum-exp of each row is returned (natural logarithm)",)
    assert "to base 2" in Formula(lse="base-2").words[0]
